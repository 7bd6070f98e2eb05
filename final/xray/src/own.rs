//! What a container has for its own, in a few lines.

use std::fmt;

use unshare::Namespace;

use crate::identity::{Id, Seccomp};
use crate::net::Link;
use crate::root::Kind;
use crate::text::columns;
use crate::{Facts, Identity};

/// What a process doesn't share with the observer, in lines of a key and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    lines: Vec<(&'static str, String)>,
}

impl Own {
    /// The keys with their values.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Whether the process shares everything with the observer.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|(key, value)| columns(f, "", key, 12, value))
    }
}

impl Facts {
    /// What the process has for its own, in a few lines; what is the host's is left out.
    pub fn own(&self) -> Own {
        let mut lines = vec![
            ("namespaces", self.kinds(|namespace| namespace.own)),
            ("root", self.own_root()),
            ("mounts", self.own_mount_points()),
            ("pid", self.if_own(Namespace::Pid, || self.process.pid_inside.to_string())),
            ("hostname", self.if_own(Namespace::Uts, || self.names.hostname.to_string())),
            ("since boot", self.own_clock()),
            ("network", self.if_own(Namespace::Net, || self.own_links())),
            ("cgroup", self.own_cgroup()),
            ("user", self.if_own(Namespace::User, || self.own_user())),
        ];
        lines.extend(self.given_up());
        lines.retain(|(_, value)| !value.is_empty());
        Own { lines }
    }

    /// What `describe` says, if the namespace of this kind is its own.
    fn if_own(&self, kind: Namespace, describe: impl FnOnce() -> String) -> String {
        if self.owns(kind) { describe() } else { String::new() }
    }

    fn own_root(&self) -> String {
        let mount = match (self.root.kind, &self.root.mount) {
            (Kind::Host, _) => return String::new(),
            (Kind::Chroot, _) => return format!("chroot at {}", self.root.path),
            (Kind::OwnMount, None) => return "own mount".to_owned(),
            (Kind::OwnMount, Some(mount)) => mount,
        };
        let filesystem = match &mount.layers {
            Some(layers) if layers.lower.len() == 1 => "overlay of one layer".to_owned(),
            Some(layers) => format!("overlay of {} layers", layers.lower.len()),
            None => mount.fs_type.clone(),
        };
        let access = if mount.read_only { "read-only" } else { "writable" };
        format!("own mount, {filesystem}, {access}, {}", mount.propagation)
    }

    fn own_mount_points(&self) -> String {
        if !self.owns(Namespace::Mount) {
            return String::new();
        }
        let mut parts = Vec::new();
        if self.seen_mounts().any(|mount| mount.as_host) {
            parts.push("a copy of the host's".to_owned());
        }
        let mount_points: Vec<_> = self.own_mounts().map(|m| m.mount_point.as_str()).collect();
        if !mount_points.is_empty() {
            parts.push(mount_points.join(" "));
        }
        parts.join(", and ")
    }

    fn own_clock(&self) -> String {
        let shifted = self.clocks.filter(|clocks| self.shifts_clocks() && clocks.boottime != 0);
        shifted.map_or(String::new(), |clocks| format!("{:+} s", clocks.boottime))
    }

    fn own_links(&self) -> String {
        let describe = |link: &Link| {
            let address = link.addresses.iter().find(|address| address.ip.is_ipv4());
            match (address, link.up) {
                (Some(address), _) => format!("{} {address}", link.name),
                (None, true) => format!("{} without address", link.name),
                (None, false) => format!("{} down", link.name),
            }
        };
        let links = self.network.links.iter().filter(|link| !link.comes_by_itself());
        links.map(describe).collect::<Vec<_>>().join(", ")
    }

    fn own_cgroup(&self) -> String {
        if !self.cgroup.own {
            return String::new();
        }
        let limits = self.cgroup.limit_lines().into_iter();
        let limits: Vec<_> = limits.map(|(name, value)| format!("{name} {value}")).collect();
        if limits.is_empty() { "own, no limits".to_owned() } else { limits.join(", ") }
    }

    fn own_user(&self) -> String {
        let Id { inside, outside } = self.identity.user;
        let inside = inside.map_or("nobody".to_owned(), |id| id.to_string());
        format!("{inside} inside, {outside} outside")
    }

    /// What it may do less than the observer.
    fn given_up(&self) -> Vec<(&'static str, String)> {
        let Identity { capabilities, seccomp, no_new_privs, .. } = &self.identity;
        let mut lines = Vec::new();
        if !capabilities.bounding.covers(capabilities.on_this_host) {
            lines.push(("capabilities", capabilities.bounding.to_string()));
        }
        if *seccomp != Seccomp::Off {
            lines.push(("seccomp", seccomp.to_string()));
        }
        if *no_new_privs {
            lines.push(("no_new_privs", "on".to_owned()));
        }
        lines
    }
}
