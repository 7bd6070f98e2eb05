//! Looks at a process from outside and draws what makes it a container.
//!
//! [`observe`] reads everything from /proc and /sys, and compares it with the observer's own: what
//! differs is the container's, what is equal is the host's. Nothing is taken from what an engine
//! believes, so a test, a reader and `keel xray` can trust the same picture.
//!
//! [`Facts`] prints as that picture, serialises as JSON, and has two shorter forms:
//! [`Facts::own`], what the container has for its own, in a few lines; and [`Facts::normal`],
//! without what changes from run to run and from machine to machine.

#![forbid(unsafe_code)]

pub mod cgroup;
pub mod identity;
pub mod mounts;
pub mod names;
pub mod namespaces;
pub mod net;
mod normal;
mod own;
mod picture;
mod proc;
pub mod process;
pub mod root;
mod seen;
mod text;
mod watch;

use anyhow::Result;
use nix::unistd::Pid;
use serde::Serialize;
use unshare::Namespace;

pub use cgroup::Cgroup;
pub use identity::Identity;
pub use mounts::Mount;
pub use names::Names;
pub use namespaces::Membership;
pub use net::Network;
pub use normal::{Difference, Normal, differences};
pub use own::Own;
pub use process::{Limit, Process};
pub use root::Root;
pub use seen::Seen;
pub use watch::watch;

use proc::ProcDir;

/// Everything that makes a process a container, or doesn't.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// The process as such.
    pub process: Process,
    /// The namespaces that it is in.
    pub namespaces: Vec<Membership>,
    /// What it takes for `/`.
    pub root: Root,
    /// The mounts that it sees.
    pub mounts: Vec<Mount>,
    /// Hostname and domainname.
    pub names: Names,
    /// How its clocks are shifted, in seconds: `None` if the kernel can't do that.
    pub clocks: Option<Clocks>,
    /// Links, addresses and routes.
    pub network: Network,
    /// Its cgroup with limits and use.
    pub cgroup: Cgroup,
    /// Ids, capabilities, and what it gave up.
    pub identity: Identity,
    /// The resource limits that aren't the observer's too.
    pub limits: Vec<Limit>,
}

/// How far the clocks of a time namespace are shifted, in seconds. See time_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Clocks {
    /// CLOCK_MONOTONIC.
    pub monotonic: i64,
    /// CLOCK_BOOTTIME, which uptime(1) shows.
    pub boottime: i64,
}

/// Looks at a process from outside.
///
/// # Errors
/// When there is no such process, when it belongs to another user (ptrace(2), access mode
/// PTRACE_MODE_READ_FSCREDS), and when it ends while it is looked at.
pub fn observe(pid: Pid) -> Result<Facts> {
    let process = ProcDir::open(pid)?;
    Facts::look(&process).map_err(|error| process.explain(error))
}

/// The namespaces that a process is in, in the order of [`Namespace::ALL`].
///
/// # Errors
/// As with [`observe`].
pub fn namespaces(pid: Pid) -> Result<Vec<Membership>> {
    let process = ProcDir::open(pid)?;
    let me = ProcDir::myself()?;
    namespaces::look(&process, &me).map_err(|error| process.explain(error))
}

impl Facts {
    fn look(process: &ProcDir) -> Result<Facts> {
        let me = ProcDir::myself()?;
        let namespaces = namespaces::look(process, &me)?;
        let own = |kind| namespaces.iter().any(|member| member.kind == kind && member.own);

        let mine = mounts::table(&me)?;
        let mut mounts = mounts::table(process)?;
        mounts::compare(&mut mounts, &mine);
        let root = Root::look(process, own(Namespace::Mount), &mounts, &mine)?;

        let mut about = Process::look(process)?;
        let mount_ids =
            own(Namespace::Mount).then(|| mounts.iter().map(|mount| mount.id).collect());
        about.descriptors = process::descriptors(process, &root, mount_ids.as_ref())?;

        let facts = Facts {
            process: about,
            root,
            mounts,
            names: Names::look(process, own(Namespace::Uts), own(Namespace::User))?,
            clocks: Clocks::look(process)?,
            network: Network::look(process)?,
            cgroup: Cgroup::look(process, &me)?,
            identity: Identity::look(process, &me)?,
            limits: process::own_limits(process, &me)?,
            namespaces,
        };
        // Not everything goes through the open folder. But as long as the process isn't waited for,
        // nobody else can have its pid.
        process.read("limits").map(|_| facts)
    }

    /// Whether the process is in another namespace of this kind than the observer. An unshared pid or
    /// time namespace that only its children will be in doesn't count.
    pub fn owns(&self, kind: Namespace) -> bool {
        self.namespaces.iter().any(|member| member.kind == kind && member.own)
    }
}

impl Clocks {
    /// /proc/PID/timens_offsets holds a line `CLOCK SECONDS NANOSECONDS` for each clock.
    fn look(process: &ProcDir) -> Result<Option<Self>> {
        let Some(offsets) = process.read_if_any("timens_offsets")? else { return Ok(None) };
        let of = |clock: &str| {
            let mut lines = offsets.lines().map(str::split_whitespace);
            let mut line = lines.find_map(|mut line| (line.next()? == clock).then_some(line))?;
            line.next()?.parse().ok()
        };
        let seconds = |clock| of(clock).unwrap_or_default();
        Ok(Some(Clocks { monotonic: seconds("monotonic"), boottime: seconds("boottime") }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn an_ordinary_process_has_nothing_of_its_own() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let facts = observe(Pid::from_raw(child.id() as i32));
        child.kill().unwrap();
        child.wait().unwrap();
        let facts = facts.unwrap();
        assert_eq!(facts.process.pid_inside, child.id() as i32);
        assert!(Namespace::ALL.iter().all(|kind| !facts.owns(*kind)));
        assert!(facts.own().is_empty(), "{}", facts.own());
        assert!(differences(&facts, &facts).is_empty());
        assert_eq!(facts.normal().get("root"), Some("the host's"));
        assert!(serde_json::to_string(&facts).is_ok());
        assert!(facts.to_string().lines().all(|line| line.chars().count() <= 80), "{facts}");
    }

    #[test]
    fn a_zombie_is_called_one() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let error = loop {
            match observe(pid) {
                Err(error) if error.to_string().contains("zombie") => break error,
                // Not yet ended, or just about to.
                _ => sleep(Duration::from_millis(1)),
            }
        };
        assert!(error.to_string().starts_with(&format!("process {pid} is a zombie: ")));
        child.wait().unwrap();
        assert_eq!(observe(pid).unwrap_err().to_string(), format!("there is no process {pid}"));
    }
}
