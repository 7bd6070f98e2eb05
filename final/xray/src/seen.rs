//! A fact that may be out of sight.

use std::fmt;

use serde::Serialize;

// ANCHOR: seen
/// A fact, or in words why it can't be seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Seen<T> {
    /// What was seen.
    Yes(T),
    /// It is there, but not for this observer.
    No {
        /// Why not.
        unseen: String,
    },
}
// ANCHOR_END: seen

impl<T> Seen<T> {
    /// The fact, if it was seen.
    pub fn get(&self) -> Option<&T> {
        match self {
            Seen::Yes(fact) => Some(fact),
            Seen::No { .. } => None,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Seen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Yes(fact) => fact.fmt(f),
            Seen::No { unseen } => write!(f, "not visible: {unseen}"),
        }
    }
}
