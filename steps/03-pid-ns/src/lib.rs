//! Step 3: a process tree of its own.
//!
//! The first process in a new pid namespace is its PID 1. A process can't move into one: it has to
//! be born there. So from here on a container is a child, and this crate is about that child:
//!
//!   [`spawn`] makes it, with its namespaces, and leaves it waiting at a gate ([`Held`]);
//!   [`Held::release`] opens the gate and returns when the child has become its command ([`Running`]);
//!   [`Running::wait`] passes signals on and returns how it ended ([`Exit`]).
//!
//! Between the first and the second the parent prepares what the child can't do for itself: its
//! cgroup, its end of a network cable, its id maps. OCI runtimes call the two "create" and "start".

mod exit;
mod init;
mod parent;
mod proc;
mod report;
mod signals;

use std::convert::Infallible;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getsid};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use unshare::Namespace;

pub use exit::Exit;
pub use init::become_init;
pub use parent::Parent;
pub use proc::{mount_proc, start_time, unmount_proc};
use signals::Deferred;

/// A child that exists, in its namespaces, and waits for [`Held::release`].
///
/// Dropping it kills the child.
#[derive(Debug)]
pub struct Held {
    child: Child,
    gate: PipeWriter,
    report: PipeReader,
    signals: Deferred,
}

/// A child that has become its command.
///
/// Dropping it kills the child.
#[derive(Debug)]
pub struct Running {
    child: Child,
    signals: Deferred,
}

// ANCHOR: spawn
/// Makes a child in new namespaces of these kinds. Once it is released it runs `body`, which ends
/// in an exec.
///
/// From now on SIGTERM and its like no longer end the caller: they wait for [`Running::wait`], which
/// passes them on. If the caller dies all the same, the child is killed.
///
/// # Errors
/// When the caller has threads, or the kernel refuses the child. See clone(2).
pub fn spawn(kinds: &[Namespace], body: impl FnOnce() -> Result<Infallible>) -> Result<Held> {
    spawn_into(None, kinds, body)
}

/// The same, with the child born in a cgroup: `cgroup` is that folder of version 2, opened. See
/// clone(2), CLONE_INTO_CGROUP.
///
/// # Errors
/// As [`spawn`]; EBUSY when the cgroup has children with controllers of their own.
pub fn spawn_into(
    cgroup: Option<BorrowedFd<'_>>,
    kinds: &[Namespace],
    body: impl FnOnce() -> Result<Infallible>,
) -> Result<Held> {
    require_one_thread()?;
    let (gate_reader, gate) = pipe().context("make the gate")?;
    let (report, report_writer) = pipe().context("make the report pipe")?;
    let signals = Deferred::new()?;

    match clone3(unshare::flags(kinds), cgroup)? {
        Some(child) => Ok(Held { child, gate, report, signals }),
        None => {
            // The child holds copies of all four ends. It must let go of the parent's two: as long
            // as anybody has the gate's writing end open, its reader never sees the parent vanish.
            drop((gate, report));
            process::exit(run_child(gate_reader, report_writer, body).into())
        }
    }
}

// ANCHOR_END: spawn

// ANCHOR: run-child
/// The child's whole life until its exec. Returns only when that failed, with the exit code.
fn run_child(
    mut gate: PipeReader,
    report: PipeWriter,
    body: impl FnOnce() -> Result<Infallible>,
) -> u8 {
    // prctl(2), PR_SET_PDEATHSIG: without it a container would outlive a parent that is killed. A
    // parent that was gone before this line has closed the gate: the read below returns nothing.
    let dies_with_parent =
        prctl::set_pdeathsig(Signal::SIGKILL).context("set the parent-death signal");
    let mut opened = [0];
    if gate.read(&mut opened).unwrap_or(0) == 0 {
        return chroot::exit::ENGINE_FAILED;
    }
    // A panic must not unwind into the parent's code, of which the child is a copy.
    let outcome = catch_unwind(AssertUnwindSafe(|| dies_with_parent.and_then(|()| body())));
    let error = match outcome {
        Ok(Err(error)) => error,
        Err(_panic) => {
            anyhow::anyhow!("the container's set-up panicked (its message stands above)")
        }
    };
    report::send(report, &error)
}
// ANCHOR_END: run-child

impl Held {
    /// The child's pid, as the caller's pid namespace knows it.
    pub fn pid(&self) -> Pid {
        self.child.pid
    }

