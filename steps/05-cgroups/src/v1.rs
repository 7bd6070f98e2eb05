//! Version 1: a tree for each controller, and files with other names. It does all that v2 does here.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::files::{self, field, number, text};
use crate::limits::{Bytes, Count, Cpus, IoLimit, Limits, Max, Weight};
use crate::setting::{self, Setting};
use crate::stats::{CpuTime, Io, Usage};
use crate::tree;
use crate::v2;

/// What every container joins: memory, pids and cpuacct to count, freezer to stop. The others only
/// when there is a limit for them, because each hierarchy costs 0.16 ms of a container's life: two
/// mkdirs 90 us, the join 30 us, two rmdirs 40 us (measured on Linux 6.18).
pub(crate) const COUNTED: [&str; 4] = ["memory", "pids", "cpuacct", "freezer"];

// ANCHOR: settings
/// The files to write for those of `limits` that `controller` is in charge of. See
/// <https://docs.kernel.org/admin-guide/cgroup-v1/index.html>.
pub(crate) fn settings(controller: &str, limits: &Limits) -> Vec<Setting> {
    match controller {
        "memory" => memory_settings(limits),
        "pids" => {
            limits.pids.map(|pids| Setting::new("pids.max", v2::max(pids))).into_iter().collect()
        }
        "cpu" => {
            let quota = limits.cpus.map(|cpus| {
                let period = Setting::new("cpu.cfs_period_us", Cpus::PERIOD);
                [period, Setting::new("cpu.cfs_quota_us", cpus.quota())]
            });
            let shares = limits.cpu_weight.map(|w| Setting::new("cpu.shares", w.shares()));
            quota.into_iter().flatten().chain(shares).collect()
        }
        "cpuset" => setting::cpuset(limits),
        "io" => limits.io.iter().flat_map(io_settings).collect(),
        _ => Vec::new(),
    }
}
// ANCHOR_END: settings

fn memory_settings(limits: &Limits) -> Vec<Setting> {
    let Some(Bytes(memory)) = limits.memory else { return Vec::new() };
    // The limit of memory must never be above that of memory and swap. So whether both go up or
    // down, lifting the second first is always allowed.
    let swap = |value: &str| {
        let setting = Setting::new("memory.memsw.limit_in_bytes", value);
        setting.required(limits.memory_swap.is_some())
    };
    let mut settings = vec![swap("-1"), Setting::new("memory.limit_in_bytes", memory)];
    if let Some(Max::At(Bytes(total))) = limits.memory_and_swap() {
        settings.push(swap(&total.to_string()));
    }
    settings
}

fn io_settings(limit: &IoLimit) -> Vec<Setting> {
    let (major, minor) = limit.device;
    let values = [limit.read_bytes, limit.write_bytes, limit.reads, limit.writes];
    let files = IO_FILES.iter().zip(values).filter_map(|(file, value)| Some((file, value?)));
    files.map(|(file, value)| Setting::new(file, format!("{major}:{minor} {value}"))).collect()
}

const IO_FILES: [&str; 4] = [
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
];

/// Fills a new cgroup's cpuset from its parent's: v1 makes it empty, and nothing can join one
/// without a CPU and a memory node. See cpuset(7).
pub(crate) fn inherit_cpuset(folder: &Path) -> Result<()> {
    let parent = folder.parent().context("a cgroup has a parent")?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if text(&folder.join(file))?.is_none_or(|list| list.is_empty()) {
            let list = text(&parent.join(file))?.unwrap_or_default();
            files::write(&folder.join(file), &list)
                .with_context(|| format!("set {file} to {list}"))?;
        }
    }
    Ok(())
}

