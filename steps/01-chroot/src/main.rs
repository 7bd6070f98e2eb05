//! Step 1: another root directory.

fn main() {}
