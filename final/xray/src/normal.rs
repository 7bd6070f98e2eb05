//! The facts without what changes from run to run and from machine to machine.
//!
//! A snapshot of these lines is the same on every distribution, with cgroup v1 and v2, as root and
//! rootless. Left out are pids, inodes, ids of mounts, devices, addresses that were handed out, what
//! is used, paths on the host, and the terminal. Where a kernel's build decides (which files of /proc
//! want a mask, how many capabilities there are), words take the place of the list.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use unshare::Namespace;

use crate::identity::CapSet;
use crate::net::Link;
use crate::picture::{limits_text, tmpfs_size};
use crate::root::Kind;
use crate::{Facts, Mount};

/// The normal form: lines of `key: value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normal {
    lines: Vec<(String, String)>,
}

impl Normal {
    /// The keys with their values, in the order of the picture.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of a key, such as `pid inside`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.lines().find_map(|(name, value)| (name == key).then_some(value))
    }

    fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.lines.push((key.into(), value.into()));
    }
}

impl fmt::Display for Normal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().try_for_each(|(key, value)| writeln!(f, "{key}: {value}"))
    }
}

impl Serialize for Normal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.lines())
    }
}

/// A line of the normal form that two processes, or two moments, don't share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs, such as `pid inside`.
    pub key: String,
    /// What it is in the first; `None` if that has no such line.
    pub before: Option<String>,
    /// What it is in the second.
    pub after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { key, before, after } = self;
        match (before, after) {
            (Some(before), Some(after)) => write!(f, "{key}: {after} (was: {before})"),
            (None, Some(after)) => write!(f, "{key}: {after} (new)"),
            (before, None) => write!(f, "{key}: gone (was: {})", before.as_deref().unwrap_or("")),
        }
    }
}

/// What the normal forms of `a` and `b` don't share, in `b`'s order; what only `a` has comes last.
pub fn differences(a: &Facts, b: &Facts) -> Vec<Difference> {
    compare(&a.normal(), &b.normal())
}

fn compare(a: &Normal, b: &Normal) -> Vec<Difference> {
    let changed = b.lines().filter(|(key, value)| a.get(key) != Some(value)).map(|(key, value)| {
        let before = a.get(key).map(str::to_owned);
        Difference { key: key.to_owned(), before, after: Some(value.to_owned()) }
    });
    let gone = a.lines().filter(|(key, _)| b.get(key).is_none()).map(|(key, value)| Difference {
        key: key.to_owned(),
        before: Some(value.to_owned()),
        after: None,
    });
    changed.chain(gone).collect()
}

const HOSTS: &str = "the host's";

impl Facts {
    /// The facts without what changes from run to run and from machine to machine.
    pub fn normal(&self) -> Normal {
        let mut normal = Normal { lines: Vec::new() };
        self.normal_process(&mut normal);
        self.normal_root(&mut normal);
        self.normal_mounts(&mut normal);
        self.normal_names(&mut normal);
        self.normal_network(&mut normal);
        self.normal_cgroup(&mut normal);
        self.normal_identity(&mut normal);
        normal
    }

    fn normal_process(&self, normal: &mut Normal) {
        normal.add(
            "pid inside",
            match self.owns(Namespace::Pid) {
                true => self.process.pid_inside.to_string(),
                false => HOSTS.to_owned(),
            },
        );
        // A process enters its new time namespace at exec since Linux 6.2, before that only its
        // children do: for the reader of a snapshot both are its own.
        let own =
            |n: &crate::Membership| n.own || n.children_elsewhere && n.kind == Namespace::Time;
        normal.add("namespaces own", or_none(self.kinds(own)));
        normal.add("namespaces the host's", or_none(self.kinds(|n| !own(n))));
        let ways_out = self.process.descriptors.iter().filter(|d| d.leads_out).count();
        normal.add(
            "descriptors that lead out",
            match ways_out {
                0 => "none".to_owned(),
                number => number.to_string(),
            },
        );
    }

    fn normal_root(&self, normal: &mut Normal) {
        normal.add(
            "root",
            match self.root.kind {
                Kind::Host => HOSTS,
                Kind::Chroot => "chroot",
                Kind::OwnMount => "own mount",
            },
        );
        let Some(mount) = self.root.mount.as_ref().filter(|_| self.owns(Namespace::Mount)) else {
            return;
        };
        let layers = mount.layers.as_ref();
        normal.add(
            "root filesystem",
            match layers.map(|layers| layers.lower.len()) {
                Some(1) => "overlay of one lower layer".to_owned(),
                Some(number) => format!("overlay of {number} lower layers"),
                None if self.root.kind == Kind::Host => HOSTS.to_owned(),
                None => "a folder of the host".to_owned(),
            },
        );
        normal.add("root access", if mount.read_only { "ro" } else { "rw" });
        normal.add("root propagation", mount.propagation.to_string());
    }

    fn normal_mounts(&self, normal: &mut Normal) {
        if !self.owns(Namespace::Mount) {
            return normal.add("mounts", HOSTS);
        }
        if self.mounts.is_empty() {
            return normal.add("mounts", "own, nothing of it below the root");
        }
        if self.seen_mounts().any(|mount| mount.as_host) {
            normal.add("mounts", "a copy of the host's");
        }
        // By name, so that the order of mounting may change.
        let mounts: BTreeMap<_, _> =
            self.own_mounts().map(|mount| (&mount.mount_point, self.mount_words(mount))).collect();
        for (mount_point, words) in mounts {
            normal.add(format!("mount {mount_point}"), words);
        }
        let any = |which: fn(&Mount) -> bool| {
            self.seen_mounts().any(|mount| !mount.as_host && which(mount))
        };
        if any(Mount::is_read_only_part) {
            normal.add("read-only parts", "the settings in /proc");
        }
        if any(Mount::is_mask) {
            normal.add("masked parts", "the host's secrets in /proc and /sys");
        }
        // With a terminal there is a console.
        let devices = self.root.devices.iter().filter(|name| *name != "console" && *name != "ptmx");
        let devices: Vec<_> = devices.map(String::as_str).collect();
        if !devices.is_empty() {
            normal.add("devices", devices.join(" "));
        }
    }

