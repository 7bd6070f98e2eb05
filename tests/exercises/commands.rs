//! The commands, as a participant types them.

use crate::harness::Test;

pub(super) const TESTS: &[Test] = &[];
