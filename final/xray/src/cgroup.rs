//! The cgroup of a process: whose it is, what it allows, what is used.

use anyhow::Result;
use cgroups::{Bytes, Cpus, Max, Weight};
use serde::Serialize;

use crate::proc::{ProcDir, field};

/// A cgroup. With v1, those of all controllers together. See cgroups(7).
#[derive(Debug, Clone, Serialize)]
pub struct Cgroup {
    /// Whether it is another than the observer's, for any controller.
    pub own: bool,
    /// Its path, as the observer's cgroup namespace shows it.
    pub path: String,
    /// Whether its files can be seen from here. Else there is nothing to tell of limits and use.
    pub visible: bool,
    /// What it allows.
    pub limits: Limits,
    /// What its processes use.
    pub used: Used,
}

/// The limits of a cgroup. What is `None` isn't limited; those of the cgroups above hold as well.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Memory and swap together, in bytes.
    pub memory_and_swap: Option<u64>,
    /// CPUs' worth of time: 0.5 is half the time of one.
    pub cpus: Option<f64>,
    /// Its share when CPUs are short; 1024 is a usual one.
    pub cpu_shares: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// The CPUs to run on, such as `0-2,4`.
    pub on_cpus: Option<String>,
    /// The memory nodes to take memory from.
    pub on_nodes: Option<String>,
    /// What each disk may be asked for in a second.
    pub io: Vec<String>,
}

