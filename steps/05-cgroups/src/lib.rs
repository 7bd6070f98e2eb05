//! Step 5: limits, accounting, freezing.