    /// A descriptor that means this child and never another process with a reused pid. See
    /// pidfd_open(2).
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    // ANCHOR: release
    /// Opens the gate, and returns once the child has become its command.
    ///
    /// # Errors
    /// The child's own, when its set-up or its exec failed: [`chroot::exit::Coded`].
    pub fn release(self) -> Result<Running> {
        let Held { child, mut gate, mut report, signals } = self;
        if gate.write_all(&[1]).is_err() {
            bail!("the container's first process was killed before its start");
        }
        // The report pipe is close-on-exec: it ends in silence when the child has become its
        // command. Until then, whatever comes through is the reason why it hasn't.
        match report::receive(&mut report)? {
            None => Ok(Running { child, signals }),
            Some(error) => Err(error.into()),
        }
    }
    // ANCHOR_END: release
}

impl Running {
    /// The child's pid, as the caller's pid namespace knows it.
    pub fn pid(&self) -> Pid {
        self.child.pid
    }

    /// A descriptor that means this child: readable once it has ended. See pidfd_open(2).
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// A descriptor that is readable when a signal for the container has come: see
    /// [`Running::pass_signals_on`]. For a caller with an event loop of its own.
    pub fn signalfd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Passes the signals that have come since the last call on to the container.
    ///
    /// # Errors
    /// When they can't be read or sent.
    pub fn pass_signals_on(&mut self) -> Result<()> {
        let pidfd = self.child.pidfd.as_fd();
        // A terminal speaks to one session. See setsid(2).
        let shares_terminal = getsid(Some(self.child.pid)) == getsid(None);
        self.signals.pass_on(shares_terminal, |signal| send(pidfd, signal))
    }

    /// Sends `signal` to the container's first process. One that has ended already is no error.
    ///
    /// # Errors
    /// EPERM. See pidfd_send_signal(2).
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pidfd(), signal)
    }

    // ANCHOR: wait
    /// Waits until the container has ended; signals that the caller gets meanwhile go to it.
    ///
    /// # Errors
    /// When the kernel refuses to wait. See waitid(2).
    pub fn wait(mut self) -> Result<Exit> {
        while !signals::either_ready(self.pidfd(), self.signalfd())? {
            self.pass_signals_on()?;
        }
        self.child.reap()
    }
    // ANCHOR_END: wait
}

/// A child process that has not been waited for.
#[derive(Debug)]
struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Child {
    /// Waits for the end and takes the status.
    fn reap(&mut self) -> Result<Exit> {
        let ended = loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => continue,
                ended => break ended.map_err(io::Error::from),
            }
        };
        self.reaped = true;
        let status = ended.context("wait for the container")?.context("wait for the container")?;
        Exit::of(status.exit_status(), status.terminating_signal())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // Nobody is left to hear of an error, and a child that has ended already is none.
            let _ = send(self.pidfd.as_fd(), Signal::SIGKILL);
            let _ = self.reap();
        }
    }
}

/// clone(2). A 64-bit flag: the constant of this name in libc has only 32.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

// ANCHOR: clone3
/// clone3(2), which knows more than fork(2): the child starts in new namespaces, and the parent gets
/// a pidfd for it. Returns twice: the child in the parent, `None` in the child.
fn clone3(namespaces: libc::c_int, cgroup: Option<BorrowedFd<'_>>) -> Result<Option<Child>> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (namespaces | libc::CLONE_PIDFD) as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }

    // SAFETY: without CLONE_VM the child runs on a copy of this memory, like after fork(2); the
    // caller has one thread, so no lock is held by a thread that the copy lacks.
    let returned = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    match Errno::result(returned).context("clone3 a child in new namespaces")? {
        0 => Ok(None),
        pid => {
            // SAFETY: CLONE_PIDFD has stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Some(Child { pid: Pid::from_raw(pid as i32), pidfd, reaped: false }))
        }
    }
}
// ANCHOR_END: clone3

/// pidfd_send_signal(2): unlike kill(2), it can't hit a stranger that got the same pid.
fn send(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<()> {
    let (none, flags) = (std::ptr::null::<libc::siginfo_t>(), 0);
    // SAFETY: a null siginfo means the same as for kill(2).
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as i32, none, flags)
    };
    match Errno::result(sent) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("send {signal} to the container")),
    }
}

/// After a clone the child has only the calling thread. A lock that another thread held, the
/// allocator's for one, would stay locked for ever in its copy.
fn require_one_thread() -> Result<()> {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count());
    // A thread that was joined is still listed for a moment: pthread_join(3) returns first.
    for _ in 0..1000 {
        if threads() == 1 {
            return Ok(());
        }
        std::thread::yield_now();
    }
    bail!("spawn a container from a process with {} threads (one is needed)", threads())
}
