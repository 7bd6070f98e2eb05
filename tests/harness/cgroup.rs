//! What the cgroups of this machine, and this user's share of them, lack for a test.

use std::fs;
use std::path::Path;

use cgroups::{Cgroup, IoLimit, Limits};
use nix::unistd::geteuid;

/// The disk of a virtual machine.
const DISK: &str = "/sys/class/block/vda/dev";

/// For any cgroup.
pub(crate) fn obstacle() -> Option<String> {
    limit_obstacle(&Limits::default()).map(|why| format!("needs a cgroup of its own: {why}"))
}

/// For version 2 alone.
pub(crate) fn v2_obstacle() -> Option<String> {
    let there = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    (!there).then(|| "needs cgroup v2 alone (Linux with 'cgroup_no_v1=all')".to_owned())
}

/// For a namespace's own limits to be out of its reach.
pub(crate) fn delegate_obstacle() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let there =
        mounts.lines().any(|line| line.contains(" cgroup2 ") && line.contains("nsdelegate"));
    (!there).then(|| "needs cgroup2 mounted with nsdelegate, as systemd does".to_owned())
}

/// For a limit on CPUs.
pub(crate) fn cpuset_obstacle() -> Option<String> {
    let limits = Limits { cpuset_cpus: "0".parse().ok(), ..Limits::default() };
    limit_obstacle(&limits).map(|why| format!("needs the cpuset controller: {why}"))
}

/// For a limit on a virtual disk.
pub(crate) fn disk_obstacle() -> Option<String> {
    if !geteuid().is_root() {
        return Some("needs root: no other user may read a disk".to_owned());
    }
    let number = fs::read_to_string(DISK).unwrap_or_default();
    let device = number
        .trim()
        .split_once(':')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let Some(device) = device else { return Some("needs a virtual disk, /dev/vda".to_owned()) };
    let io = IoLimit { device, reads: Some(1000), ..IoLimit::default() };
    limit_obstacle(&Limits { io: vec![io], ..Limits::default() })
        .map(|why| format!("needs the io controller: {why}"))
}

/// For pressure to be told.
pub(crate) fn pressure_obstacle() -> Option<String> {
    let there = fs::read_to_string("/proc/pressure/cpu").is_ok();
    (!there).then(|| "needs pressure stall information (Linux with 'psi=1')".to_owned())
}

/// Why a cgroup can't have these limits.
fn limit_obstacle(limits: &Limits) -> Option<String> {
    let try_it = || {
        let mut cgroup = Cgroup::create(&format!("probe-{}", std::process::id()))?;
        let limited = cgroup.limit(limits);
        cgroup.remove()?;
        limited
    };
    try_it().err().map(|error| format!("{error:#}"))
}
