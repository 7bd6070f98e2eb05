//! Who the process is: ids, capabilities, and what it gave up.

use std::fmt;

use anyhow::Result;
use serde::{Serialize, Serializer};

use crate::proc::{ProcDir, field};

/// Who a process is, and what it may do.
#[derive(Debug, Clone, Serialize)]
pub struct Identity {
    /// Its effective user.
    pub user: Id,
    /// Its effective group.
    pub group: Id,
    /// Its further groups, as the observer counts.
    pub groups: Vec<u32>,
    /// How its user namespace's user ids look from outside.
    pub user_map: Vec<Range>,
    /// The same for group ids.
    pub group_map: Vec<Range>,
    /// Its five capability sets.
    pub capabilities: Capabilities,
    /// Which system calls are filtered.
    pub seccomp: Seccomp,
    /// Whether exec can't give it more than it has: prctl(2), PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
}

/// A user or group id, seen from both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Id {
    /// In the process's own user namespace; `None` if it isn't mapped there.
    pub inside: Option<u32>,
    /// In the observer's.
    pub outside: u32,
}

/// A line of /proc/PID/uid_map. See user_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The first id inside.
    pub inside: u32,
    /// The id outside that it stands for.
    pub outside: u32,
    /// How many ids follow each other.
    pub count: u32,
}

/// The capability sets of a process. See capabilities(7).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Capabilities {
    /// What it keeps when it runs a program that is marked to inherit it.
    pub inheritable: CapSet,
    /// What it may switch on.
    pub permitted: CapSet,
    /// What counts when the kernel checks.
    pub effective: CapSet,
    /// What it can ever get back through exec.
    pub bounding: CapSet,
    /// What an ordinary program gets from it through exec.
    pub ambient: CapSet,
    /// The observer's bounding set: as much as this machine hands out.
    pub on_this_host: CapSet,
}

impl Capabilities {
    /// The five sets, each with its name, the one that counts first.
    pub fn sets(&self) -> [(&'static str, CapSet); 5] {
        [
            ("effective", self.effective),
            ("permitted", self.permitted),
            ("bounding", self.bounding),
            ("inheritable", self.inheritable),
            ("ambient", self.ambient),
        ]
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapSet(pub u64);

/// The capabilities in the order of their numbers. See capabilities(7).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

impl CapSet {
    /// The names of its members, without the `CAP_`. One that this table lacks is called by number.
    pub fn names(self) -> Vec<String> {
        let member = |number: &usize| self.0 >> number & 1 == 1;
        let name = |number| {
            NAMES.get(number).map_or(format!("cap_{number}"), |name: &&str| (*name).to_owned())
        };
        (0..64).filter(member).map(name).collect()
    }

    /// Whether it holds everything that `other` holds.
    pub fn covers(self, other: CapSet) -> bool {
        self.0 & other.0 == other.0
    }

    fn parse(status: &str, name: &str) -> Self {
        let hex = field(status, name).unwrap_or_default();
        CapSet(u64::from_str_radix(hex, 16).unwrap_or_default())
    }
}

/// `none`, `all 41`, `all but sys_resource`, or the names.
impl fmt::Display for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every = CapSet((1 << NAMES.len()) - 1);
        let lacking = CapSet(every.0 & !self.0).names();
        match self.names() {
            names if names.is_empty() => f.write_str("none"),
            names if lacking.is_empty() => write!(f, "all {}", names.len()),
            _ if lacking.len() <= 3 => write!(f, "all but {}", lacking.join(" ")),
            names => f.write_str(&names.join(" ")),
        }
    }
}

impl Serialize for CapSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// Which system calls are filtered. See seccomp(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// None.
    Off,
    /// All but read, write, exit and return from a signal.
    Strict,
    /// Those that a program in the kernel picks.
    Filter,
}

impl fmt::Display for Seccomp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Seccomp::Off => "off",
            Seccomp::Strict => "strict",
            Seccomp::Filter => "filter",
        })
    }
}

impl Identity {
    pub(crate) fn look(process: &ProcDir, me: &ProcDir) -> Result<Self> {
        let status = process.read("status")?;
        let number = |name: &str| field(&status, name).and_then(|value| value.parse::<u32>().ok());
        let user_map = map(&process.read("uid_map")?);
        let group_map = map(&process.read("gid_map")?);
        let same_ids = process.link("ns/user")? == me.link("ns/user")?;
        let id = |name: &str, map: &[Range]| {
            let outside = effective(&status, name);
            let inside = if same_ids { Some(outside) } else { inside(outside, map) };
            Id { inside, outside }
        };
        let groups = field(&status, "Groups").unwrap_or_default().split_whitespace();
        Ok(Identity {
            user: id("Uid", &user_map),
            group: id("Gid", &group_map),
            groups: groups.filter_map(|group| group.parse().ok()).collect(),
            capabilities: Capabilities {
                inheritable: CapSet::parse(&status, "CapInh"),
                permitted: CapSet::parse(&status, "CapPrm"),
                effective: CapSet::parse(&status, "CapEff"),
                bounding: CapSet::parse(&status, "CapBnd"),
                ambient: CapSet::parse(&status, "CapAmb"),
                on_this_host: CapSet::parse(&me.read("status")?, "CapBnd"),
            },
            seccomp: match number("Seccomp") {
                Some(1) => Seccomp::Strict,
                Some(2) => Seccomp::Filter,
                _ => Seccomp::Off,
            },
            no_new_privs: number("NoNewPrivs") == Some(1),
            user_map,
            group_map,
        })
    }
}

/// `Uid:` and `Gid:` hold the real, effective, saved and filesystem id.
fn effective(status: &str, name: &str) -> u32 {
    let ids = field(status, name).unwrap_or_default();
    ids.split_whitespace().nth(1).and_then(|id| id.parse().ok()).unwrap_or(u32::MAX)
}

/// Parses a map of ids.
fn map(text: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
        Some(Range { inside: numbers.next()?, outside: numbers.next()?, count: numbers.next()? })
    };
    text.lines().filter_map(line).collect()
}

/// What an id outside is called inside.
fn inside(outside: u32, map: &[Range]) -> Option<u32> {
    map.iter().find_map(|range| {
        let offset = outside.checked_sub(range.outside)?;
        (offset < range.count).then(|| range.inside.checked_add(offset)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_sets_read_well() {
        assert_eq!(CapSet(0).to_string(), "none");
        assert_eq!(CapSet((1 << 41) - 1).to_string(), "all 41");
        assert_eq!(CapSet((1 << 42) - 1).to_string(), "all 42");
        assert_eq!(CapSet(0x1fffeffffff).to_string(), "all but sys_resource");
        assert_eq!(CapSet(0x401).to_string(), "chown net_bind_service");
        assert_eq!(CapSet(1 << 63).names(), ["cap_63"]);
    }

    #[test]
    fn an_id_is_mapped_back() {
        let map = map("         0       1000          1\n         1     100000      65536\n");
        assert_eq!(inside(1000, &map), Some(0));
        assert_eq!(inside(100_009, &map), Some(10));
        assert_eq!(inside(0, &map), None);
        assert_eq!(inside(165_536, &map), None);
    }
}
