//! Step 8: images.

fn main() {}