/// Stops all processes of the cgroup where they are, and returns once they all stand still.
///
/// v1 tells no event, so this asks again and again. Each write of FROZEN also stops the processes
/// that were born since the last; when new ones keep coming, letting all go on for a moment helps.
/// runc does the same (opencontainers/cgroups, fs/freezer.go, which argues it at length).
pub(crate) fn freeze(folder: &Path) -> Result<()> {
    let file = folder.join("freezer.state");
    for attempt in 1..=1000 {
        if attempt % 50 == 0 {
            thaw(folder)?;
            sleep(Duration::from_millis(10));
        }
        files::write(&file, "FROZEN").context("write FROZEN to freezer.state")?;
        if attempt > 10 {
            sleep(Duration::from_micros(100));
        }
        if text(&file)?.as_deref() == Some("FROZEN") {
            return Ok(());
        }
    }
    // Half frozen is worse than not at all.
    thaw(folder)?;
    bail!("processes still run after 1000 attempts")
}

/// Lets them go on.
pub(crate) fn thaw(folder: &Path) -> Result<()> {
    files::write(&folder.join("freezer.state"), "THAWED").context("write THAWED to freezer.state")
}

// ANCHOR: kill
/// Kills all processes of the cgroup and below it.
pub(crate) fn kill(folder: &Path) -> Result<()> {
    if !folder.join("freezer.state").exists() {
        return kill_while_running(folder);
    }
    // What is frozen can't fork, so none is missed, nor end and leave its pid to a stranger. The
    // signals wait until it is thawed.
    freeze(folder)?;
    let signalled = tree::signal_all(folder);
    // Those below too: one that was frozen by itself stays so when its parent is thawed.
    for folder in tree::folders(folder) {
        match thaw(&folder) {
            Err(error) if folder.is_dir() => return Err(error),
            _ => {}
        }
    }
    signalled
}

/// Without a freezer: kill what is there until nothing is.
fn kill_while_running(folder: &Path) -> Result<()> {
    for _ in 0..100 {
        if tree::pids(folder)?.is_empty() {
            return Ok(());
        }
        tree::signal_all(folder)?;
        sleep(Duration::from_millis(1));
    }
    bail!("new processes appear faster than they can be killed")
}
// ANCHOR_END: kill

pub(crate) fn memory(folder: &Path) -> Result<Option<Usage>> {
    let file = |name: &str| number(&folder.join(format!("memory.{name}_in_bytes")));
    let Some(current) = file("usage")? else { return Ok(None) };
    Ok(Some(Usage { current, peak: file("max_usage")?, limit: file("limit")?.filter(is_limit) }))
}

/// Without a limit v1 shows the largest number of whole pages.
fn is_limit(bytes: &u64) -> bool {
    *bytes < 1 << 62
}

pub(crate) fn oom_kills(folder: &Path) -> Result<Option<u64>> {
    let control = text(&folder.join("memory.oom_control"))?;
    Ok(control.and_then(|control| field(&control, "oom_kill")))
}

pub(crate) fn cpu_time(folder: &Path) -> Result<Option<CpuTime>> {
    let time = |file| anyhow::Ok(number(&folder.join(file))?.map(Duration::from_nanos));
    let Some(total) = time("cpuacct.usage")? else { return Ok(None) };
    Ok(Some(CpuTime {
        total,
        user: time("cpuacct.usage_user")?.unwrap_or_default(),
        system: time("cpuacct.usage_sys")?.unwrap_or_default(),
        throttled: Duration::ZERO,
    }))
}

pub(crate) fn throttled(folder: &Path) -> Result<Option<Duration>> {
    let stat = text(&folder.join("cpu.stat"))?;
    let nanos = stat.and_then(|stat| field(&stat, "throttled_time"));
    Ok(nanos.map(Duration::from_nanos))
}

pub(crate) fn pids(folder: &Path) -> Result<Option<Usage>> {
    let file = |name| number(&folder.join(name));
    let Some(current) = file("pids.current")? else { return Ok(None) };
    Ok(Some(Usage { current, peak: file("pids.peak")?, limit: file("pids.max")? }))
}

pub(crate) fn io(folder: &Path) -> Result<Option<Io>> {
    let file = folder.join("blkio.throttle.io_service_bytes_recursive");
    let Some(bytes) = text(&file)? else { return Ok(None) };
    // Lines like "8:0 Read 4096".
    let sum = |what| {
        let lines = bytes.lines().filter_map(|line| line.split_once(what));
        lines.filter_map(|(_disk, number)| number.trim().parse::<u64>().ok()).sum()
    };
    Ok(Some(Io { read: sum(" Read "), written: sum(" Write ") }))
}

