//! Step 5: limits, accounting, freezing.

fn main() {}
