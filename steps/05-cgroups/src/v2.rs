//! Version 2, the unified hierarchy: one tree, and each controller switched on level by level.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::files::{self, field, number, text};
use crate::limits::{Bytes, Count, Cpus, IoLimit, Limits, Max, Weight};
use crate::setting::{self, Setting};
use crate::stats::{CpuTime, Io, Usage};
use crate::tree;

/// What is counted for every container: switching on more is work at each start.
pub(crate) const COUNTED: [&str; 3] = ["memory", "pids", "io"];

/// Where the processes of the place itself go when they are in the way.
pub(crate) const LEAF: &str = "keel.leaf";

// ANCHOR: enable
/// Gives `child` these controllers: a cgroup has only those that the cgroup.subtree_control of its
/// parent, here `level`, names. See cgroups(7).
pub(crate) fn enable(level: &Path, child: &Path, controllers: &[&str]) -> Result<()> {
    let file = level.join("cgroup.subtree_control");
    // What that file says may still be on its way: another keel has switched it on, and the child
    // hasn't got its files yet. So look for the files; a second write waits until they are there.
    let missing = controllers.iter().filter(|name| !child.join(limit_file(name)).exists());
    let command: Vec<String> = missing.map(|name| format!("+{name}")).collect();
    let command = command.join(" ");
    if command.is_empty() {
        return Ok(());
    }
    // The rule of no internal processes: a cgroup other than the real root can't have processes and
    // hand out controllers too. Processes that are being born meanwhile are why this may take a few.
    for _ in 0..10 {
        match files::write(&file, &command) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => into_leaf(level)?,
            // pids and cpu, without memory, it does hand out: to threads, not to processes.
            Ok(()) if is_threaded(level)? => take_back(level, &command)?,
            other => {
                let action = || format!("write {command} to {}", file.display());
                return other.with_context(|| action() + &why_not(level));
            }
        }
    }
    bail!("switch on {command} below {}: it keeps having processes of its own", level.display())
}
// ANCHOR_END: enable

/// Whether `level` has processes and has handed out controllers that can count single threads all the
/// same: then no process can enter its children. See cgroups(7), "Thread mode".
fn is_threaded(level: &Path) -> Result<bool> {
    Ok(text(&level.join("cgroup.type"))?.as_deref() == Some("domain threaded"))
}

/// Undoes a write of `command` that made `level` threaded, and moves its processes away.
fn take_back(level: &Path, command: &str) -> Result<()> {
    let (file, command) = (level.join("cgroup.subtree_control"), command.replace('+', "-"));
    files::write(&file, &command)
        .with_context(|| format!("write {command} to {}", file.display()))?;
    into_leaf(level)
}

/// What to say when `level`, or a cgroup above it, was made threaded by somebody else.
fn why_not(level: &Path) -> String {
    let threaded = level.ancestors().find(|folder| is_threaded(folder).unwrap_or(false));
    threaded.map_or_else(String::new, |folder| {
        format!(
            " ({0} has processes, and hands out controllers to threads only: take those back first, as \
             with 'echo -pids > {0}/cgroup.subtree_control')",
            folder.display()
        )
    })
}

/// A file that a cgroup with this controller has.
fn limit_file(controller: &str) -> String {
    match controller {
        "cpuset" => "cpuset.cpus".to_owned(),
        other => format!("{other}.max"),
    }
}

/// Moves the processes of the cgroup `level` into a leaf below it. If that is our own cgroup, we are
/// one of them.
fn into_leaf(level: &Path) -> Result<()> {
    let leaf = level.join(LEAF);
    for pid in tree::pids_of(level)? {
        if pid.as_raw() == 0 {
            bail!("{} has processes that this pid namespace can't see and move", level.display());
        }
        // Another keel may remove an empty leaf under our hands, and a process may end.
        let _ = fs::create_dir(&leaf);
        match files::write(&leaf.join("cgroup.procs"), &pid.to_string()) {
            Err(error) if files::is_gone(&error) => {}
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            other => {
                let action = || format!("move {pid} to {}", leaf.display());
                other.with_context(|| action() + &why_not(level))?;
            }
        }
    }
    Ok(())
}

