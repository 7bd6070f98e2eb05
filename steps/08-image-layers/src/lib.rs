//! Step 8: images.
