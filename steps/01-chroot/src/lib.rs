//! Step 1: another root directory.
