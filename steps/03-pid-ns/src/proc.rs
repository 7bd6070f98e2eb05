//! /proc, the file system in which `ps` looks. An instance of it shows one pid namespace: the one of
//! the process that mounts it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
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

/// Takes the /proc of a container that has ended away again, if it was mounted.
pub fn unmount_proc(rootfs: &Path) {
    // umount(2): MNT_DETACH, because another container's /proc may be mounted over it.
    let _ = umount2(&rootfs.join("proc"), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
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
