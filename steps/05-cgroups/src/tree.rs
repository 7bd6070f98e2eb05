//! A cgroup's folder with all that is below it: its processes, and its end.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::files;
use crate::hierarchy::{Folder, Version};
use crate::v2;

/// How long a removal waits for processes that are about to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes in `folder`, those below it not included. A 0 stands for a process that our pid
/// namespace can't see.
pub(crate) fn pids_of(folder: &Path) -> Result<Vec<Pid>> {
    let file = folder.join("cgroup.procs");
    let text = match fs::read_to_string(&file) {
        // cgroups(7): a threaded cgroup's processes are listed where its thread root is.
        Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => String::new(),
        Err(error) if files::is_gone(&error) => String::new(),
        other => other.with_context(|| format!("read {}", file.display()))?,
    };
    Ok(text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw).collect())
}

/// The processes in `folder` and below it, as far as our pid namespace can see them.
pub(crate) fn pids(folder: &Path) -> Result<Vec<Pid>> {
    let lists: Result<Vec<_>> = folders(folder).iter().map(|folder| pids_of(folder)).collect();
    Ok(lists?.concat().into_iter().filter(|pid| pid.as_raw() != 0).collect())
}

/// Sends SIGKILL to the processes in `folder` and below it.
pub(crate) fn signal_all(folder: &Path) -> Result<()> {
    // pids() leaves out the 0 of a process that can't be seen: kill(2) would take it for "every
    // process in the caller's process group".
    for pid in pids(folder)? {
        match kill(pid, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("kill {pid}")),
        }
    }
    Ok(())
}

/// `folder` and all cgroups below it, the deepest first: the order in which they can be removed.
pub(crate) fn folders(folder: &Path) -> Vec<PathBuf> {
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.flat_map(|entry| folders(&entry.path())).chain([folder.to_owned()]).collect()
}

// ANCHOR: remove
/// Removes a cgroup and those below it, and waits for processes that are about to end.
pub(crate) fn remove(folder: &Folder) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match rmdir_all(&folder.path) {
            // cgroups(7): a cgroup with a process in it, or a child, can't be removed.
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                wait_until_empty(folder, end.saturating_duration_since(Instant::now()))?;
            }
            Err(error) if !files::is_gone(&error) => {
                return Err(error).with_context(|| format!("remove {}", folder.path.display()));
            }
            _ => return Ok(()),
        }
    }
}

/// rmdir(2) is all it takes: the files in it are the kernel's and go with it.
fn rmdir_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
            folders(folder).iter().try_for_each(|folder| match fs::remove_dir(folder) {
                Err(error) if files::is_gone(&error) => Ok(()),
                other => other,
            })
        }
        other => other,
    }
}
// ANCHOR_END: remove

/// Waits until no process is left in `folder`, or until one of them has ended.
fn wait_until_empty(folder: &Folder, limit: Duration) -> Result<()> {
    let left = pids(&folder.path)?;
    if limit.is_zero() {
        let left: Vec<String> = left.iter().map(Pid::to_string).collect();
        bail!("remove {}: processes are left in it: {}", folder.path.display(), left.join(", "));
    }
    if folder.version == Version::V2 {
        match v2::wait_for(&folder.path, "populated", 0, limit) {
            Err(_) if !folder.path.is_dir() => return Ok(()),
            waited => waited?,
        };
    } else if let Some(pid) = left.first() {
        // v1 has no event for this. A pidfd becomes readable when its process ends: pidfd_open(2).
        if let Some(pid) = rustix::process::Pid::from_raw(pid.as_raw())
            && let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
        {
            let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout);
        }
    }
    // A process leaves its cgroup a moment before or after it is seen to end.
    sleep(Duration::from_micros(200));
    Ok(())
}
