//! Prints the process tree of a container as its host sees it, with the numbers of both sides.
//!
//! `both-sides PID`, with the outside number of any process of the container, has a line for each of them:
//!
//!   1 sh (outside 4711)
//!     2 sleep (outside 4712)

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use unshare::Namespace;

/// What /proc/PID/status says of a process. See proc_pid_status(5).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Status {
    name: String,
    /// Its parent's number outside; 0 if that is further out.
    parent: i32,
    /// Its number in each pid namespace, from that of this /proc down to its own.
    numbers: Vec<i32>,
}

/// A process of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    inside: i32,
    outside: i32,
    /// Outside, too.
    parent: i32,
    name: String,
}

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [pid] = words.as_slice() else { bail!("usage: both-sides PID") };
    let pid = Pid::from_raw(pid.parse().with_context(|| format!("'{pid}' is no pid"))?);
    for line in lines(&members(pid)?) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

impl Status {
    /// Reads that of `pid`. `None` if there is no such process, or has just ended.
    ///
    /// # Errors
    /// When it can't be read, or lacks a line.
    fn read(pid: i32) -> Result<Option<Status>> {
        let path = format!("/proc/{pid}/status");
        let text = match fs::read_to_string(&path) {
            // ESRCH: it was there when the file was opened.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {
                return Ok(None);
            }
            text => text.with_context(|| format!("read {path}"))?,
        };
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.with_context(|| format!("read {path}: it has no {name}"))
        };
        let numbers = field("NSpid:\t")?.split('\t').map(str::parse).collect::<Result<_, _>>();
        Ok(Some(Status {
            // A program's name may contain blanks and parentheses, but this line has nothing else.
            name: field("Name:\t")?.to_owned(),
            parent: field("PPid:\t")?.parse().with_context(|| format!("read PPid in {path}"))?,
            numbers: numbers.with_context(|| format!("read NSpid in {path}"))?,
        }))
    }
}

/// Every process of the container that `pid` is in: those of its pid namespace, and their descendants, which may be in
/// namespaces further down.
///
/// # Errors
/// When there is no process `pid`, or the caller may not look at it. See pid_namespaces(7).
fn members(pid: Pid) -> Result<Vec<Member>> {
    let namespace = Namespace::Pid.inode(pid)?;
    let own = Status::read(pid.as_raw())?.with_context(|| format!("process {pid} has ended"))?;
    let level = own.numbers.len() - 1;

    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let name = entry.context("read /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(status) = Status::read(pid)? {
            all.insert(pid, status);
        }
    }
    // A process that may not be looked at, or has ended meanwhile, is in no namespace that we know.
    let is_in_it = |pid: i32| Namespace::Pid.inode(Pid::from_raw(pid)).ok() == Some(namespace);
    let belongs = |pid: i32| {
        // Parents change while we look, so the way up might go in circles.
        let up = |pid: &i32| all.get(pid).map(|status| status.parent);
        std::iter::successors(Some(pid), up).take(all.len()).any(is_in_it)
    };
    let member = |(&outside, status): (&i32, &Status)| {
        let Status { name, parent, numbers } = status.clone();
        let inside = *numbers.get(level)?;
        belongs(outside).then_some(Member { inside, outside, parent, name })
    };
    Ok(all.iter().filter_map(member).collect())
}

/// The tree, one line for each process, children below their parent, in the order of the numbers inside. A process whose
/// parent is outside begins at the margin.
fn lines(members: &[Member]) -> Vec<String> {
    fn below(members: &[Member], is_here: &dyn Fn(&Member) -> bool, depth: usize) -> Vec<String> {
        let mut here: Vec<&Member> = members.iter().filter(|member| is_here(member)).collect();
        here.sort_by_key(|member| member.inside);
        let mut lines = Vec::new();
        for Member { inside, outside, name, .. } in here {
            lines.push(format!("{}{inside} {name} (outside {outside})", "  ".repeat(depth)));
            lines.extend(below(members, &|member| member.parent == *outside, depth + 1));
        }
        lines
    }
    let is_known = |pid: i32| members.iter().any(|member| member.outside == pid);
    below(members, &|member| !is_known(member.parent), 0)
}