// ANCHOR: settings
/// The files to write for those of `limits` that `controller` is in charge of. See "Controllers" in
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html>.
pub(crate) fn settings(controller: &str, limits: &Limits) -> Vec<Setting> {
    match controller {
        "memory" => memory_settings(limits),
        "pids" => limits.pids.map(|pids| Setting::new("pids.max", max(pids))).into_iter().collect(),
        "cpu" => {
            let period = Cpus::PERIOD;
            let quota =
                limits.cpus.map(|c| Setting::new("cpu.max", format!("{} {period}", c.quota())));
            let weight = limits.cpu_weight.map(|w| Setting::new("cpu.weight", w.weight()));
            quota.into_iter().chain(weight).collect()
        }
        "cpuset" => setting::cpuset(limits),
        "io" => limits.io.iter().map(io_setting).collect(),
        _ => Vec::new(),
    }
}
// ANCHOR_END: settings

fn memory_settings(limits: &Limits) -> Vec<Setting> {
    let Some(Bytes(memory)) = limits.memory else { return Vec::new() };
    let mut settings = vec![
        Setting::new("memory.max", memory),
        // A container that has lost one of its processes is broken: end all of it.
        Setting::new("memory.oom.group", 1).required(false),
    ];
    // Docker's limit is for memory and swap together, v2's is for swap alone.
    if let Some(total) = limits.memory_and_swap() {
        let swap = match total {
            Max::At(Bytes(total)) => Max::At(total - memory),
            Max::Unlimited => Max::Unlimited,
        };
        settings.push(
            Setting::new("memory.swap.max", max(swap)).required(limits.memory_swap.is_some()),
        );
    }
    settings
}

fn io_setting(limit: &IoLimit) -> Setting {
    let (major, minor) = limit.device;
    let keys = [
        ("rbps", limit.read_bytes),
        ("wbps", limit.write_bytes),
        ("riops", limit.reads),
        ("wiops", limit.writes),
    ];
    let keys = keys.iter().filter_map(|(key, value)| Some(format!(" {key}={}", (*value)?)));
    Setting::new("io.max", format!("{major}:{minor}{}", keys.collect::<String>()))
}

/// A limit as v2 writes it, and v1 for pids too.
pub(crate) fn max(limit: Max<impl Display>) -> String {
    match limit {
        Max::At(limit) => limit.to_string(),
        Max::Unlimited => "max".to_owned(),
    }
}

/// Stops all processes of the cgroup where they are, and returns once they all stand still.
pub(crate) fn freeze(folder: &Path) -> Result<()> {
    files::write(&folder.join("cgroup.freeze"), "1").context("write 1 to cgroup.freeze")?;
    wait_for(folder, "frozen", 1, Duration::from_secs(10))?
        .then_some(())
        .context("processes still run after 10 seconds")
}

/// Lets them go on.
pub(crate) fn thaw(folder: &Path) -> Result<()> {
    files::write(&folder.join("cgroup.freeze"), "0").context("write 0 to cgroup.freeze")
}

/// Waits until `key` in cgroup.events has this value. False if it takes longer than `limit`.
pub(crate) fn wait_for(folder: &Path, key: &str, value: u64, limit: Duration) -> Result<bool> {
    let end = Instant::now() + limit;
    let mut events = File::open(folder.join("cgroup.events")).context("open cgroup.events")?;
    loop {
        let mut text = String::new();
        events
            .rewind()
            .and_then(|()| events.read_to_string(&mut text))
            .context("read cgroup.events")?;
        if field(&text, key) == Some(value) {
            return Ok(true);
        }
        // cgroups(7): a change of this file wakes poll(2) with POLLPRI; reading it arms that again.
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll cgroup.events"),
        }
    }
}

// ANCHOR: kill
/// Kills all processes of the cgroup and below it.
pub(crate) fn kill(folder: &Path) -> Result<()> {
    match files::write(&folder.join("cgroup.kill"), "1") {
        // Before Linux 5.14. What is frozen can't fork, so none is missed; here it dies all the same.
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.is_dir() => {
            freeze(folder)?;
            tree::signal_all(folder)?;
            thaw(folder)
        }
        Err(error) if files::is_gone(&error) => Ok(()),
        other => other.context("write 1 to cgroup.kill"),
    }
}
// ANCHOR_END: kill

pub(crate) fn memory(folder: &Path) -> Result<Option<Usage>> {
    usage(folder, "memory.current", "memory.peak", "memory.max")
}

pub(crate) fn pids(folder: &Path) -> Result<Option<Usage>> {
    usage(folder, "pids.current", "pids.peak", "pids.max")
}

fn usage(folder: &Path, current: &str, peak: &str, limit: &str) -> Result<Option<Usage>> {
    let Some(current) = number(&folder.join(current))? else { return Ok(None) };
    // The peaks came late: memory.peak with Linux 5.19, pids.peak with 6.1.
    let (peak, limit) = (number(&folder.join(peak))?, number(&folder.join(limit))?);
    Ok(Some(Usage { current, peak, limit }))
}

