//! An OCI bundle becomes a process: runc's seat.
//!
//! A bundle is a folder with a `config.json` that says what a container is: its namespaces, mounts,
//! limits, and the process to run. This crate reads it and does what it says with the steps'
//! libraries, in the two moves that the OCI runtime specification names:
//!
//!   [`create`] makes the process, in its namespaces and its cgroup, and holds it ([`Created`]);
//!   [`Created::start`] lets it become its command ([`Started`]).
//!
//! Between the two the caller wires the network, by the process's pid. Nothing of a container
//! outlives [`Started`] and [`Created`]: the process dies with its parent, its mounts are in its own
//! mount namespace and go with it, and its cgroup is removed when the value is dropped.
//!
//! The runtime knows nothing of images or names. What a config may hold is listed in one place
//! (`bundle.rs`); anything else in it is an error, never passed over.

mod bundle;
mod child;
mod plan;
mod user;

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use cgroups::{Cgroup, Limits};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use pid_ns::{Exit, Held, Running};
use unshare::Namespace;

pub use bundle::Bundle;
use child::Child;
pub use child::Stdio;
use pid_ns::Parent;
use plan::Plan;

/// What a config can't say.
#[derive(Debug, Default)]
pub struct Options {
    /// The process's streams; without, it has the caller's.
    pub stdio: Option<Stdio>,
    /// Whether a small init is its parent. See [`pid_ns::become_init`].
    pub init: bool,
}

/// A container that has been created: its process waits. Dropping it removes it.
#[derive(Debug)]
pub struct Created {
    // Dropped in this order: a cgroup can only be removed once nobody is in it.
    held: Held,
    cgroup: OwnCgroup,
}

/// A container that runs. Dropping it kills and removes it.
#[derive(Debug)]
pub struct Started {
    running: Running,
    cgroup: OwnCgroup,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How its first process ended.
    pub exit: Exit,
    /// Whether the kernel killed a process in it for want of memory.
    pub oom_killed: bool,
}

/// Makes the container's process as `bundle` says, and holds it before its command.
///
/// `mount_rootfs` runs in the container's own mount namespace, just before the rootfs becomes its
/// root. An overlay that is mounted there is never in the host's mount table: there is nothing to
/// unmount afterwards, however the container ends.
///
/// # Errors
/// When the config asks for something that can't be, or the kernel refuses the process or its
/// limits. What goes wrong in the process itself comes from [`Created::start`].
// ANCHOR: create
pub fn create(
    bundle: &Bundle,
    options: Options,
    mount_rootfs: impl FnOnce() -> Result<()>,
) -> Result<Created> {
    let mut plan = Plan::of(bundle)?;
    let cgroup = match plan.cgroup.take() {
        Some((name, limits)) => own_cgroup(&name, &limits)?,
        None => OwnCgroup(None),
    };

    // A cgroup namespace is made by the child itself, once it is in its cgroup.
    let born_with: Vec<_> =
        plan.new.iter().copied().filter(|kind| *kind != Namespace::Cgroup).collect();
    let Options { stdio, init } = options;
    let child = Child { plan, parent: Parent::this()?, stdio, init, mount_rootfs };
    let joined = cgroup.get();
    let birthplace = joined.map(Cgroup::birthplace).transpose()?.flatten();
    let birthplace = birthplace.as_ref().map(AsFd::as_fd);
    let held = pid_ns::spawn_into(birthplace, &born_with, || child.r#become(joined))?;
    Ok(Created { held, cgroup })
}
// ANCHOR_END: create

// ANCHOR: own-cgroup
/// The cgroup of that name. Without limits it is a wish (for accounting and a clean end), and a
/// machine that grants none to this user is no obstacle; limits that can't hold are an error.
fn own_cgroup(name: &str, limits: &Limits) -> Result<OwnCgroup> {
    let mut own = match Cgroup::create(name) {
        Ok(cgroup) => OwnCgroup(Some(cgroup)),
        Err(_) if limits.is_none() => OwnCgroup(None),
        Err(error) => return Err(error).context("limit the container"),
    };
    own.0.iter_mut().try_for_each(|cgroup| cgroup.limit(limits))?;
    Ok(own)
}
// ANCHOR_END: own-cgroup

impl Created {
    /// The process's pid, as the caller's pid namespace knows it.
    pub fn pid(&self) -> Pid {
        self.held.pid()
    }

    /// Its cgroup, where it has one.
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.get()
    }

    /// Lets the process become its command, and returns once it has.
    ///
    /// # Errors
    /// What went wrong in the process on its way there; [`chroot::exit::Coded`] with 127 or 126
    /// when its command could not be executed.
    pub fn start(self) -> Result<Started> {
        let Created { held, cgroup } = self;
        Ok(Started { running: held.release()?, cgroup })
    }
}

impl Started {
    /// The process's pid, as the caller's pid namespace knows it.
    pub fn pid(&self) -> Pid {
        self.running.pid()
    }

    /// A descriptor that is readable once the process has ended. See pidfd_open(2).
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.running.pidfd()
    }

    /// A descriptor that is readable when a signal for the container has come.
    pub fn signalfd(&self) -> BorrowedFd<'_> {
        self.running.signalfd()
    }

    /// Passes the signals that have come on to the container.
    ///
    /// # Errors
    /// When they can't be read or sent.
    pub fn pass_signals_on(&mut self) -> Result<()> {
        self.running.pass_signals_on()
    }

    /// Sends `signal` to the container's first process.
    ///
    /// # Errors
    /// EPERM. See pidfd_send_signal(2).
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.running.signal(signal)
    }

    /// Its cgroup, where it has one.
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.get()
    }

    /// Waits for the end, with signals passed on meanwhile, and removes what the container had.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(self) -> Result<Ended> {
        let Started { running, cgroup } = self;
        let exit = running.wait()?;
        // Only a SIGKILL can have come from there: no need to look otherwise.
        let killed = exit.code == 128 + Signal::SIGKILL as u8;
        let oom_killed = killed && cgroup.met_oom();
        Ok(Ended { exit, oom_killed })
    }
}

/// A cgroup that ends with this value, and all in it.
#[derive(Debug)]
struct OwnCgroup(Option<Cgroup>);

impl OwnCgroup {
    fn get(&self) -> Option<&Cgroup> {
        self.0.as_ref()
    }

    fn met_oom(&self) -> bool {
        let stats = self.get().map(Cgroup::stats);
        stats.is_some_and(|stats| stats.is_ok_and(|stats| stats.oom_kills > 0))
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        // Processes that were moved in from elsewhere may still be there; the container's own have
        // ended with its PID 1. A failure leaves an empty cgroup, which the next repair removes.
        let _ = self.0.take().map(Cgroup::remove);
    }
}
