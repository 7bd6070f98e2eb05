//! What can be limited, in Docker's units, and how it is typed.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::Args;

// ANCHOR: limits
/// What a container may use at most. What is `None` is not limited.
///
/// They are also command line flags, by the names that `docker run` gives them.
#[derive(Args, Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Memory, like 64m or 1g; at least 6m
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<Bytes>,
    /// Memory and swap together; -1: any amount of swap [default: twice the memory]
    #[arg(long, value_name = "SIZE", requires = "memory", allow_hyphen_values = true)]
    pub memory_swap: Option<Max<Bytes>>,
    /// CPUs' worth of time, like 0.5; at least 0.01
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<Cpus>,
    /// Share of the CPUs when they are short, from 2 to 262144; 1024 is a usual one
    #[arg(long = "cpu-shares", value_name = "SHARES")]
    pub cpu_weight: Option<Weight>,
    /// Processes and threads; -1: any number
    #[arg(long = "pids-limit", value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids: Option<Max<Count>>,
    /// The CPUs to run on, like 0-2,4
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<List>,
    /// The memory nodes to take memory from, like 0
    #[arg(skip)]
    pub cpuset_mems: Option<List>,
    /// Bytes and operations a second, for each disk
    #[arg(skip)]
    pub io: Vec<IoLimit>,
}
// ANCHOR_END: limits

/// The least memory that a container can start with, and Docker's minimum as well.
pub const MIN_MEMORY: Bytes = Bytes(6 << 20);

impl Limits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Limits::default()
    }

    /// The controllers that these limits need, by their v2 names.
    pub(crate) fn controllers(&self) -> Vec<&'static str> {
        let wanted = [
            ("memory", self.memory.is_some() || self.memory_swap.is_some()),
            ("cpu", self.cpus.is_some() || self.cpu_weight.is_some()),
            ("pids", self.pids.is_some()),
            ("cpuset", self.cpuset_cpus.is_some() || self.cpuset_mems.is_some()),
            ("io", !self.io.is_empty()),
        ];
        wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect()
    }

    /// Fails on limits that no kernel can be asked for.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(memory) = self.memory {
            ensure!(
                memory >= MIN_MEMORY,
                "a memory limit of {memory} is too low for a container to start (at least 6m)"
            );
        }
        if let Some(Max::At(total)) = self.memory_swap {
            let memory = self.memory.unwrap_or(Bytes(u64::MAX));
            ensure!(
                total >= memory,
                "memory-swap limits memory and swap together: it needs a memory limit, and can't be less than that"
            );
        }
        Ok(())
    }

    /// The limit of memory and swap together: as asked for, else Docker's default, twice the memory.
    pub(crate) fn memory_and_swap(&self) -> Option<Max<Bytes>> {
        self.memory_swap
            .or(self.memory.map(|Bytes(memory)| Max::At(Bytes(memory.saturating_mul(2)))))
    }
}

/// A number of bytes. Parses "512", "64k", "64m", "1.5g" (units of 1024); prints "64 MiB".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let wrong = || "a size is a number and b, k, m or g, like 64m".to_owned();
        let lower = text.to_ascii_lowercase();
        let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(end);
        let shift = match unit {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(wrong()),
        };
        let bytes = number.parse::<f64>().map_err(|_| wrong())? * (1_u64 << shift) as f64;
        // The kernel counts in signed 64 bits.
        if bytes >= i64::MAX as f64 { Err("too large".to_owned()) } else { Ok(Bytes(bytes as u64)) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "B");
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, larger);
        }
        // One decimal, where it says something.
        write!(f, "{} {unit}", (value * 10.0).round() / 10.0)
    }
}

/// A limit, or explicitly none, which is typed -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Max<T> {
    /// At most this.
    At(T),
    /// As much as there is.
    Unlimited,
}

