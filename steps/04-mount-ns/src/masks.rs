//! What /proc and /sys must not give away, or must not take.
//!
//! Much in there belongs to no namespace: it is the one machine. Root in a container is root to
//! those files too, so each is covered or made read-only by a mount of its own.
//!
//! Root inside can still unmount them again; step 10 takes away the capability for that. In a user
//! namespace, step 09, little is won by it: most of these files then ask for a right that root
//! inside doesn't have.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::ResolveFlags;
use rustix::mount::MountAttrFlags as Attr;

use crate::detached::Detached;
use crate::devices;
use crate::inside::is_directory;
use crate::root::Root;

// ANCHOR: lists
/// What is hidden, as Docker's default (moby, `daemon/pkg/oci/defaults.go`): keys, the kernel's memory,
/// and counters by which one container can watch another work. (Docker also hides thermal_throttle in
/// the folder of each processor: a list that is the machine's, not ours.)
pub const HIDDEN: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What can be read but not written: a write to /proc/sysrq-trigger reboots the machine, one to
/// /proc/sys/kernel/core_pattern runs a program on it.
pub const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
// ANCHOR_END: lists

// ANCHOR: hide
/// Covers `path`: a file by /dev/null, a directory by an empty one. Does nothing when the kernel has
/// no such file.
///
/// # Errors
/// When /dev/null inside is not the null device; whatever the kernel refuses.
pub fn hide(root: &Root, path: &Path) -> Result<()> {
    let hide = || {
        let Some(target) = root.find(path, ResolveFlags::empty())? else { return Ok(()) };
        let cover = if is_directory(target.as_fd())? {
            let source = [("source".to_owned(), Some("tmpfs".to_owned()))];
            let read_only =
                Attr::MOUNT_ATTR_RDONLY | Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV;
            Detached::filesystem("tmpfs", &source, read_only | Attr::MOUNT_ATTR_NOEXEC)?
        } else {
            Detached::copy(devices::null(root)?, false)?
        };
        cover.attach(target).map(drop)
    };
    hide().with_context(|| format!("hide {}", path.display()))
}
// ANCHOR_END: hide

// ANCHOR: protect
/// Makes `path` and all below it read-only, by a read-only mount of itself. Does nothing when the
/// kernel has no such file.
///
/// # Errors
/// Whatever the kernel refuses.
pub fn protect(root: &Root, path: &Path) -> Result<()> {
    let protect = || {
        let Some(target) = root.find(path, ResolveFlags::empty())? else { return Ok(()) };
        let copy = Detached::copy(&target, true)?;
        copy.set(Attr::MOUNT_ATTR_RDONLY)?;
        copy.attach(target).map(drop)
    };
    protect().with_context(|| format!("make {} read-only", path.display()))
}
// ANCHOR_END: protect
