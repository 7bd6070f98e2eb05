//! Step 4: an own mount table.

fn main() {}
