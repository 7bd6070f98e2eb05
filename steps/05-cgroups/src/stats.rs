//! What a cgroup has used.

use std::fmt;
use std::time::Duration;

use crate::limits::Bytes;

/// What the processes of a cgroup use and have used, those that have ended included. What the
/// kernel here doesn't count is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory in bytes, page cache and kernel memory included.
    pub memory: Option<Usage>,
    /// How many processes the kernel has killed because the memory limit was reached.
    pub oom_kills: u64,
    /// Time on the CPUs.
    pub cpu: Option<CpuTime>,
    /// Processes and threads.
    pub pids: Option<Usage>,
    /// Bytes that went to and came from disks.
    pub io: Option<Io>,
}

/// How much of something is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Now.
    pub current: u64,
    /// The most there was at any time.
    pub peak: Option<u64>,
    /// The most there may be.
    pub limit: Option<u64>,
}

/// Time on the CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// All of it.
    pub total: Duration,
    /// In the processes' own code.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
    /// How long processes that could have run were held back by the limit.
    pub throttled: Duration,
}

/// Bytes that went to and came from disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Io {
    /// Read from disks.
    pub read: u64,
    /// Written to disks.
    pub written: u64,
}

impl fmt::Display for Stats {
    /// As one line: "memory 1.2 MiB (peak 3.4 MiB of 64 MiB), cpu 12 ms, pids 1 (limit 32)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |bytes| Bytes(bytes).to_string();
        let mut parts = Vec::new();
        if let Some(memory) = self.memory {
            parts.push(format!("memory {}", memory.describe(bytes)));
        }
        if self.oom_kills > 0 {
            parts.push(format!("killed for want of memory: {}", self.oom_kills));
        }
        if let Some(cpu) = self.cpu {
            parts.push(format!("cpu {} ms", cpu.total.as_millis()));
            if !cpu.throttled.is_zero() {
                parts.push(format!("held back {} ms", cpu.throttled.as_millis()));
            }
        }
        if let Some(pids) = self.pids {
            parts.push(format!("pids {}", pids.describe(|number| number.to_string())));
        }
        if let Some(io) = self.io.filter(|io| *io != Io::default()) {
            parts.push(format!("read {}, written {}", bytes(io.read), bytes(io.written)));
        }
        f.write_str(
            if parts.is_empty() { "nothing counted".into() } else { parts.join(", ") }.as_str(),
        )
    }
}

impl Usage {
    fn describe(&self, show: impl Fn(u64) -> String) -> String {
        let current = show(self.current);
        match (self.peak.map(&show), self.limit.map(&show)) {
            (Some(peak), Some(limit)) => format!("{current} (peak {peak} of {limit})"),
            (Some(peak), None) => format!("{current} (peak {peak})"),
            (None, Some(limit)) => format!("{current} (limit {limit})"),
            (None, None) => current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_one_line() {
        let memory = Usage { current: 1_258_291, peak: Some(3_565_158), limit: Some(64 << 20) };
        let cpu = CpuTime { total: Duration::from_micros(12_400), ..CpuTime::default() };
        let pids = Usage { current: 1, peak: None, limit: Some(32) };
        let (memory, cpu, pids) = (Some(memory), Some(cpu), Some(pids));
        let stats = Stats { memory, cpu, pids, ..Stats::default() };
        assert_eq!(
            stats.to_string(),
            "memory 1.2 MiB (peak 3.4 MiB of 64 MiB), cpu 12 ms, pids 1 (limit 32)"
        );
        assert_eq!(Stats::default().to_string(), "nothing counted");
    }
}
