//! What a container has for its own, in a few lines.

use std::fmt;

use unshare::Namespace;

use crate::Facts;
use crate::root::Kind;
use crate::text::columns;

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
        let mut lines = Vec::new();
        let mut add = |key, value: String| {
            if !value.is_empty() {
                lines.push((key, value));
            }
        };
        add("namespaces", self.kinds(|namespace| namespace.own));
        add(
            "root",
            match self.root.kind {
                Kind::Host => String::new(),
                Kind::Chroot => format!("chroot at {}", self.root.path),
                Kind::OwnMount => self.own_root(),
            },
        );
        if self.owns(Namespace::Mount) {
            let copied = self.seen_mounts().any(|mount| mount.as_host);
            let mounts = self.own_mounts().map(|mount| mount.mount_point.as_str());
            let mounts = mounts.collect::<Vec<_>>().join(" ");
            add(
                "mounts",
                match (copied, mounts.is_empty()) {
                    (true, true) => "a copy of the host's".to_owned(),
                    (true, false) => format!("a copy of the host's, and {mounts}"),
                    (false, _) => mounts,
                },
            );
        }
        if self.owns(Namespace::Pid) {
            add("pid", self.process.pid_inside.to_string());
        }
        if self.owns(Namespace::Uts) {
            add("hostname", self.names.hostname.to_string());
        }
        if let Some(clocks) = self.clocks.filter(|clocks| clocks.boottime != 0) {
            add("since boot", format!("{:+} s", clocks.boottime));
        }
        if self.owns(Namespace::Net) {
            add("network", self.own_links());
        }
        if self.cgroup.own {
            let limits: Vec<_> = self
                .cgroup
                .limit_lines()
                .into_iter()
                .map(|(key, value)| format!("{key} {value}"))
                .collect();
            add(
                "cgroup",
                match limits.is_empty() {
                    true => "own, no limits".to_owned(),
                    false => limits.join(", "),
                },
            );
        }
        self.own_rights(&mut add);
        Own { lines }
    }

    fn own_root(&self) -> String {
        let Some(mount) = &self.root.mount else { return "own mount".to_owned() };
        let kind = match &mount.layers {
            Some(layers) if layers.lower.len() == 1 => "overlay of one layer".to_owned(),
            Some(layers) => format!("overlay of {} layers", layers.lower.len()),
            None => mount.fs_type.clone(),
        };
        let access = if mount.read_only { "read-only" } else { "writable" };
        format!("own mount, {kind}, {access}, {}", mount.propagation)
    }

    fn own_links(&self) -> String {
        let link = |link: &crate::net::Link| {
            let address = link.addresses.iter().find(|address| address.ip.is_ipv4());
            match (address, link.up) {
                (Some(address), _) => format!("{} {address}", link.name),
                (None, true) => format!("{} without address", link.name),
                (None, false) => format!("{} down", link.name),
            }
        };
        self.network.links.iter().map(link).collect::<Vec<_>>().join(", ")
    }

    /// What it may do, where that is less than the observer.
    fn own_rights(&self, add: &mut impl FnMut(&'static str, String)) {
        let identity = &self.identity;
        if self.owns(Namespace::User) {
            let (inside, outside) = (identity.user.inside, identity.user.outside);
            let inside = inside.map_or("nobody".to_owned(), |id| id.to_string());
            add("user", format!("{inside} inside, {outside} outside"));
        }
        let sets = identity.capabilities;
        if !sets.bounding.covers(sets.on_this_host) {
            add("capabilities", sets.bounding.to_string());
        }
        if identity.seccomp != crate::identity::Seccomp::Off {
            add("seccomp", identity.seccomp.to_string());
        }
        if identity.no_new_privs {
            add("no_new_privs", "on".to_owned());
        }
    }
}