/// What the processes of a cgroup use. What the kernel doesn't count is `None`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Used {
    /// Memory, in bytes, with the files that the kernel keeps in it.
    pub memory: Option<u64>,
    /// The most memory at any time.
    pub memory_peak: Option<u64>,
    /// How many processes were killed because there was no more memory.
    pub oom_kills: u64,
    /// Time on the CPUs, in microseconds.
    pub cpu_us: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Cgroup {
    pub(crate) fn look(process: &ProcDir, me: &ProcDir) -> Result<Self> {
        let (theirs, mine) = (process.read("cgroup")?, me.read("cgroup")?);
        let mine: Vec<_> = paths(&mine).collect();
        let own = paths(&theirs).filter(|line| !mine.contains(line)).min_by_key(rank);
        let shown = own.or_else(|| paths(&theirs).min_by_key(rank));
        let view = cgroups::of(process.pid)?;
        Ok(Cgroup {
            own: own.is_some(),
            path: shown.map_or("/", |(_, path)| path).to_owned(),
            visible: view.path().is_some(),
            limits: Limits::of(view.limits()?).without_all(&me.read("status")?),
            used: Used::of(view.stats()?),
        })
    }

    /// What there is to say of it: what is used, of how much.
    pub(crate) fn use_lines(&self) -> Vec<(&'static str, String)> {
        let Used { memory, memory_peak, oom_kills, cpu_us, pids } = self.used;
        let Limits { memory: most, cpus, pids: most_pids, .. } = self.limits;
        let bytes = |bytes| Bytes(bytes).to_string();
        let of = |most: Option<String>| most.map_or(String::new(), |most| format!(" of {most}"));
        let mut lines = Vec::new();
        if let Some(memory) = memory {
            let peak = memory_peak.map(|peak| format!(" (peak {})", bytes(peak)));
            let now = format!("{}{}", bytes(memory), of(most.map(bytes)));
            lines.push(("memory", now + &peak.unwrap_or_default()));
        }
        if oom_kills > 0 {
            lines.push(("killed", format!("{oom_kills}, for want of memory")));
        }
        if let Some(pids) = pids {
            lines.push(("pids", format!("{pids}{}", of(most_pids.map(|most| most.to_string())))));
        }
        if let Some(micros) = cpu_us {
            let limit = cpus.map(|cpus| format!(", limit {cpus} CPUs"));
            let used = format!("{} ms used", micros / 1000);
            lines.push(("cpu", used + &limit.unwrap_or_default()));
        }
        if !self.visible {
            lines.push(("limits", "its files are not visible from here".to_owned()));
        }
        let told = ["memory", "pids", "cpus"];
        lines.extend(self.limit_lines().into_iter().filter(|(name, _)| !told.contains(name)));
        lines
    }

    /// The limits that are set.
    pub(crate) fn limit_lines(&self) -> Vec<(&'static str, String)> {
        let limits = &self.limits;
        let bytes = |bytes| Bytes(bytes).to_string();
        let disks = (!limits.io.is_empty()).then(|| limits.io.join(", "));
        let lines = [
            ("memory", limits.memory.map(bytes)),
            ("memory and swap", limits.memory_and_swap.map(bytes)),
            ("pids", limits.pids.map(|pids| pids.to_string())),
            ("cpus", limits.cpus.map(|cpus| cpus.to_string())),
            ("cpu shares", limits.cpu_shares.map(|shares| shares.to_string())),
            ("on cpus", limits.on_cpus.clone()),
            ("on nodes", limits.on_nodes.clone()),
            ("disks", disks),
        ];
        lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The limits that are set, in words that are the same with v1 and v2.
    ///
    /// Left out is the limit of swap: some kernels don't count that.
    pub(crate) fn normal_lines(&self) -> Vec<(&'static str, String)> {
        let limits = &self.limits;
        // v2 keeps shares as a coarser weight: the exact number is lost.
        let shares = limits.cpu_shares.map(|shares| match shares < Weight::DEFAULT.shares() {
            true => "fewer than usual".to_owned(),
            false => "more than usual".to_owned(),
        });
        let disks = (!limits.io.is_empty()).then(|| "limited".to_owned());
        let lines = [
            ("memory limit", limits.memory.map(|bytes| Bytes(bytes).to_string())),
            ("pids limit", limits.pids.map(|pids| pids.to_string())),
            ("cpus limit", limits.cpus.map(|cpus| cpus.to_string())),
            ("cpu shares", shares),
            ("on cpus", limits.on_cpus.clone()),
            ("disks", disks),
        ];
        lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Limits {
    fn of(limits: cgroups::Limits) -> Self {
        let bytes = |Bytes(bytes)| bytes;
        Limits {
            memory: limits.memory.map(bytes),
            memory_and_swap: limits.memory_swap.and_then(at).map(bytes),
            cpus: limits.cpus.map(|cpus| cpus.quota() as f64 / Cpus::PERIOD as f64),
            cpu_shares: limits.cpu_weight.map(Weight::shares),
            pids: limits.pids.and_then(at).map(|count| count.0),
            on_cpus: limits.cpuset_cpus.map(|list| list.to_string()),
            on_nodes: limits.cpuset_mems.map(|list| list.to_string()),
            io: limits.io.iter().map(|limit| limit.to_string()).collect(),
        }
    }
}

impl Limits {
    /// A v1 cgroup has to name its CPUs and memory nodes, also when these are all that there are.
    fn without_all(mut self, my_status: &str) -> Self {
        let some = |list: &String, all| field(my_status, all) != Some(list.as_str());
        self.on_cpus = self.on_cpus.filter(|cpus| some(cpus, "Cpus_allowed_list"));
        self.on_nodes = self.on_nodes.filter(|nodes| some(nodes, "Mems_allowed_list"));
        self
    }
}

impl Used {
    fn of(stats: cgroups::Stats) -> Self {
        Used {
            memory: stats.memory.map(|memory| memory.current),
            memory_peak: stats.memory.and_then(|memory| memory.peak),
            oom_kills: stats.oom_kills,
            cpu_us: stats.cpu.map(|cpu| cpu.total.as_micros() as u64),
            pids: stats.pids.map(|pids| pids.current),
        }
    }
}

fn at<T>(limit: Max<T>) -> Option<T> {
    match limit {
        Max::At(limit) => Some(limit),
        Max::Unlimited => None,
    }
}

/// The controllers and the path in each line of /proc/PID/cgroup, such as `4:memory:/box`.
fn paths(cgroup: &str) -> impl Iterator<Item = (&str, &str)> {
    cgroup.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

/// Of several paths, which one to show: v2's if it is in use, the memory controller's, then any.
fn rank((controllers, path): &(&str, &str)) -> u8 {
    match *controllers {
        "" if *path != "/" => 0,
        "memory" => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_to_show() {
        let text = "9:name=systemd:/\n4:memory:/box\n2:cpu,cpuacct:/other\n0::/a:b\n";
        let lines: Vec<_> = paths(text).collect();
        assert_eq!(lines[2], ("cpu,cpuacct", "/other"));
        assert_eq!(lines.iter().min_by_key(|line| rank(line)), Some(&("", "/a:b")));
        assert_eq!(paths("nonsense").count(), 0);
    }

    #[test]
    fn lines_tell_use_and_limits() {
        let limits = Limits {
            memory: Some(64 << 20),
            cpus: Some(0.5),
            pids: Some(32),
            cpu_shares: Some(512),
            ..Limits::default()
        };
        let used = Used { memory: Some(3 << 19), pids: Some(1), ..Used::default() };
        let path = "/box".to_owned();
        let cgroup = Cgroup { own: true, path, visible: true, limits, used };
        let text = |lines: Vec<(&str, String)>| {
            lines.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        assert_eq!(
            text(cgroup.use_lines()),
            ["memory: 1.5 MiB of 64 MiB", "pids: 1 of 32", "cpu shares: 512"]
        );
        assert_eq!(
            text(cgroup.normal_lines()),
            [
                "memory limit: 64 MiB",
                "pids limit: 32",
                "cpus limit: 0.5",
                "cpu shares: fewer than usual"
            ]
        );
    }
}
