//! How a container ended.

use std::process::ExitCode;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

/// How a process ended, as a shell and Docker tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its own exit code, or 128 + n if signal n ended it.
    pub code: u8,
    /// The signal that ended it.
    pub signal: Option<Signal>,
}

impl Exit {
    // ANCHOR: exit
    /// Reads what wait(2) reports.
    pub(crate) fn of(status: WaitStatus) -> Result<Exit> {
        match status {
            WaitStatus::Exited(_, code) => Ok(Exit { code: code as u8, signal: None }),
            WaitStatus::Signaled(_, signal, _) => {
                Ok(Exit { code: 128 + signal as u8, signal: Some(signal) })
            }
            other => bail!("wait for the container: unexpected status {other:?}"),
        }
    }
    // ANCHOR_END: exit
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        exit.code.into()
    }
}