/// Reads back the limits that `controller` is in charge of.
pub(crate) fn limits(controller: &str, folder: &Path, limits: &mut Limits) -> Result<()> {
    let file = |name: &str| number(&folder.join(name));
    match controller {
        "memory" => {
            limits.memory = file("memory.limit_in_bytes")?.filter(is_limit).map(Bytes);
            let total = file("memory.memsw.limit_in_bytes")?;
            let total =
                total.map(|t| if is_limit(&t) { Max::At(Bytes(t)) } else { Max::Unlimited });
            limits.memory_swap = total.filter(|_| limits.memory.is_some());
        }
        "pids" => limits.pids = file("pids.max")?.map(Count).map(Max::At),
        "cpu" => {
            // Without a limit the quota is -1, which is no number here.
            let quota = file("cpu.cfs_quota_us")?.zip(file("cpu.cfs_period_us")?);
            limits.cpus = quota.map(|(quota, period)| Cpus::from_quota(quota, period));
            let shares = file("cpu.shares")?.map(Weight::from_shares);
            limits.cpu_weight = shares.filter(|weight| *weight != Weight::DEFAULT);
        }
        "cpuset" => {
            // Never empty on v1: a limit is what differs from the parent's.
            let list = |name| {
                let own = text(&folder.join(name))?;
                let parents = folder.parent().map(|parent| text(&parent.join(name))).transpose()?;
                let limit = own.filter(|own| Some(own) != parents.flatten().as_ref());
                anyhow::Ok(limit.and_then(|list| list.parse().ok()))
            };
            limits.cpuset_cpus = list("cpuset.cpus")?;
            limits.cpuset_mems = list("cpuset.mems")?;
        }
        "io" => {
            for (which, name) in IO_FILES.iter().enumerate() {
                let lines = text(&folder.join(name))?.unwrap_or_default();
                lines.lines().filter_map(parse_io).for_each(|(device, value)| {
                    let limit = disk(&mut limits.io, device);
                    let fields = [
                        &mut limit.read_bytes,
                        &mut limit.write_bytes,
                        &mut limit.reads,
                        &mut limit.writes,
                    ];
                    *fields.into_iter().nth(which).expect("as many fields as files") = Some(value);
                });
            }
        }
        _ => {}
    }
    Ok(())
}

/// Reads a line like "8:0 1048576".
fn parse_io(line: &str) -> Option<((u64, u64), u64)> {
    let (device, value) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    Some(((major.parse().ok()?, minor.parse().ok()?), value.trim().parse().ok()?))
}

/// The entry for `device`, made if there is none.
fn disk(limits: &mut Vec<IoLimit>, device: (u64, u64)) -> &mut IoLimit {
    let at = limits.iter().position(|limit| limit.device == device).unwrap_or_else(|| {
        limits.push(IoLimit { device, ..IoLimit::default() });
        limits.len() - 1
    });
    &mut limits[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_lifted_before_memory_moves() {
        let limits = Limits { memory: Some(Bytes(64 << 20)), ..Limits::default() };
        let files: Vec<(String, String)> =
            settings("memory", &limits).into_iter().map(|s| (s.file, s.value)).collect();
        let expected = [
            ("memory.memsw.limit_in_bytes", "-1"),
            ("memory.limit_in_bytes", "67108864"),
            ("memory.memsw.limit_in_bytes", "134217728"),
        ];
        assert_eq!(files, expected.map(|(file, value)| (file.to_owned(), value.to_owned())));
    }

    #[test]
    fn io_limits_go_to_a_file_each() {
        let limit = IoLimit { device: (8, 16), writes: Some(50), ..IoLimit::default() };
        let expected = Setting::new("blkio.throttle.write_iops_device", "8:16 50");
        assert_eq!(io_settings(&limit), [expected]);
        assert_eq!(parse_io("8:16 50"), Some(((8, 16), 50)));
    }
}
