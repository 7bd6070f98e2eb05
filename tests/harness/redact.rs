//! What changes from run to run, and what stands for it in a snapshot.

use std::sync::LazyLock;

use regex::Regex;

/// Pattern and replacement, applied in this order.
const RULES: &[(&str, &str)] = &[
    // A shell's word for a job that it started or that ended.
    (r"(?m)^\[\d+\] \d+\n", ""),
    // The same for a background job that SIGTERM ended: when it says so is a matter of chance.
    (r"(?m)^(\S+: line \d+: +\d+ )?Terminated( .*)?\n", ""),
    (r"kill pid \d+", "kill pid <pid>"),
    // Namespaces' inodes: uts:[4026532198].
    (
        r"\b(cgroup|ipc|mnt|net|pid|pid_for_children|time|time_for_children|user|uts):\[\d+\]",
        "$1:[inode]",
    ),
    // Ids of containers and images.
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b[0-9a-f]{12}\b", "<short id>"),
    // Interfaces on the host's side, and hardware addresses.
    (r"\bveth[0-9a-z]+\b", "veth<n>"),
    (r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b", "<mac>"),
    // An image's size depends on the busybox in it.
    (r"\b\d+(\.\d+)?[kMG]B\b", "<size>"),
    (r"(round-trip min/avg/max) = \S+ ms", "$1 = <time>"),
    (r"(Less than a|\d+) seconds? ago( {2,})?", "<ago>$2"),
    // How much a container used, and how long something took.
    (r"\bmemory \S+ \S+ \(peak \S+ \S+", "memory <used> (peak <used>"),
    (r"\bpids 0 \(peak \d+", "pids 0 (peak <n>"),
    (r"\bkilled for want of memory: \d+", "killed for want of memory: <n>"),
    // The processors of this machine.
    (r"\(there are [0-9,-]+\)", "(there are <cpus>)"),
    (r"\b\d+(\.\d+)? ?(us|µs|ms)\b", "<time>"),
];

static COMPILED: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    RULES
        .iter()
        .map(|(pattern, with)| (Regex::new(pattern).expect("a valid rule"), *with))
        .collect()
});

/// `text` with everything that changes from run to run replaced.
pub(crate) fn redact(text: &str) -> String {
    COMPILED.iter().fold(text.to_owned(), |text, (pattern, with)| {
        pattern.replace_all(&text, *with).into_owned()
    })
}
