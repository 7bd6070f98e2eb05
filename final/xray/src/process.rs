//! The process itself: its ids, its command, what it holds open.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::proc::{ProcDir, field};
use crate::root::{Kind, Root};

/// What is known of the process as such.
#[derive(Debug, Clone, Serialize)]
pub struct Process {
    /// Its pid as the observer counts.
    pub pid: i32,
    /// Its pid in its own pid namespace: the same number when that is the observer's too.
    pub pid_inside: i32,
    /// Its arguments, the command first. Empty for a kernel thread.
    pub command: Vec<String>,
    /// The name that the kernel keeps of it: at most 15 bytes.
    pub name: String,
    /// Its open file descriptors, in order.
    pub descriptors: Vec<Descriptor>,
    /// The terminal that controls its session, such as `pts/3`.
    pub terminal: Option<String>,
}

/// An open file descriptor.
#[derive(Debug, Clone, Serialize)]
pub struct Descriptor {
    /// Its number.
    pub number: u32,
    /// What /proc/PID/fd says of it: a path, or `pipe:[…]` and the like.
    pub target: String,
    /// Whether it is a folder outside the process's root: a way out (openat(2) starts from it).
    pub leads_out: bool,
}

impl Process {
    /// The command on one line; the name in brackets, as ps(1) has it, when there are no arguments.
    pub fn command_line(&self) -> String {
        match self.command.is_empty() {
            true => format!("[{}]", self.name),
            false => self.command.join(" "),
        }
    }

    pub(crate) fn look(process: &ProcDir) -> Result<Self> {
        let status = process.read("status")?;
        let stat = process.read("stat")?;
        let pid_inside = field(&status, "NSpid")
            .and_then(|pids| pids.split_whitespace().next_back()?.parse().ok())
            .unwrap_or(process.pid.as_raw());
        Ok(Process {
            pid: process.pid.as_raw(),
            pid_inside,
            command: arguments(&process.read("cmdline")?),
            name: field(&status, "Name").unwrap_or_default().to_owned(),
            descriptors: Vec::new(),
            terminal: terminal(&stat),
        })
    }
}

/// /proc/PID/cmdline: each argument ends with a NUL byte.
fn arguments(cmdline: &str) -> Vec<String> {
    match cmdline.trim_end_matches('\0') {
        "" => Vec::new(),
        arguments => arguments.split('\0').map(str::to_owned).collect(),
    }
}

/// The open descriptors of a process whose root is `root`.
///
/// `mount_ids` are the mounts that it can see, when its mount table is its own.
pub(crate) fn descriptors(
    process: &ProcDir,
    root: &Root,
    mount_ids: Option<&HashSet<u64>>,
) -> Result<Vec<Descriptor>> {
    let mut numbers: Vec<u32> =
        process.list("fd")?.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let mut descriptors = Vec::with_capacity(numbers.len());
    for number in numbers {
        // A running process opens and closes files all the time: what is gone is no error.
        let Ok(target) = process.link(&format!("fd/{number}")) else { continue };
        let leads_out = process.is_dir(&format!("fd/{number}"))
            && is_outside(process, number, &target, root, mount_ids);
        descriptors.push(Descriptor { number, target, leads_out });
    }
    Ok(descriptors)
}

/// Whether the folder behind a descriptor lies outside the process's root.
fn is_outside(
    process: &ProcDir,
    number: u32,
    target: &str,
    root: &Root,
    mount_ids: Option<&HashSet<u64>>,
) -> bool {
    if root.kind == Kind::Chroot {
        return !Path::new(target).starts_with(&root.path);
    }
    // A folder of another mount table can have any path, even "/". Its mount tells the truth:
    // proc_pid_fdinfo(5) has the mount's id, and every mount that belongs here is in mountinfo.
    let Some(mount_ids) = mount_ids else { return false };
    let Ok(info) = process.read(&format!("fdinfo/{number}")) else { return false };
    let mount = field(&info, "mnt_id").and_then(|id| id.parse().ok());
    mount.is_some_and(|id: u64| !mount_ids.contains(&id))
}

/// The controlling terminal, field 7 of /proc/PID/stat. See proc_pid_stat(5).
fn terminal(stat: &str) -> Option<String> {
    // The command's name stands in parentheses and may hold anything, so count from the last one.
    let device: u32 =
        stat.rsplit_once(')')?.1.split_whitespace().nth(4)?.parse::<i32>().ok()? as u32;
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    // The numbers of the kernel's Documentation/admin-guide/devices.txt.
    match (major, minor) {
        (0, 0) => None,
        (136..=143, _) => Some(format!("pts/{}", minor + 256 * (major - 136))),
        (4, 0..=63) => Some(format!("tty{minor}")),
        (4, _) => Some(format!("ttyS{}", minor - 64)),
        (5, 1) => Some("console".to_owned()),
        _ => Some(format!("device {major}:{minor}")),
    }
}

/// How a limit is called, with its soft and its hard value; `None` stands for unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Its name, such as `open files`.
    pub name: String,
    /// What holds now. In bytes, seconds or pieces: see getrlimit(2).
    pub soft: Option<u64>,
    /// How far the process may raise it.
    pub hard: Option<u64>,
}

/// The resource limits of `process` that are not `me`'s too.
pub(crate) fn own_limits(process: &ProcDir, me: &ProcDir) -> Result<Vec<Limit>> {
    let mine = limits(&me.read("limits")?);
    let mut own = limits(&process.read("limits")?);
    own.retain(|limit| !mine.contains(limit));
    Ok(own)
}

/// Parses /proc/PID/limits, a table with columns of fixed width.
fn limits(table: &str) -> Vec<Limit> {
    let value = |text: Option<&str>| -> Option<u64> { text?.trim().parse().ok() };
    let row = |line: &str| {
        let name = line.get(..26)?.trim().trim_start_matches("Max ").to_owned();
        Some(Limit { name, soft: value(line.get(26..47)), hard: value(line.get(47..68)) })
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// The state letter of a process: `Z` for a zombie, `X` for a dead one. See proc_pid_status(5).
pub(crate) fn state(process: &ProcDir) -> Result<char> {
    let status = process.read("status")?;
    field(&status, "State").and_then(|state| state.chars().next()).context("read State")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_have_empty_arguments_and_none_at_all() {
        assert_eq!(arguments("sh\0-c\0\0"), ["sh", "-c"]);
        assert_eq!(arguments("printf\0\0x\0"), ["printf", "", "x"]);
        assert!(arguments("").is_empty());
    }

    #[test]
    fn a_terminal_has_a_name() {
        let stat = |tty: u32| format!("1 (a) b)) S 0 1 1 {tty} -1 0");
        assert_eq!(terminal(&stat(0)), None);
        assert_eq!(terminal(&stat(136 << 8 | 3)).unwrap(), "pts/3");
        assert_eq!(terminal(&stat(4 << 8 | 64)).unwrap(), "ttyS0");
        assert_eq!(terminal("nonsense"), None);
    }

    #[test]
    fn limits_are_read_by_column() {
        let table = "\
Limit                     Soft Limit           Hard Limit           Units     
Max stack size            8388608              unlimited            bytes     
Max nice priority         0                    0                    
";
        let read = limits(table);
        assert_eq!(read[0], Limit { name: "stack size".into(), soft: Some(8388608), hard: None });
        assert_eq!(read[1], Limit { name: "nice priority".into(), soft: Some(0), hard: Some(0) });
    }
}
