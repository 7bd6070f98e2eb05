//! Which cgroups there are, before anything is tried.

use super::linux::text;
use crate::doctor::machine::{Cgroups, Layout};

/// Reads what is mounted, and where this process is in it. See cgroups(7).
pub(super) fn look() -> Cgroups {
    let (mounts, own) = (text("/proc/self/mounts"), text("/proc/self/cgroup"));
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let layout = layout(&mounts);
    let v1 = mounts.lines().filter_map(mount).filter(|mount| mount.kind == "cgroup");
    let mut v1: Vec<String> = v1.flat_map(|mount| mount.controllers()).collect();
    v1.sort_unstable();
    v1.dedup();
    let top = mounts.lines().filter_map(mount).find(|mount| mount.kind == "cgroup2");
    let v2 = top.map(|top| text(format!("{}{}/cgroup.controllers", top.place, own)));
    let v2 = v2.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    Cgroups { layout, v2, v1, own: own.to_owned() }
}

/// A line of /proc/self/mounts.
struct Mount<'a> {
    place: &'a str,
    kind: &'a str,
    options: &'a str,
}

fn mount(line: &str) -> Option<Mount<'_>> {
    let [_, place, kind, options, ..] = line.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    Some(Mount { place, kind, options })
}

impl Mount<'_> {
    /// Those that version 1 has on this mount; one that has a name instead, as systemd's, has none.
    fn controllers(&self) -> Vec<String> {
        const KNOWN: [&str; 14] = [
            "blkio",
            "cpu",
            "cpuacct",
            "cpuset",
            "devices",
            "freezer",
            "hugetlb",
            "memory",
            "misc",
            "net_cls",
            "net_prio",
            "perf_event",
            "pids",
            "rdma",
        ];
        self.options.split(',').filter(|word| KNOWN.contains(word)).map(str::to_owned).collect()
    }
}

/// Version 1 counts only where it has controllers: systemd's own hierarchy limits nothing.
fn layout(mounts: &str) -> Layout {
    let mounts: Vec<Mount> = mounts.lines().filter_map(mount).collect();
    let v2 = mounts.iter().any(|mount| mount.kind == "cgroup2");
    let v1 = mounts.iter().any(|mount| mount.kind == "cgroup" && !mount.controllers().is_empty());
    match (v1, v2) {
        (true, true) => Layout::Hybrid,
        (true, false) => Layout::V1,
        (false, true) => Layout::V2,
        (false, false) => Layout::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts() {
        const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        const MEMORY: &str = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";
        const SYSTEMD: &str = "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n";
        let of = |parts: &[&str]| layout(&parts.concat());
        assert_eq!(of(&["tmpfs /tmp tmpfs rw 0 0\n"]), Layout::None);
        assert_eq!(of(&[V2]), Layout::V2);
        assert_eq!(of(&[V2, SYSTEMD]), Layout::V2);
        assert_eq!(of(&[SYSTEMD, MEMORY]), Layout::V1);
        assert_eq!(of(&[SYSTEMD, MEMORY, V2]), Layout::Hybrid);
    }
}
