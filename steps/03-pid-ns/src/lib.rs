//! Step 3: an own process tree, and a PID 1 that behaves.
