//! Step 7: an own network, wired to others.

fn main() {}
