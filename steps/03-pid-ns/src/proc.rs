//! /proc, the file system in which `ps` looks. An instance of it shows one pid namespace: the one of
//! the process that mounts it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::unistd::Pid;

// ANCHOR: proc
/// Mounts a /proc of the caller's pid namespace in `rootfs`.
///
/// The mount lands in the host's mount table, since nothing here has one of its own yet. Step 4
/// mends that.
///
/// # Errors
/// When `rootfs` has no folder `proc`, or without CAP_SYS_ADMIN. See proc(5).
pub fn mount_proc(rootfs: &Path) -> Result<()> {
    chroot::require_rootfs(rootfs)?;
    let target = rootfs.join("proc");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), &target, Some("proc"), flags, None::<&str>)
        .with_context(|| format!("mount {}", target.display()))
}

/// Takes the /proc of containers that have ended away again. That of one that runs stays, and so does
/// the host's, if `rootfs` is `/` and the container came to mount none.
pub fn unmount_proc(rootfs: &Path) {
    let proc = rootfs.join("proc");
    // When a pid namespace has ended, its /proc shows no process any more, not even the first.
    let is_left = || {
        let is_proc = statfs(&proc).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC);
        is_proc && !proc.join("1").exists()
    };
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    while is_left() && umount2(&proc, flags).is_ok() {}
}
// ANCHOR_END: proc

/// When `pid` started, in clock ticks since boot. A pid is given to another process once its owner is
/// gone: the two together name one process for good.
///
/// # Errors
/// When there is no such process. See proc_pid_stat(5), field 22.
pub fn start_time(pid: Pid) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The second field is the program's name in parentheses, and may contain both blanks and
    // parentheses. What follows the last of them starts with field 3.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' '));
    fields
        .and_then(|mut fields| fields.nth(22 - 3)?.parse().ok())
        .with_context(|| format!("read {path}: no start time"))
}