    /// A mount without the host's part: which disk a folder lies on is of no interest.
    fn mount_words(&self, mount: &Mount) -> String {
        const KERNELS: [&str; 6] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "overlay"];
        if mount.is_cgroup() {
            return format!("cgroup, {}", if self.cgroups_are_read_only() { "ro" } else { "rw" });
        }
        let kind = KERNELS.into_iter().find(|kind| mount.root == "/" && mount.fs_type == *kind);
        match (kind, tmpfs_size(mount)) {
            (Some(kind), Some(size)) => format!("{kind}, {}, {size}", mount.access()),
            (Some(kind), None) => format!("{kind}, {}", mount.access()),
            // What else a bind mount forbids comes from the disk's own mount.
            (None, _) => format!("bind, {}", if mount.is_read_only() { "ro" } else { "rw" }),
        }
    }

    fn normal_names(&self, normal: &mut Normal) {
        if self.owns(Namespace::Uts) {
            normal.add("hostname", self.names.hostname.to_string());
            normal.add("domainname", self.names.domainname.to_string());
        } else {
            normal.add("hostname", HOSTS);
        }
        if let Some(clocks) = &self.clocks
            && self.shifts_clocks()
        {
            normal.add("time since boot", format!("{:+} s", clocks.boottime));
            normal.add("monotonic clock", format!("{:+} s", clocks.monotonic));
        }
    }

    fn normal_network(&self, normal: &mut Normal) {
        if !self.owns(Namespace::Net) {
            return normal.add("network", HOSTS);
        }
        for link in self.network.links.iter().filter(|link| !link.comes_by_itself()) {
            normal.add(format!("link {}", link.name), link_words(link));
        }
        let default = self.network.routes.iter().find(|route| route.network.is_none());
        normal.add(
            "default route",
            match default {
                Some(route) => format!("by {}", route.link),
                None => "none".to_owned(),
            },
        );
    }

    fn normal_cgroup(&self, normal: &mut Normal) {
        normal.add("cgroup", if self.cgroup.own { "own" } else { HOSTS });
        if !self.cgroup.own {
            return;
        }
        for (key, value) in self.cgroup.normal_lines() {
            normal.add(key, value);
        }
    }

    fn normal_identity(&self, normal: &mut Normal) {
        let identity = &self.identity;
        let id = |id: Option<u32>| match id {
            Some(0) => "root".to_owned(),
            Some(id) => id.to_string(),
            None => "not mapped".to_owned(),
        };
        normal.add("user inside", id(identity.user.inside));
        normal.add("group inside", id(identity.group.inside));
        let root_is_root =
            identity.user_map.iter().any(|range| range.inside == 0 && range.outside == 0);
        normal.add(
            "ids",
            match self.owns(Namespace::User) {
                false => HOSTS,
                true if root_is_root => "mapped, root is root outside",
                true => "mapped, root is somebody else outside",
            },
        );
        let sets = identity.capabilities;
        for (name, set) in sets.sets() {
            normal.add(format!("capabilities {name}"), set_words(set, sets.on_this_host));
        }
        normal.add("seccomp", identity.seccomp.to_string());
        normal.add("no_new_privs", if identity.no_new_privs { "on" } else { "off" });
        normal.add("limits", limits_text(&self.limits));
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn link_words(link: &Link) -> String {
    let state = if link.up { "up" } else { "down" };
    // IPv6 may be switched off on the host, and link-local addresses come when they like.
    let address = link.addresses.iter().find(|address| address.ip.is_ipv4());
    match address {
        Some(address) if address.ip.is_loopback() => format!("{state}, {address}"),
        Some(address) => format!("{state}, an address in a /{}", address.prefix),
        None => format!("{state}, no address"),
    }
}

/// "All" is what the observer's machine hands out: newer kernels know more capabilities than older.
fn set_words(set: CapSet, on_this_host: CapSet) -> String {
    match set {
        CapSet(0) => "none".to_owned(),
        set if set.covers(on_this_host) => "all".to_owned(),
        set => set.names().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_changed_what_is_new_and_what_is_gone() {
        let normal = |lines: &[(&str, &str)]| Normal {
            lines: lines.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        };
        let before = normal(&[("root", "chroot"), ("mounts", "the host's"), ("seccomp", "off")]);
        let after =
            normal(&[("root", "own mount"), ("mount /proc", "proc, rw"), ("seccomp", "off")]);
        let lines: Vec<_> = compare(&before, &after).iter().map(Difference::to_string).collect();
        assert_eq!(
            lines,
            [
                "root: own mount (was: chroot)",
                "mount /proc: proc, rw (new)",
                "mounts: gone (was: the host's)",
            ]
        );
    }

    #[test]
    fn all_is_what_the_host_has() {
        assert_eq!(set_words(CapSet(0b111), CapSet(0b011)), "all");
        assert_eq!(set_words(CapSet(0b101), CapSet(0b111)), "chown dac_read_search");
        assert_eq!(set_words(CapSet(0), CapSet(0)), "none");
    }
}
