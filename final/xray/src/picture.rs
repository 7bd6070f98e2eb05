//! The facts as a picture of text, at most 80 columns wide.

use std::fmt;

use cgroups::Bytes;
use unshare::Namespace;

use crate::identity::{Id, Range};
use crate::net::{Link, Route};
use crate::process::Limit;
use crate::root::Kind;
use crate::text::{Row, grouped};
use crate::{Facts, Mount};

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        grouped(f, &self.rows())
    }
}

impl Facts {
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        self.process_rows(&mut rows);
        self.namespace_rows(&mut rows);
        self.root_rows(&mut rows);
        self.mount_rows(&mut rows);
        self.name_rows(&mut rows);
        self.network_rows(&mut rows);
        self.cgroup_rows(&mut rows);
        self.identity_rows(&mut rows);
        rows
    }

    fn process_rows(&self, rows: &mut Vec<Row>) {
        let process = &self.process;
        let mut row = |key: &str, value: String| rows.push(Row::new("process", key, value));
        row("command", process.command_line());
        row(
            "pid",
            match self.owns(Namespace::Pid) {
                true => format!("{} inside, {} outside", process.pid_inside, process.pid),
                false => format!("{}, inside and outside", process.pid),
            },
        );
        let numbers: Vec<_> = process.descriptors.iter().map(|d| d.number.to_string()).collect();
        row("descriptors", or_none(numbers.join(" ")));
        for descriptor in process.descriptors.iter().filter(|d| d.leads_out) {
            row("a way out", format!("{} -> {}", descriptor.number, descriptor.target));
        }
        row("terminal", process.terminal.clone().unwrap_or_else(|| "none".to_owned()));
    }

    fn namespace_rows(&self, rows: &mut Vec<Row>) {
        let mut row = |key: &str, value: String| rows.push(Row::new("namespaces", key, value));
        row("own", or_none(self.kinds(|n| n.own)));
        row("the host's", or_none(self.kinds(|n| !n.own)));
        let children = self.kinds(|n| n.children_elsewhere);
        if !children.is_empty() {
            row("its children's", children);
        }
    }

    /// The names of some of the namespaces.
    pub(crate) fn kinds(&self, which: impl Fn(&crate::Membership) -> bool) -> String {
        let chosen = self.namespaces.iter().filter(|membership| which(membership));
        chosen.map(|membership| membership.kind.name()).collect::<Vec<_>>().join(" ")
    }

    fn root_rows(&self, rows: &mut Vec<Row>) {
        let mut row = |key: &str, value: String| rows.push(Row::new("root", key, value));
        row(
            "directory",
            match self.root.kind {
                Kind::Host => "the host's".to_owned(),
                Kind::Chroot => format!("chroot at {}", self.root.path),
                Kind::OwnMount => "own mount, nothing above it".to_owned(),
            },
        );
        let Some(mount) = self.root.mount.as_ref().filter(|_| self.owns(Namespace::Mount)) else {
            return;
        };
        let access = if mount.read_only { "ro" } else { "rw" };
        let from = mount.from.as_ref().map(|path| format!(", from {path}")).unwrap_or_default();
        row("filesystem", format!("{}, {access}{from}", mount.fs_type));
        row("propagation", mount.propagation.to_string());
        let Some(layers) = &mount.layers else { return };
        if let Some(upper) = &layers.upper {
            row("upper layer", upper.clone());
        }
        // A few tell where they are; an image can have a hundred.
        const SHOWN: usize = 3;
        let lower = layers.lower.iter().take(SHOWN);
        for (number, path) in lower.enumerate() {
            row(if number == 0 { "lower layers" } else { "" }, path.clone());
        }
        if layers.lower.len() > SHOWN {
            row("", format!("and {} more", layers.lower.len() - SHOWN));
        }
    }

    fn mount_rows(&self, rows: &mut Vec<Row>) {
        let mut row = |key: &str, value: String| rows.push(Row::new("mounts", key, value));
        if !self.owns(Namespace::Mount) {
            return row("table", "the host's".to_owned());
        }
        if self.mounts.is_empty() {
            return row("table", "own, nothing of it below the root".to_owned());
        }
        for mount in self.own_mounts() {
            row(
                &mount.mount_point,
                match mount.is_cgroup() {
                    true => self.cgroup_mount_text(mount),
                    false => mount_text(mount),
                },
            );
        }
        let shared = self.seen_mounts().filter(|mount| mount.as_host).count();
        if shared > 0 {
            row("copied", format!("{shared}, as the host has them"));
        }
        let paths = |which: fn(&Mount) -> bool| -> Vec<&str> {
            let chosen = self.seen_mounts().filter(|mount| !mount.as_host && which(mount));
            chosen.map(|mount| mount.mount_point.as_str()).collect()
        };
        let read_only = paths(Mount::is_read_only_part);
        if !read_only.is_empty() {
            row("read-only", read_only.join(" "));
        }
        let masked = paths(Mount::is_mask);
        if !masked.is_empty() {
            row("masked", masked.join(" "));
        }
        if !self.root.devices.is_empty() {
            let bound = !paths(Mount::is_device_node).is_empty();
            let bound = if bound { " (bound from the host's)" } else { "" };
            row("devices", format!("{}{bound}", self.root.devices.join(" ")));
        }
    }

    /// With v1 a tmpfs holds a mount for each controller, or for a few together.
    fn cgroup_mount_text(&self, top: &Mount) -> String {
        let hierarchies =
            self.seen_mounts().filter(|mount| mount.is_cgroup() && mount.fs_type == "cgroup");
        let access = if self.cgroups_are_read_only() { "ro" } else { "rw" };
        match hierarchies.count() {
            0 => mount_text(top),
            number => format!("cgroup v1, {access}, {number} hierarchies"),
        }
    }

    /// Whether no cgroup can be changed below /sys/fs/cgroup.
    pub(crate) fn cgroups_are_read_only(&self) -> bool {
        let mut cgroups = self
            .seen_mounts()
            .filter(|mount| mount.is_cgroup() && mount.fs_type.starts_with("cgroup"));
        cgroups.all(Mount::is_read_only)
    }

    /// The mounts that tell something: not the root, which has its own lines; not those that the host
    /// has just so; and not the many that stand for one thing, as masks, device nodes and v1 cgroups.
    pub(crate) fn own_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.seen_mounts().filter(|mount| {
            let special = mount.is_mask() || mount.is_read_only_part() || mount.is_device_node();
            let controller = mount.is_cgroup() && mount.mount_point != "/sys/fs/cgroup";
            mount.mount_point != "/" && !mount.as_host && !special && !controller
        })
    }

    /// The mounts without those that others lie over.
    pub(crate) fn seen_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| !mount.covered)
    }

    fn name_rows(&self, rows: &mut Vec<Row>) {
        let mut row = |key: &str, value: String| rows.push(Row::new("names", key, value));
        let whose = if self.owns(Namespace::Uts) { "" } else { " (the host's)" };
        row("hostname", format!("{}{whose}", self.names.hostname));
        row("domainname", format!("{}{whose}", self.names.domainname));
        if let Some(clocks) = &self.clocks
            && self.shifts_clocks()
        {
            let crate::Clocks { boottime, monotonic } = clocks;
            rows.push(Row::new("clocks", "since boot", format!("{boottime:+} s")));
            rows.push(Row::new("clocks", "monotonic", format!("{monotonic:+} s")));
        }
    }

    /// Whether it or its children have clocks other than the observer's.
    pub(crate) fn shifts_clocks(&self) -> bool {
        let time = self.namespaces.iter().find(|membership| membership.kind == Namespace::Time);
        time.is_some_and(|time| time.own || time.children_elsewhere)
    }

    fn network_rows(&self, rows: &mut Vec<Row>) {
        let mut row = |key: &str, value: String| rows.push(Row::new("network", key, value));
        if !self.owns(Namespace::Net) {
            let names: Vec<_> = self.network.links.iter().map(|link| link.name.as_str()).collect();
            return row("the host's", names.join(" "));
        }
        for link in &self.network.links {
            row(&link.name, link_text(link));
        }
        for route in &self.network.routes {
            let network = route.network.map(|network| network.to_string());
            row(network.as_deref().unwrap_or("default route"), route_text(route));
        }
    }

    fn cgroup_rows(&self, rows: &mut Vec<Row>) {
        let key = if self.cgroup.own { "path" } else { "the host's" };
        rows.push(Row::new("cgroup", key, self.cgroup.path.clone()));
        if self.cgroup.own {
            let lines = self.cgroup.use_lines().into_iter();
            rows.extend(lines.map(|(key, value)| Row::new("cgroup", key, value)));
        }
    }

    fn identity_rows(&self, rows: &mut Vec<Row>) {
        let mut row = |key: &str, value: String| rows.push(Row::new("identity", key, value));
        let identity = &self.identity;
        row("user", id_text(identity.user));
        row("group", id_text(identity.group));
        let more = identity.groups.iter().filter(|group| **group != identity.group.outside);
        let more: Vec<_> = more.map(u32::to_string).collect();
        if !more.is_empty() {
            row("more groups", more.join(" "));
        }
        match self.owns(Namespace::User) {
            false => row("id maps", "the host's".to_owned()),
            true => {
                row("user ids", map_text(&identity.user_map));
                row("group ids", map_text(&identity.group_map));
            }
        }
        for (key, value) in self.capability_lines() {
            row(key, value);
        }
        row("seccomp", identity.seccomp.to_string());
        row("no_new_privs", if identity.no_new_privs { "on" } else { "off" }.to_owned());
        row("limits", limits_text(&self.limits));
    }

    /// One line for all sets that are equal.
    fn capability_lines(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        for (name, set) in self.identity.capabilities.sets() {
            let text = set.to_string();
            match lines.iter_mut().find(|(other, _)| *other == text) {
                Some((_, names)) => names.push(name),
                None => lines.push((text, vec![name])),
            }
        }
        if let [(set, _)] = &lines[..] {
            return vec![("capabilities", format!("{set}, in all sets"))];
        }
        let headings = std::iter::once("capabilities").chain(std::iter::repeat(""));
        let lines = headings.zip(lines);
        lines.map(|(key, (set, names))| (key, format!("{}: {set}", names.join(" ")))).collect()
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn mount_text(mount: &Mount) -> String {
    let mut text = format!("{}, {}", mount.fs_type, mount.access());
    if let Some(size) = tmpfs_size(mount) {
        text += &format!(", {}", size);
    }
    if let Some(layers) = &mount.layers {
        text += &format!(", {} lower layers", layers.lower.len());
    }
    if let Some(path) = &mount.from {
        text += &format!(", from {path}");
    }
    text
}

/// How much a tmpfs may hold, when it was told.
pub(crate) fn tmpfs_size(mount: &Mount) -> Option<String> {
    let size_of = |option: &String| option.strip_prefix("size=")?.strip_suffix('k')?.parse().ok();
    let kib: u64 =
        mount.fs_options.iter().find_map(size_of).filter(|_| mount.fs_type == "tmpfs")?;
    Some(Bytes(kib.saturating_mul(1024)).to_string())
}

fn link_text(link: &Link) -> String {
    let state = if link.up { "up" } else { "down" };
    let addresses: Vec<_> = link.addresses.iter().map(|address| address.to_string()).collect();
    match addresses.is_empty() {
        true => state.to_owned(),
        false => format!("{state}, {}", addresses.join(" ")),
    }
}

fn route_text(route: &Route) -> String {
    match route.gateway {
        Some(gateway) => format!("by {}, via {gateway}", route.link),
        None => format!("by {}", route.link),
    }
}

fn id_text(id: Id) -> String {
    let name = |id: u32| if id == 0 { "0 (root)".to_owned() } else { id.to_string() };
    match id.inside {
        Some(inside) if inside == id.outside => name(inside),
        Some(inside) => format!("{} inside, {} outside", name(inside), name(id.outside)),
        None => format!("not mapped inside, {} outside", name(id.outside)),
    }
}

fn map_text(map: &[Range]) -> String {
    let range = |range: &Range| {
        let Range { inside, outside, count } = range;
        match count {
            1 => format!("{inside} inside is {outside} outside"),
            _ => format!("{count} from {inside} inside are {outside} and up outside"),
        }
    };
    if map.is_empty() {
        return "none mapped".to_owned();
    }
    map.iter().map(range).collect::<Vec<_>>().join("; ")
}

/// The limits that aren't the host's.
pub(crate) fn limits_text(limits: &[Limit]) -> String {
    let value =
        |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
    let limit = |limit: &Limit| match limit.soft == limit.hard {
        true => format!("{} {}", limit.name, value(limit.soft)),
        false => format!("{} {} (up to {})", limit.name, value(limit.soft), value(limit.hard)),
    };
    if limits.is_empty() {
        return "the host's".to_owned();
    }
    limits.iter().map(limit).collect::<Vec<_>>().join(", ")
}
