//! A machine as the doctor sees it: facts, and what was answered when something was tried. No opinion.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that was seen. It can be written down, changed and judged anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The system and its kernel.
    pub system: System,
    /// Who asks.
    pub user: User,
    /// How processes can be limited here.
    pub cgroups: Cgroups,
    /// The settings that forbid user namespaces, by their sysctl(8) names; those that exist.
    pub sysctls: BTreeMap<String, String>,
    /// Whether `user` has ranges in /etc/subuid and in /etc/subgid.
    pub subordinate_ids: bool,
    /// The kernel's modules that the chapters need.
    pub modules: BTreeMap<String, Module>,
    /// Where Cargo puts what it builds.
    pub target: Folder,
    /// Where `keel` keeps its state outside of the lab.
    pub state: Folder,
    /// What is there already.
    pub ready: Ready,
    /// The ways to other machines.
    pub network: Network,
    /// Where the programs are that were looked for and found.
    pub programs: BTreeMap<String, String>,
    /// What was tried in throw-away namespaces, and the obstacle if it failed.
    pub trials: BTreeMap<Trial, Result<(), String>>,
}

/// The system and its kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// "linux", "macos", … as Rust's `std::env::consts::OS`.
    pub kernel: String,
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// "x86_64", "aarch64", …
    pub arch: String,
    /// A memory page, in bytes.
    pub page: u64,
    /// PRETTY_NAME of os-release(5).
    pub name: String,
    /// ID and ID_LIKE of os-release(5).
    pub family: Vec<String>,
    /// The version of the Windows Subsystem for Linux, if it is that.
    pub wsl: Option<u8>,
    /// What kind of container this is, if it is one that can be told.
    pub container: Option<String>,
    /// The security modules that are at work: "apparmor", "selinux".
    pub guards: Vec<String>,
    /// Whether systemd is PID 1.
    pub systemd: bool,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Whether the user id is 0.
    pub root: bool,
    /// Whether root's most telling capability, CAP_SYS_ADMIN, is there.
    pub sys_admin: bool,
    /// Whether systemd runs a manager for this user.
    pub manager: bool,
}

/// How processes can be limited here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    /// Which versions are mounted.
    pub layout: Layout,
    /// The controllers of version 2 that this user's place has.
    pub v2: Vec<String>,
    /// The controllers of version 1.
    pub v1: Vec<String>,
    /// This process's cgroup of version 2.
    pub own: String,
}

/// Which versions of cgroups are mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// None at all.
    #[default]
    None,
    /// Version 1 alone.
    V1,
    /// Version 2 alone.
    V2,
    /// Both: the controllers with version 1, version 2 beside them.
    Hybrid,
}

/// Where a module of the kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Module {
    /// In the kernel.
    Loaded,
    /// In a file, from where it can be loaded.
    OnDisk,
    /// Nowhere: or the kernel's modules can't be seen from here.
    Missing,
}

/// A folder, or the nearest one above it that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Its path.
    pub path: String,
    /// The kind of file system that it lies on.
    pub kind: String,
    /// The free space there, in bytes.
    pub free: u64,
    /// Whether programs in it can be started.
    pub exec: bool,
    /// Whether this user can write to it.
    pub writable: bool,
}

/// What is there already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether the steps and `keel` are built.
    pub built: bool,
    /// Whether the root filesystem is made.
    pub rootfs: bool,
    /// A static busybox to make it of.
    pub busybox: Option<String>,
    /// The path of the program `workshop`, as it can be typed in the repository.
    pub workshop: String,
    /// The repository.
    pub repository: String,
}

/// The ways to other machines. Nothing was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Whether a default route exists.
    pub default_route: bool,
    /// Whether the environment names a proxy.
    pub proxy: bool,
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trial {
    /// A user namespace, and something in it that only root may do.
    UserNamespace,
    /// A lab, and a command in it.
    Lab,
    /// Namespaces for hostname and IPC.
    Names,
    /// A time namespace.
    Time,
    /// A pid namespace.
    Pid,
    /// A mount namespace with a /proc of its own.
    Proc,
    /// A cgroup.
    Cgroup,
    /// A cgroup with a limit on memory.
    Memory,
    /// A cgroup with a limit on the number of processes.
    Pids,
    /// A cgroup with a limit on processor time.
    Cpu,
    /// An overlay on a tmpfs.
    Overlay,
    /// An overlay with its layers where `keel` keeps its state.
    StateOverlay,
    /// A bridge and a veth pair.
    Bridge,
    /// The packet filter's rules for a way out, loaded by nft(8).
    Nat,
    /// A range of ids mapped by newuidmap(1) and newgidmap(1).
    SubordinateIds,
    /// The root filesystem, made without a download.
    Rootfs,
}

impl Machine {
    /// The kernel's version, as far as its release tells.
    pub fn version(&self) -> (u32, u32) {
        let mut numbers = self.system.release.split(['.', '-']).map_while(|n| n.parse().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// What `trial` met; `None` where it worked, or was not tried.
    pub fn obstacle(&self, trial: Trial) -> Option<&str> {
        self.trials.get(&trial)?.as_ref().err().map(String::as_str)
    }

    /// Whether a setting is there with this value.
    pub fn is_set(&self, sysctl: &str, value: &str) -> bool {
        self.sysctls.get(sysctl).is_some_and(|found| found == value)
    }

    /// Those of `modules` that are not in the kernel.
    pub fn not_loaded<'a>(&self, modules: &[&'a str]) -> Vec<(&'a str, Module)> {
        let place = |name: &str| self.modules.get(name).copied().unwrap_or(Module::Missing);
        let all = modules.iter().map(|name| (*name, place(name)));
        all.filter(|(_, module)| *module != Module::Loaded).collect()
    }
}