impl<T: FromStr<Err: fmt::Display>> FromStr for Max<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Max<T>, String> {
        match text {
            "-1" => Ok(Max::Unlimited),
            _ => text.parse().map(Max::At).map_err(|e: T::Err| format!("{e}, or -1 for no limit")),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Max<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Max::At(limit) => limit.fmt(f),
            Max::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// A number of processes and threads, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Count, String> {
        match text.parse() {
            Ok(count @ 1..) => Ok(Count(count)),
            _ => Err("a number of processes is 1 or more".to_owned()),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// CPUs' worth of time: 0.5 is half of one CPU's, or a quarter of each of two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cpus(f64);

impl Cpus {
    /// The period, in microseconds, in which the time is shared out: the kernel's default.
    pub const PERIOD: u64 = 100_000;

    /// The CPUs' worth of time that `quota` microseconds in each `period` are.
    pub fn from_quota(quota: u64, period: u64) -> Cpus {
        Cpus(quota as f64 / period.max(1) as f64)
    }

    /// The time in each [`Cpus::PERIOD`], in microseconds.
    pub fn quota(self) -> u64 {
        (self.0 * Cpus::PERIOD as f64).round() as u64
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Cpus, String> {
        // The kernel takes no quota below a millisecond; and 10,000 is more CPUs than there are.
        match text.parse() {
            Ok(cpus) if (0.01..=10_000.0).contains(&cpus) => Ok(Cpus(cpus)),
            _ => Err("a number of CPUs is like 0.5 or 2, and at least 0.01".to_owned()),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A share of the CPUs when they are short, in Docker's and v1's unit: 2 to 262144, by default 1024.
/// Twice the number is twice the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    shares: u64,
}

impl Weight {
    /// The default.
    pub const DEFAULT: Weight = Weight { shares: 1024 };

    /// From v1's shares; what is out of range becomes the nearest that isn't.
    pub fn from_shares(shares: u64) -> Weight {
        Weight { shares: shares.clamp(2, 262_144) }
    }

    /// v1's cpu.shares.
    pub fn shares(self) -> u64 {
        self.shares
    }

    /// v2's cpu.weight: 1 to 10000, by default 100.
    ///
    /// A curve through (2, 1), (1024, 100) and (262144, 10000), the same as runc's since 1.4 and
    /// crun's since 1.23 (opencontainers/cgroups, utils.go, ConvertCPUSharesToCgroupV2Value). The
    /// straight line that they used before gave the default of 1024 a weight of 39.
    pub fn weight(self) -> u64 {
        match self.shares {
            2 => 1,
            262_144 => 10_000,
            shares => {
                let log = (shares as f64).log2();
                10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64
            }
        }
    }

    /// From v2's weight: the most shares that have it.
    pub fn from_weight(weight: u64) -> Weight {
        let (mut low, mut high): (u64, u64) = (2, 262_144);
        while low < high {
            let middle = (low + high).div_ceil(2);
            match Weight::from_shares(middle).weight() <= weight {
                true => low = middle,
                false => high = middle - 1,
            }
        }
        Weight { shares: low }
    }
}

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Weight, String> {
        match text.parse() {
            Ok(shares @ 2..=262_144) => Ok(Weight { shares }),
            _ => Err("CPU shares are a number from 2 to 262144".to_owned()),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shares.fmt(f)
    }
}

/// A list of CPUs or memory nodes, like "0-2,4". See cpuset(7), "List format".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List(String);

impl FromStr for List {
    type Err = String;

    fn from_str(text: &str) -> Result<List, String> {
        let number = |text: &str| text.parse::<u32>().ok();
        let fine = |range: &str| match range.split_once('-') {
            Some((first, last)) => number(first).is_some() && number(first) <= number(last),
            None => number(range).is_some(),
        };
        match text.split(',').all(fine) {
            true => Ok(List(text.to_owned())),
            false => Err("a list is of numbers and ranges, like 0-2,4".to_owned()),
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What may be read from and written to one disk, each second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoLimit {
    /// The disk's device number: major, minor. Of a whole disk, not a partition.
    pub device: (u64, u64),
    /// Bytes read a second.
    pub read_bytes: Option<u64>,
    /// Bytes written a second.
    pub write_bytes: Option<u64>,
    /// Read operations a second.
    pub reads: Option<u64>,
    /// Write operations a second.
    pub writes: Option<u64>,
}

impl fmt::Display for IoLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device.0, self.device.1)?;
        let bytes = [("read", self.read_bytes), ("write", self.write_bytes)];
        for (what, limit) in bytes.into_iter().filter_map(|(what, limit)| Some((what, limit?))) {
            write!(f, " {what} {}/s", Bytes(limit))?;
        }
        let operations = [("reads", self.reads), ("writes", self.writes)];
        for (what, limit) in operations.into_iter().filter_map(|(what, limit)| Some((what, limit?)))
        {
            write!(f, " {limit} {what}/s")?;
        }
        Ok(())
    }
}

impl fmt::Display for Limits {
    /// As one line: "memory 64 MiB, cpus 0.5, pids 32"; "none" for no limits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name, value: Option<String>| Some(format!("{name} {}", value?));
        let swap = self.memory_swap.as_ref().map(Max::to_string);
        let list = |list: &Option<List>| list.as_ref().map(List::to_string);
        let named = [
            named("memory", self.memory.map(|m| m.to_string())),
            named("memory and swap", swap),
            named("cpus", self.cpus.map(|c| c.to_string())),
            named("cpu shares", self.cpu_weight.map(|w| w.to_string())),
            named("pids", self.pids.map(|p| p.to_string())),
            named("on cpus", list(&self.cpuset_cpus)),
            named("on nodes", list(&self.cpuset_mems)),
        ];
        let io = self.io.iter().map(|limit| format!("io {limit}"));
        let all: Vec<String> = named.into_iter().flatten().chain(io).collect();
        f.write_str(if all.is_empty() { "none".to_owned() } else { all.join(", ") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_docker_takes_them() {
        let parse = |text: &str| text.parse().map(|Bytes(bytes)| bytes);
        assert_eq!(parse("512"), Ok(512));
        assert_eq!(parse("64m"), Ok(64 << 20));
        assert_eq!(parse("64MiB"), Ok(64 << 20));
        assert_eq!(parse("1.5g"), Ok(3 << 29));
        for wrong in ["", "m", "64x", "-1", "1e3", "1.2.3", "64 m", "inf", "9999999999g"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!("-1".parse(), Ok(Max::<Bytes>::Unlimited));
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(Bytes(1_300_000).to_string(), "1.2 MiB");
        assert_eq!(Bytes(0).to_string(), "0 B");
    }

    #[test]
    fn cpus_become_a_quota() {
        assert_eq!("0.5".parse::<Cpus>().map(Cpus::quota), Ok(50_000));
        assert_eq!("0.01".parse::<Cpus>().map(Cpus::quota), Ok(1_000));
        for wrong in ["", "0", "-1", "0.009", "NaN", "inf", "two"] {
            assert!(wrong.parse::<Cpus>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_become_a_weight_as_in_runc() {
        let weights = [2, 3, 512, 1024, 2048, 262_144].map(|s| Weight::from_shares(s).weight());
        assert_eq!(weights, [1, 2, 59, 100, 174, 10_000]);
        assert_eq!(Weight::from_weight(100), Weight::DEFAULT);
        assert_eq!(Weight::from_weight(10_000).shares(), 262_144);
        assert_eq!(Weight::from_weight(1).shares(), 2);
    }

    #[test]
    fn lists_of_cpus() {
        for fine in ["0", "0-3", "0-1,3,5-7"] {
            assert!(fine.parse::<List>().is_ok(), "{fine}");
        }
        for wrong in ["", "a", "3-1", "0,", "-1", "0-"] {
            assert!(wrong.parse::<List>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn impossible_limits_say_why() {
        let why = |limits: Limits| limits.check().unwrap_err().to_string();
        let low = Limits { memory: Some(Bytes(4 << 20)), ..Limits::default() };
        assert!(why(low).contains("4 MiB is too low"));
        let swap = Some(Max::At(Bytes(32 << 20)));
        let less = Limits { memory: Some(Bytes(64 << 20)), memory_swap: swap, ..Limits::default() };
        assert!(why(less).contains("can't be less"));
    }
}
