//! The snapshot tests.
