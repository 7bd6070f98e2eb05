//! A container as keel knows it: `container.json`.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use veth_bridge::Port;

use crate::files::{self, Durability};
use crate::home::Home;
use crate::storage::Driver;

/// The exit code of what was ended by SIGKILL.
const KILLED: u8 = 128 + 9;

/// A container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, which no other container has.
    pub name: String,
    /// The image that it was made from, as it was named then.
    pub image: String,
    /// The image's id: `sha256:` and 64 digits.
    pub image_id: String,
    /// What runs in it.
    pub command: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// What has become of it.
    pub state: State,
    /// How its rootfs is stacked.
    pub driver: Driver,
    /// The folders of its image's layers, topmost first.
    pub layers: Vec<PathBuf>,
    /// The network that it is in, as on the command line.
    pub network: String,
    /// Its address there.
    pub address: Option<Ipv4Addr>,
    /// The ports of the host that lead to it.
    pub ports: Vec<Port>,
    /// Whether it is removed when it ends.
    pub remove: bool,
}

// ANCHOR: state
/// What has become of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum State {
    /// Its command hasn't started.
    Created,
    /// Its command runs.
    Running {
        /// Its first process.
        pid: i32,
        /// When that process started, in clock ticks since boot: another one that gets the same pid
        /// later started later.
        pid_since: u64,
        /// When it started.
        started: Timestamp,
    },
    /// Its command has ended.
    Exited {
        /// The exit code: its own, or 128 + n if signal n ended it.
        code: u8,
        /// Whether the kernel ended it for want of memory.
        oom_killed: bool,
        /// When it started.
        started: Timestamp,
        /// When it ended.
        finished: Timestamp,
    },
}
// ANCHOR_END: state

impl Container {
    /// The pid of its first process.
    ///
    /// # Errors
    /// When it doesn't run, or was started in another pid namespace, where pids mean other processes.
    pub fn pid(&self) -> Result<Pid> {
        let State::Running { pid, pid_since, .. } = self.state else {
            bail!("container {} is not running", self.name);
        };
        let pid = Pid::from_raw(pid);
        ensure!(
            pid_ns::start_time(pid).ok() == Some(pid_since),
            "the processes of container {} can't be seen from here (it was started in another pid namespace)",
            self.name
        );
        Ok(pid)
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// The first twelve digits of its id.
    pub fn short_id(&self) -> &str {
        &self.id[..self.id.len().min(12)]
    }

    /// Says of a running container whose keel is dead what has become of it: it died with it.
    pub(crate) fn assume_killed(&mut self) {
        if let State::Running { started, .. } = self.state {
            let finished = Timestamp::now();
            self.state = State::Exited { code: KILLED, oom_killed: false, started, finished };
        }
    }

    /// A pidfd of its first process, if that is still there.
    pub(crate) fn living_process(&self) -> Option<OwnedFd> {
        let State::Running { pid, .. } = self.state else { return None };
        // Opened before it is looked at: what the descriptor means doesn't change any more.
        let process = rustix::process::Pid::from_raw(pid)?;
        let pidfd = pidfd_open(process, PidfdFlags::empty()).ok()?;
        self.pid().is_ok().then_some(pidfd)
    }

    /// Reads the record of the container `id`.
    ///
    /// # Errors
    /// When there is none, or it can't be understood: with what to do.
    pub(crate) fn load(home: &Home, id: &str) -> Result<Container> {
        let path = home.container(id).join("container.json");
        let advice =
            || format!("container {} can't be used ('keel rm -f {0}' removes it)", short(id));
        match files::read_json(&path).with_context(advice)? {
            Some(container) => Ok(container),
            None => Err(anyhow::anyhow!("{} is missing", path.display())).with_context(advice),
        }
    }

    /// Writes the record. It need not survive the machine as long as the container hasn't run; nor ever
    /// if it is removed at its end anyway.
    pub(crate) fn save(&self, home: &Home) -> Result<()> {
        let path = home.container(&self.id).join("container.json");
        let passing = self.remove || self.state == State::Created;
        let how = if passing { Durability::Process } else { Durability::Machine };
        files::replace_json(&path, self, how)
    }
}

/// The error for a container that isn't there.
#[derive(Debug, Clone)]
pub struct NotFound(pub String);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such container: {} ('keel ps -a' lists them)", self.0)
    }
}

impl std::error::Error for NotFound {}

/// The id of the container that `text` means: by its name, its id, or the first digits of that.
///
/// # Errors
/// When there is none, or more than one.
pub(crate) fn find(home: &Home, text: &str) -> Result<String> {
    let plain = !text.is_empty() && !text.starts_with('.') && !text.contains('/');
    if let Some(id) = plain.then(|| home.named(text)).flatten()
        && fs::exists(home.container(&id)).unwrap_or(false)
    {
        return Ok(id);
    }
    let ids = home.ids()?;
    let mut matching = ids.into_iter().filter(|id| plain && id.starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => {
            bail!("'{text}' is the beginning of several containers' ids: give more of it")
        }
        (None, _) => Err(NotFound(text.to_owned()).into()),
    }
}

/// The first twelve digits of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The name of a container's cgroup.
pub(crate) fn cgroup(id: &str) -> &str {
    short(id)
}
