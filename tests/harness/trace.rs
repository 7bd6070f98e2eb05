//! What a command in the lab asks of the kernel: strace(1), read and made the same on every machine.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use regex::Regex;

use super::lab;

/// One process, or one thread, from its birth to its end.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its system calls, in order.
    pub(crate) calls: Vec<Call>,
}

/// One system call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its name, as in section 2 of the manual.
    pub(crate) name: String,
    /// What it was given, tidied up: see [`tidy`].
    pub(crate) args: String,
    /// What it returned: a number, or `-1 ENOENT (…)`.
    pub(crate) result: String,
}

/// Runs `setup` and then `command` under strace, in a fresh lab. The process that is `command` comes
/// first, the others in the order of their birth.
pub(crate) fn record(setup: &str, command: &str) -> Result<Vec<Process>> {
    // -ff: a file for each process, so that no call is torn by another process's. -y: with each
    // descriptor, what it leads to.
    let script = format!(
        "{{ {setup}; }} > /dev/null || exit\n\
         mkdir trace\n\
         strace -ff -y -s 200 -o trace/t {command} > out || exit\n\
         for file in $(ls trace | sort -t . -k 2n); do echo '===='; cat trace/$file; done\n"
    );
    let output = lab::sh(&script)?;
    let (said, traces) = output.split_once("====\n").with_context(|| output.clone())?;
    anyhow::ensure!(said.is_empty(), "complains: {said}");
    let pipes = pipes(traces);
    Ok(traces.split("====\n").map(|trace| Process::read(trace, &pipes)).collect())
}

impl Process {
    fn read(trace: &str, pipes: &[(String, &str)]) -> Process {
        static LINE: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"^(\w+)\((.*)\)\s+= (.*)$").unwrap());
        let call = |line: &str| {
            let parts = LINE.captures(line)?;
            let mut args = parts[2].to_owned();
            // Of the descriptor that is replaced the number is what matters.
            if let ("dup2" | "dup3", Some((old, new))) = (&parts[1], args.split_once(", ")) {
                args = format!("{old}, {}", new.split('<').next().unwrap_or_default());
            }
            for (inode, name) in pipes {
                args = args.replace(inode, name);
            }
            let (name, args) = plain(&parts[1], tidy(&args));
            Some(Call { name, args, result: parts[3].to_owned() })
        };
        let mut lines: Vec<&str> = trace.lines().collect();
        drop_masks_of_libc(&mut lines);
        Process { calls: lines.into_iter().filter_map(call).collect() }
    }
}

/// Takes out the pairs with which the C library shuts out all signals for a moment and lets them in again. Where it
/// does so depends on its version: glibc 2.41 does it in getrandom(3), too.
fn drop_masks_of_libc(lines: &mut Vec<&str>) {
    let mut inside = false;
    lines.retain(|line| {
        let begins = line.starts_with("rt_sigprocmask(SIG_BLOCK, ~[");
        let ends = inside && line.starts_with("rt_sigprocmask(SIG_SETMASK, ");
        inside = begins || (inside && !ends);
        !begins && !ends
    });
}

/// The pipes by what they are for: keel, whose trace comes first, makes them in this order.
fn pipes(trace: &str) -> Vec<(String, &'static str)> {
    static PIPE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"pipe:\[\d+\]").unwrap());
    let mut inodes: Vec<&str> = Vec::new();
    let made = trace.lines().filter(|line| line.starts_with("pipe2("));
    for found in made.filter_map(|line| PIPE.find(line)) {
        if !inodes.contains(&found.as_str()) {
            inodes.push(found.as_str());
        }
    }
    inodes.into_iter().map(str::to_owned).zip(["stdout", "stderr", "gate", "report"]).collect()
}

/// Pattern and replacement, applied in this order.
const RULES: &[(&str, &str)] = &[
    // A descriptor is shown as what it leads to.
    (r"AT_FDCWD<[^>]*>, ", ""),
    (r"\d+<anon_inode:\[(\w+)\]>", "$1"),
    (r"\d+<([^>]*)>", "$1"),
    (r"\b(net):\[\d+\]", "$1"),
    // Where keel's state is, ids, pids, namespaces.
    (r"/lab/keel/containers/[0-9a-f]{64}", "ID"),
    (r"/lab/(keel|out)\b", "$1"),
    (r"images/(layers|blobs/sha256)/[0-9a-f]{64}", "images/$1/DIGEST"),
    (r"[0-9a-f]{64}", "ID"),
    (r"\b[0-9a-f]{12}\b", "SHORT-ID"),
    (r"\.json\.\d+", ".json.PID"),
    (r"/proc/\d+/", "/proc/PID/"),
    (r"keel0-\d+", "keel0"),
    // Flags that all or none of the calls have.
    (r"\|O_CLOEXEC|O_CLOEXEC\|", ""),
    (r"\|O_LARGEFILE", ""),
    (r"O_RDONLY\|O_PATH", "O_PATH"),
    (r", O_CLOEXEC$", ""),
];

/// `args` with everything that changes from run to run replaced.
fn tidy(args: &str) -> String {
    static COMPILED: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        RULES.iter().map(|(rule, with)| (Regex::new(rule).unwrap(), *with)).collect()
    });
    COMPILED
        .iter()
        .fold(args.to_owned(), |args, (rule, with)| rule.replace_all(&args, *with).into_owned())
}

/// Some C libraries and processors use the newer of two calls that do the same.
fn plain(name: &str, args: String) -> (String, String) {
    let by_path = args.starts_with('"');
    let older = match name {
        "openat" if by_path => "open",
        "mkdirat" if by_path => "mkdir",
        "unlinkat" if by_path && !args.contains("AT_REMOVEDIR") => "unlink",
        "symlinkat" => "symlink",
        "renameat" | "renameat2" => "rename",
        "dup3" => "dup2",
        "ppoll" => "poll",
        name => name,
    };
    (older.to_owned(), args)
}
