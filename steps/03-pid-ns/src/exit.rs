//! How a container ended.

use std::process::ExitCode;

use anyhow::{Result, bail};

/// How a process ended, as a shell and Docker tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its own exit code, or 128 + n if signal n ended it.
    pub code: u8,
    /// The number of the signal that ended it. Real-time signals have no names: signal(7).
    pub signal: Option<i32>,
}

impl Exit {
    // ANCHOR: exit
    /// Reads what wait(2) reports: an exit code, or the number of a signal.
    pub(crate) fn of(code: Option<i32>, signal: Option<i32>) -> Result<Exit> {
        match (code, signal) {
            (Some(code), _) => Ok(Exit { code: code as u8, signal: None }),
            (None, Some(signal)) => Ok(Exit { code: 128 + signal as u8, signal: Some(signal) }),
            (None, None) => bail!("wait for the container: it has not ended"),
        }
    }
    // ANCHOR_END: exit
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        exit.code.into()
    }
}
