//! Step 6: layers and copy-on-write.
