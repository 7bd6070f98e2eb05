//! A network namespace of another process, and how to work in it for a moment.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::resume_unwind;
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;

/// A network namespace, held open: it lives at least as long as this value.
#[derive(Debug)]
pub struct NetNs(File);

impl NetNs {
    /// The network namespace of `pid`.
    ///
    /// # Errors
    /// When there is no such process, or the caller may not look into it. See namespaces(7).
    pub fn of(pid: Pid) -> Result<NetNs> {
        let path = format!("/proc/{pid}/ns/net");
        File::open(&path).map(NetNs).with_context(|| format!("open {path}"))
    }

    /// Moves the calling thread into this namespace. What it had open before stays where it was: a
    /// socket belongs for life to the namespace in which it was made.
    ///
    /// # Errors
    /// Without CAP_SYS_ADMIN over the namespace. See setns(2).
    pub fn enter(&self) -> Result<()> {
        setns(&self.0, CloneFlags::CLONE_NEWNET).context("enter the network namespace")
    }

    // ANCHOR: within
    /// Does some work inside this namespace and comes back with its outcome.
    ///
    /// setns(2) moves one thread, so the work gets a thread of its own, which ends with it. The
    /// caller never leaves its network, and so can't fail to find back.
    ///
    /// # Errors
    /// Those of the work, and those of [`NetNs::enter`].
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let visitor = thread::Builder::new()
                .spawn_scoped(scope, || self.enter().and_then(|()| work()))
                .context("start a thread")?;
            visitor.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
    // ANCHOR_END: within
}

impl AsRawFd for NetNs {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
