//! Signals that are meant for the container.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

/// What a user or a supervisor sends to a program to make it do something.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// After so many requests to end, the container is killed.
const PATIENCE: u32 = 3;

/// The set of all signals that are passed on.
pub(crate) fn passed_on() -> SigSet {
    PASSED_ON.into_iter().collect()
}

/// Whether the terminal sent this signal. It went to the whole foreground process group, so a
/// container of the same session has it already. sigaction(2): SI_KERNEL.
pub(crate) fn from_terminal(info: &siginfo) -> bool {
    info.ssi_code == libc::SI_KERNEL
}

/// As long as this lives, signals for the container don't end the process but wait in a descriptor.
/// See signalfd(2).
#[derive(Debug)]
pub(crate) struct Deferred {
    fd: SignalFd,
    mask_before: SigSet,
    requests_to_end: u32,
}

impl Deferred {
    pub(crate) fn new() -> Result<Self> {
        // execve(2) keeps what is ignored. As long as SIGCHLD is, children end without a signal and
        // leave no status: wait(2).
        //
        // SAFETY: SIG_DFL installs no handler.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.context("reset SIGCHLD")?;
        let mut mask_before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&passed_on()), Some(&mut mask_before))
            .context("block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&passed_on(), flags).context("make a signalfd")?;
        Ok(Deferred { fd, mask_before, requests_to_end: 0 })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    // ANCHOR: pass-on
    /// Hands each signal that has come to `send`, but for the terminal's when the container
    /// `shares_terminal`; the third request to end, whether it was heard or not, as SIGKILL.
    pub(crate) fn pass_on(
        &mut self,
        shares_terminal: bool,
        send: impl Fn(Signal) -> Result<()>,
    ) -> Result<()> {
        while let Some(info) = self.fd.read_signal().context("read a signal")? {
            let signal = Signal::try_from(info.ssi_signo as i32).context("read a signal")?;
            // A PID 1 without a handler ignores both: pid_namespaces(7).
            if matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
                self.requests_to_end += 1;
            }
            if self.requests_to_end >= PATIENCE {
                send(Signal::SIGKILL)?;
            } else if !(shares_terminal && from_terminal(&info)) {
                send(signal)?;
            }
        }
        Ok(())
    }
    // ANCHOR_END: pass-on
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // It can't fail: the mask is one that the kernel gave.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask_before), None);
    }
}

/// Waits until one of the two is readable; true if the first is.
pub(crate) fn either_ready(first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> Result<bool> {
    let mut fds = [PollFd::new(first, PollFlags::POLLIN), PollFd::new(second, PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.context("wait for the container")?,
        };
        return Ok(fds[0].any().unwrap_or(true));
    }
}
