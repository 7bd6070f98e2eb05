//! Stops a running container for a moment, to look at it: `docker pause`, `docker top` and `docker unpause` in one.
//!
//! `standstill PID LOOK` takes any process of a container of step 5. While all of the container's processes stand still it
//! prints their family tree, and runs the script LOOK with their pids as arguments. Then they go on, whatever LOOK did.

use std::env;
use std::fmt::Write;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use cgroups::Cgroup;
use nix::unistd::Pid;

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [pid, look] = &words[..] else { bail!("usage: standstill PID LOOK") };
    let pid = pid.parse().with_context(|| format!("'{pid}' is not a process id"))?;
    let cgroup = cgroup_of(Pid::from_raw(pid))?;
    while_frozen(&cgroup, || {
        let pids = cgroup.processes()?;
        print!("{}", family_tree(&pids)?);
        let arguments = pids.iter().map(Pid::to_string);
        let status = Command::new("sh").args(["-c", look, "sh"]).args(arguments).status();
        let status = status.context("start sh")?;
        ensure!(status.success(), "the script ended with {status}");
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The cgroup of a container of step 5, by one of its processes.
fn cgroup_of(pid: Pid) -> Result<Cgroup> {
    let view = cgroups::of(pid).with_context(|| format!("there is no process {pid}"))?;
    let name = view.path().and_then(|path| path.strip_prefix("/keel").ok()?.to_str());
    let name = name.with_context(|| format!("process {pid} is in no container of step 5"))?;
    Cgroup::open(name)
}

/// Does some work while all processes of `cgroup` stand still. However that ends, they go on.
///
/// # Errors
/// Those of the work; else those of freezing and thawing.
fn while_frozen(cgroup: &Cgroup, work: impl FnOnce() -> Result<()>) -> Result<()> {
    // A freeze that has failed may have stopped some of them.
    let worked = cgroup.freeze().and_then(|()| work());
    let thawed = cgroup.thaw();
    worked.and(thawed)
}

/// A process, out of /proc/PID/stat.
struct Process {
    pid: Pid,
    parent: Pid,
    name: String,
}

/// A line for each of these processes: its name, two blanks further in than its parent's, and below that its children. In the
/// order of the pids. Who has no parent among them stands at the margin.
///
/// # Errors
/// When one of them is gone: they do not stand still.
fn family_tree(pids: &[Pid]) -> Result<String> {
    let mut processes = pids.iter().map(|&pid| read(pid)).collect::<Result<Vec<_>>>()?;
    processes.sort_by_key(|process| process.pid);
    let mut tree = String::new();
    for root in processes.iter().filter(|process| !pids.contains(&process.parent)) {
        add(&mut tree, &processes, root, 0)?;
    }
    Ok(tree)
}

/// Adds `process`, at this depth, and all that is below it.
fn add(tree: &mut String, all: &[Process], process: &Process, depth: usize) -> Result<()> {
    writeln!(tree, "{:1$}{2}", "", depth * 2, process.name)?;
    all.iter()
        .filter(|other| other.parent == process.pid)
        .try_for_each(|child| add(tree, all, child, depth + 1))
}

/// Reads /proc/PID/stat: `42 (name) S 41 …`. See proc_pid_stat(5).
///
/// # Errors
/// When there is no such process.
fn read(pid: Pid) -> Result<Process> {
    let file = format!("/proc/{pid}/stat");
    let stat = fs::read(&file).with_context(|| format!("read {file}"))?;
    let stat = String::from_utf8_lossy(&stat);
    // A name may have blanks and parentheses of its own. Behind the last one there are only numbers and the state.
    let parse = || {
        let (front, behind) = stat.rsplit_once(')')?;
        let (_pid, name) = front.split_once('(')?;
        let parent = behind.split_whitespace().nth(1)?.parse().ok()?;
        Some(Process { pid, parent: Pid::from_raw(parent), name: name.to_owned() })
    };
    parse().with_context(|| format!("read {file}: it is not as in proc_pid_stat(5)"))
}
