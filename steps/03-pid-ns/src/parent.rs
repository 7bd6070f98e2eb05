//! A child that changes its user must say again with whom it dies.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

/// The parent, held in a way that no other process with the same pid can be taken for it.
#[derive(Debug)]
pub struct Parent(OwnedFd);

impl Parent {
    /// The calling process, as the parent of a child to come.
    ///
    /// # Errors
    /// When no descriptor is left. See pidfd_open(2).
    pub fn this() -> Result<Parent> {
        let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).map_err(io::Error::from);
        Ok(Parent(pidfd.context("open a pidfd of this process")?))
    }

    /// Asks the kernel to kill the calling process when the parent dies.
    ///
    /// prctl(2), PR_SET_PDEATHSIG: a change of user clears the signal that was set before. A parent
    /// that died in between sends none, and getppid(2) can't tell: a parent outside of the pid
    /// namespace is always 0. But its pidfd is readable once it has ended.
    ///
    /// # Errors
    /// When the parent is gone already.
    pub fn take_me_along(&self) -> Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL).context("set the parent-death signal")?;
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let ended = poll(&mut fds, PollTimeout::ZERO).context("look at the parent")?;
        ensure!(ended == 0, "the parent was killed");
        Ok(())
    }
}
