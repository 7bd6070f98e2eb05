//! Step 2: own names.
//!
//! A namespace gives the processes in it their own instance of something that is otherwise global:
//! hostname, System V IPC, process ids, mounts. This crate holds the table of all eight
//! ([`Namespace`]), leaves some ([`leave`]), and sets what the new ones start with: hostname,
//! domainname and clock offsets.

pub mod user;

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::unistd::{Pid, sethostname};

// ANCHOR: table
/// The eight kinds of namespace, in the order in which Linux got them. See namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// Mount points (2.4.19, 2002). mount_namespaces(7)
    Mount,
    /// Hostname and NIS domain name (2.6.19, 2006). uts_namespaces(7)
    Uts,
    /// System V IPC and POSIX message queues (2.6.19, 2006). ipc_namespaces(7)
    Ipc,
    /// Process ids (2.6.24, 2008). pid_namespaces(7)
    Pid,
    /// Network devices, addresses, routes, ports, firewall (2.6.29, 2009). network_namespaces(7)
    Net,
    /// User and group ids, and the capabilities that go with them (3.8, 2013). user_namespaces(7)
    User,
    /// The root of what /proc/PID/cgroup shows (4.6, 2016). cgroup_namespaces(7)
    Cgroup,
    /// The monotonic and boot-time clocks (5.6, 2020). time_namespaces(7)
    Time,
}

impl Namespace {
    /// Every kind there is.
    pub const ALL: [Namespace; 8] = {
        use Namespace::*;
        [Mount, Uts, Ipc, Pid, Net, User, Cgroup, Time]
    };

    /// Its name under /proc/PID/ns.
    pub const fn name(self) -> &'static str {
        match self {
            Namespace::Mount => "mnt",
            Namespace::Uts => "uts",
            Namespace::Ipc => "ipc",
            Namespace::Pid => "pid",
            Namespace::Net => "net",
            Namespace::User => "user",
            Namespace::Cgroup => "cgroup",
            Namespace::Time => "time",
        }
    }

    /// Its flag for clone3(2), unshare(2) and setns(2).
    pub const fn flag(self) -> libc::c_int {
        match self {
            Namespace::Mount => libc::CLONE_NEWNS,
            Namespace::Uts => libc::CLONE_NEWUTS,
            Namespace::Ipc => libc::CLONE_NEWIPC,
            Namespace::Pid => libc::CLONE_NEWPID,
            Namespace::Net => libc::CLONE_NEWNET,
            Namespace::User => libc::CLONE_NEWUSER,
            Namespace::Cgroup => libc::CLONE_NEWCGROUP,
            Namespace::Time => libc::CLONE_NEWTIME,
        }
    }
}
// ANCHOR_END: table

impl Namespace {
    // ANCHOR: inode
    /// The inode of the namespace of this kind that `pid` is in: two processes share a namespace
    /// exactly when these numbers are equal.
    ///
    /// # Errors
    /// When there is no such process, or the caller may not look at it (ptrace(2), access mode
    /// PTRACE_MODE_READ_FSCREDS).
    pub fn inode(self, pid: Pid) -> Result<u64> {
        let link = format!("/proc/{pid}/ns/{self}");
        let metadata = fs::metadata(&link).with_context(|| format!("stat {link}"))?;
        Ok(metadata.ino())
    }
    // ANCHOR_END: inode
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The flags of several kinds in one word.
pub fn flags(kinds: &[Namespace]) -> libc::c_int {
    kinds.iter().fold(0, |flags, kind| flags | kind.flag())
}

// ANCHOR: leave
/// Leaves the caller's namespaces of these kinds for new ones.
///
/// Two kinds take effect for children only, never for the caller: a process keeps its pid
/// namespace for life, and its time namespace until it forks, asks ([`enter_time`]), or, since
/// Linux 6.2, execs.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN, unless a user namespace is among them; EINVAL when the kernel lacks
/// one of the kinds; ENOSPC at the limit in /proc/sys/user. See unshare(2).
pub fn leave(kinds: &[Namespace]) -> Result<()> {
    // SAFETY: with namespace flags alone, unshare(2) touches no memory of the process.
    let left = unsafe { libc::unshare(flags(kinds)) };
    let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    Errno::result(left).with_context(|| format!("unshare {}", names.join(" ")))?;
    Ok(())
}
// ANCHOR_END: leave

// ANCHOR: hostname
/// Sets the hostname of the caller's uts namespace. Whoever shares that namespace sees it change.
///
/// # Errors
/// When `name` is empty or over 64 bytes, or without CAP_SYS_ADMIN. See sethostname(2).
pub fn set_hostname(name: &str) -> Result<()> {
    ensure!((1..=64).contains(&name.len()), "hostname '{name}': must have 1 to 64 bytes");
    sethostname(name).with_context(|| format!("set hostname {name}"))
}
// ANCHOR_END: hostname

/// Sets the NIS domain name of the caller's uts namespace.
///
/// # Errors
/// When `name` is over 64 bytes, or without CAP_SYS_ADMIN. See setdomainname(2).
pub fn set_domainname(name: &str) -> Result<()> {
    ensure!(name.len() <= 64, "domainname '{name}': must have at most 64 bytes");
    // SAFETY: the pointer and the length describe `name`, which outlives the call.
    let set = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    Errno::result(set).with_context(|| format!("set domainname {name}"))?;
    Ok(())
}

// ANCHOR: time
/// Shifts the clocks of the time namespace that the caller's children will be in, in seconds.
///
/// Call it after leaving [`Namespace::Time`] and before the first fork: once a process is in the
/// namespace, its offsets are fixed.
///
/// # Errors
/// EACCES when a process is in it already; ERANGE when a clock would become negative. See
/// time_namespaces(7).
pub fn set_time_offsets(monotonic: i64, boottime: i64) -> Result<()> {
    let offsets = format!("monotonic {monotonic} 0\nboottime {boottime} 0\n");
    fs::write("/proc/self/timens_offsets", offsets).context("write /proc/self/timens_offsets")
}

/// Moves the caller itself into the time namespace that until now was only its children's.
///
/// # Errors
/// EUSERS when the caller has several threads. See time_namespaces(7), setns(2).
pub fn enter_time() -> Result<()> {
    let link = "/proc/self/ns/time_for_children";
    let namespace = fs::File::open(link).with_context(|| format!("open {link}"))?;
    setns(namespace, CloneFlags::from_bits_retain(libc::CLONE_NEWTIME))
        .context("enter the time namespace")
}
// ANCHOR_END: time

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_every_name_of_the_table() {
        for kind in Namespace::ALL {
            assert!(kind.inode(Pid::this()).is_ok(), "{kind}");
        }
    }

    #[test]
    fn flags_are_one_bit_each() {
        let all = flags(&Namespace::ALL);
        assert_eq!(all.count_ones(), 8);
    }
}
