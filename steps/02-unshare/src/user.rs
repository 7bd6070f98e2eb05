//! The first use of a user namespace: root's powers without being root.
//!
//! The lab and the engine need this for an ordinary user long before a chapter explains it: inside a
//! user namespace that it created, a process holds every capability, over that namespace's own
//! things alone. What the ids mean there, and how to map more than one, is step 9's subject.

use std::fs;

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::unistd::{Gid, Pid, Uid, getegid, geteuid};

use crate::{Namespace, flags};

/// Enters a new user namespace together with other new namespaces, with the caller as its root.
///
/// One id is mapped: 0 inside is the caller outside. The other namespaces belong to the new user
/// namespace, so the caller may set them up. The process must have one thread.
///
/// # Errors
/// When the machine forbids user namespaces, with what forbids it. See user_namespaces(7).
pub fn become_root(others: &[Namespace]) -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    let kinds = flags(&[Namespace::User]) | flags(others);
    // SAFETY: with namespace flags alone, unshare(2) touches no memory of the process.
    if unsafe { libc::unshare(kinds) } != 0 {
        return Err(explain(Errno::last().into()));
    }
    map_to_root("self", uid, gid)
}

/// Makes the caller's ids root in the user namespace that its child `pid` was born in.
///
/// # Errors
/// When the child has ended, or its ids are mapped already. See user_namespaces(7).
pub fn map_root(pid: Pid) -> Result<()> {
    map_to_root(&pid.to_string(), geteuid(), getegid())
}

/// Maps `uid` and `gid` of the parent user namespace to 0 in that of the process.
fn map_to_root(process: &str, uid: Uid, gid: Gid) -> Result<()> {
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{process}/{file}");
        fs::write(&path, text).with_context(|| format!("write {path}"))
    };
    // user_namespaces(7): without privileges outside, gid_map can only be written once setgroups(2)
    // is off; else a process could drop a group that a file's permissions use to keep it out.
    write("setgroups", "deny")?;
    write("uid_map", &format!("0 {uid} 1"))?;
    write("gid_map", &format!("0 {gid} 1"))
}

/// Adds to `error`, with which the kernel refused a user namespace, which of the usual obstacles it was.
pub fn explain(error: Error) -> Error {
    let on = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|v| v.trim() == value);
    let cause = if on("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "AppArmor forbids it: 'sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0' allows it"
    } else if on("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "a sysctl forbids it: 'sudo sysctl kernel.unprivileged_userns_clone=1' allows it"
    } else if on("/proc/sys/user/max_user_namespaces", "0") {
        "a sysctl forbids it: 'sudo sysctl user.max_user_namespaces=15000' allows it"
    } else {
        "this machine or the container around it forbids it; 'cargo workshop doctor' tells more"
    };
    error.context(format!("create a user namespace ({cause})"))
}
