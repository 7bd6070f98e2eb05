//! Prints the namespaces of a process, and how they are related to those of another.
//!
//! `kinship PID OTHER` has a line for each of the eight kinds:
//!
//!   shared                 both are in the same namespace;
//!   children's is new      both are in the same, but what PID forks will be in another: unshare(2);
//!   below, N levels        PID's was made in OTHER's, or N levels further down (pid and user namespaces alone are nested);
//!   own                    anything else.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::Pid;
use unshare::Namespace;

/// How a namespace of one process is related to that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Shared,
    NewForChildren,
    Below(u32),
    Own,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Relation::Shared => f.write_str("shared"),
            Relation::NewForChildren => f.write_str("shared, its children's is new"),
            Relation::Below(1) => f.write_str("below, 1 level"),
            Relation::Below(levels) => write!(f, "below, {levels} levels"),
            Relation::Own => f.write_str("own"),
        }
    }
}

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [pid, other] = words.as_slice() else { bail!("usage: kinship PID OTHER") };
    let number = |text: &String| -> Result<Pid> {
        Ok(Pid::from_raw(text.parse().with_context(|| format!("'{text}' is no pid"))?))
    };
    let (pid, other) = (number(pid)?, number(other)?);
    for kind in Namespace::ALL {
        println!("{kind:<7} {}", relation(kind, pid, other)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// How `pid`'s namespace of this kind is related to `other`'s.
///
/// # Errors
/// When there is no such process, or the caller may not look at it. See namespaces(7).
fn relation(kind: Namespace, pid: Pid, other: Pid) -> Result<Relation> {
    let others = kind.inode(other)?;
    if kind.inode(pid)? == others {
        let link = format!("/proc/{pid}/ns/{kind}_for_children");
        // Only pid and time namespaces have such a link.
        let has_link = fs::symlink_metadata(&link).is_ok();
        let same_for_children = match fs::metadata(&link) {
            Ok(children) => children.ino() == others,
            // A new pid namespace without a first process: the link is there, and leads nowhere. See pid_namespaces(7).
            Err(error) if error.kind() == ErrorKind::NotFound => !has_link,
            Err(error) => return Err(error).with_context(|| format!("stat {link}")),
        };
        return Ok(if same_for_children { Relation::Shared } else { Relation::NewForChildren });
    }
    let link = format!("/proc/{pid}/ns/{kind}");
    let mut namespace = File::open(&link).with_context(|| format!("open {link}"))?;
    for levels in 1.. {
        let Some(parent) = parent(&namespace)? else { break };
        if parent.metadata().context("stat a parent namespace")?.ino() == others {
            return Ok(Relation::Below(levels));
        }
        namespace = parent;
    }
    Ok(Relation::Own)
}

/// The namespace in which this one was made. `None` where there is none, or none that the caller may see.
///
/// # Errors
/// When the kernel refuses for another reason. See ioctl_nsfs(2), NS_GET_PARENT.
fn parent(namespace: &File) -> Result<Option<File>> {
    /// linux/nsfs.h
    const NS_GET_PARENT: libc::Ioctl = nix::request_code_none!(0xb7, 2) as libc::Ioctl;
    // SAFETY: this request has no argument.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_PARENT) };
    match Errno::result(fd) {
        // SAFETY: the kernel has made a new descriptor that nobody else owns.
        Ok(fd) => Ok(Some(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))),
        // EPERM: the parent is outside of the caller's own namespace. EINVAL: this kind isn't nested.
        Err(Errno::EPERM | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno).context("ask for the parent namespace"),
    }
}