pub(crate) fn oom_kills(folder: &Path) -> Result<Option<u64>> {
    let events = text(&folder.join("memory.events"))?;
    Ok(events.and_then(|events| field(&events, "oom_kill")))
}

pub(crate) fn cpu_time(folder: &Path) -> Result<Option<CpuTime>> {
    let Some(stat) = text(&folder.join("cpu.stat"))? else { return Ok(None) };
    let time = |key| Duration::from_micros(field(&stat, key).unwrap_or(0));
    Ok(Some(CpuTime {
        total: time("usage_usec"),
        user: time("user_usec"),
        system: time("system_usec"),
        throttled: time("throttled_usec"),
    }))
}

pub(crate) fn throttled(folder: &Path) -> Result<Option<Duration>> {
    Ok(cpu_time(folder)?.map(|time| time.throttled))
}

pub(crate) fn io(folder: &Path) -> Result<Option<Io>> {
    let Some(stat) = text(&folder.join("io.stat"))? else { return Ok(None) };
    // A line for each disk: "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …".
    let sum = |key| {
        let words = stat.split_whitespace().filter_map(|word| word.strip_prefix(key));
        words.filter_map(|number| number.parse::<u64>().ok()).sum()
    };
    Ok(Some(Io { read: sum("rbytes="), written: sum("wbytes=") }))
}

/// Reads back the limits that `controller` is in charge of.
pub(crate) fn limits(controller: &str, folder: &Path, limits: &mut Limits) -> Result<()> {
    match controller {
        "memory" => {
            limits.memory = number(&folder.join("memory.max"))?.map(Bytes);
            let swap = text(&folder.join("memory.swap.max"))?;
            limits.memory_swap = limits.memory.zip(swap).map(|(Bytes(memory), swap)| {
                let total = swap.parse().map(|swap: u64| Bytes(memory.saturating_add(swap)));
                total.map_or(Max::Unlimited, Max::At)
            });
        }
        "pids" => limits.pids = number(&folder.join("pids.max"))?.map(Count).map(Max::At),
        "cpu" => {
            let max = text(&folder.join("cpu.max"))?.unwrap_or_default();
            let quota = max.split_once(' ').and_then(|(q, p)| q.parse().ok().zip(p.parse().ok()));
            limits.cpus = quota.map(|(quota, period)| Cpus::from_quota(quota, period));
            let weight = number(&folder.join("cpu.weight"))?.map(Weight::from_weight);
            limits.cpu_weight = weight.filter(|weight| *weight != Weight::DEFAULT);
        }
        "cpuset" => {
            let list =
                |file| anyhow::Ok(text(&folder.join(file))?.and_then(|list| list.parse().ok()));
            limits.cpuset_cpus = list("cpuset.cpus")?;
            limits.cpuset_mems = list("cpuset.mems")?;
        }
        "io" => {
            let lines = text(&folder.join("io.max"))?.unwrap_or_default();
            limits.io = lines.lines().filter_map(parse_io).collect();
        }
        _ => {}
    }
    Ok(())
}

/// Reads a line of io.max: "8:0 rbps=1048576 wbps=max riops=max wiops=max".
fn parse_io(line: &str) -> Option<IoLimit> {
    let mut words = line.split_whitespace();
    let (major, minor) = words.next()?.split_once(':')?;
    let mut limit =
        IoLimit { device: (major.parse().ok()?, minor.parse().ok()?), ..IoLimit::default() };
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        let value = value.parse().ok();
        match key {
            "rbps" => limit.read_bytes = value,
            "wbps" => limit.write_bytes = value,
            "riops" => limit.reads = value,
            "wiops" => limit.writes = value,
            _ => {}
        }
    }
    Some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_limits_there_and_back() {
        let limit = IoLimit { device: (8, 0), read_bytes: Some(1 << 20), ..IoLimit::default() };
        assert_eq!(io_setting(&limit), Setting::new("io.max", "8:0 rbps=1048576"));
        assert_eq!(parse_io("8:0 rbps=1048576 wbps=max riops=max wiops=max"), Some(limit));
    }

    #[test]
    fn swap_is_what_docker_allows_above_memory() {
        let swap = |memory_swap| {
            let limits = Limits { memory: Some(Bytes(64 << 20)), memory_swap, ..Limits::default() };
            settings("memory", &limits).pop().unwrap().value
        };
        assert_eq!(swap(None), (64 << 20).to_string());
        assert_eq!(swap(Some(Max::At(Bytes(80 << 20)))), (16 << 20).to_string());
        assert_eq!(swap(Some(Max::Unlimited)), "max");
    }
}
