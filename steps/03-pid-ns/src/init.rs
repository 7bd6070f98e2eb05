//! A PID 1 that behaves.
//!
//! The kernel treats PID 1 of a namespace as its init: orphans become its children, it gets no
//! signal for which it has no handler, and when it ends everything in the namespace is killed. A
//! program that isn't written for that leaves zombies behind and can't be stopped. So `--init`
//! puts this small one in its place and runs the program as PID 2.

use std::io;
use std::process;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::process::{WaitOptions, wait};

use crate::exit::Exit;
use crate::signals;

// ANCHOR: become-init
/// Leaves an init behind: the caller stays PID 1 as that, and what follows this call runs as its
/// child.
///
/// Init takes in orphans and reaps them, passes signals on to the child, and ends when the child
/// ends, with its status.
///
/// In the child SIGCHLD and the signals that init passes on are blocked, until `chroot::exec`.
///
/// # Errors
/// When the process can't fork. See fork(2).
pub fn become_init() -> Result<()> {
    let mut handled = signals::passed_on();
    handled.add(Signal::SIGCHLD);
    // Before the fork, so that no SIGCHLD comes unseen. In the child chroot::exec unblocks them.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&handled), None).context("block signals")?;

    // SAFETY: the container's first process has one thread: `spawn` makes it so.
    match unsafe { fork() }.context("fork init's child")? {
        ForkResult::Child => Ok(()),
        ForkResult::Parent { child } => {
            // Init's copy of the report pipe would keep the parent waiting for an exec that has
            // happened; none of the other descriptors is init's business either.
            close_all_but_stdio();
            let signals = SignalFd::with_flags(&handled, SfdFlags::SFD_CLOEXEC);
            let status = signals.map_err(Into::into).and_then(|fd| supervise(&fd, child));
            process::exit(status.map_or(chroot::exit::ENGINE_FAILED, |exit| exit.code).into())
        }
    }
}

// ANCHOR_END: become-init

// ANCHOR: supervise
/// Init's loop. Returns when `child` has ended.
fn supervise(signals: &SignalFd, child: Pid) -> Result<Exit> {
    loop {
        let Some(info) = read(signals)? else { continue };
        if info.ssi_signo == Signal::SIGCHLD as u32 {
            if let Some(exit) = reap(child)? {
                return Ok(exit);
            }
        } else if !signals::from_terminal(&info) {
            // The child may have ended this instant; the SIGCHLD that says so comes next.
            let _ = kill(child, Signal::try_from(info.ssi_signo as i32)?);
        }
    }
}

/// Reaps whoever has ended. One SIGCHLD can stand for several: signals of one kind don't queue.
fn reap(child: Pid) -> Result<Option<Exit>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(None) => return Ok(None),
            Ok(Some((pid, status))) if pid.as_raw_pid() == child.as_raw() => {
                return Exit::of(status.exit_status(), status.terminating_signal()).map(Some);
            }
            Ok(Some(_orphan)) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
}
// ANCHOR_END: supervise

fn read(signals: &SignalFd) -> Result<Option<siginfo>> {
    match signals.read_signal() {
        Err(Errno::EINTR) => Ok(None),
        info => info.context("read a signal"),
    }
}

fn close_all_but_stdio() {
    // SAFETY: nothing that runs after this uses a descriptor opened before it.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}
