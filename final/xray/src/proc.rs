//! Reading /proc/PID through one open folder.
//!
//! A pid can be handed to another process between two reads. An open /proc/PID can't: once its
//! process is gone, everything below answers ESRCH. So all facts are of one process, or none are.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Error, Result, anyhow};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::Pid;

use crate::process::state;

/// An open /proc/PID.
pub(crate) struct ProcDir {
    pub pid: Pid,
    name: String,
    dir: OwnedFd,
}

const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

impl ProcDir {
    /// Opens /proc/PID of any process.
    pub fn open(pid: Pid) -> Result<Self> {
        let name = format!("/proc/{pid}");
        match open(name.as_str(), FOLDER, Mode::empty()) {
            Ok(dir) if pid.as_raw() > 0 => Ok(ProcDir { pid, name, dir }),
            Ok(_) | Err(Errno::ENOENT) => Err(anyhow!("there is no process {pid}")),
            Err(error) => Err(error).with_context(|| format!("open {name}")),
        }
    }

    /// Opens /proc/self: the observer, to whom everything is compared.
    pub fn myself() -> Result<Self> {
        // Not by pid: /proc may belong to a pid namespace in which the caller has another one.
        let dir = open("/proc/self", FOLDER, Mode::empty())
            .context("open /proc/self (is /proc mounted, and of this pid namespace?)")?;
        Ok(ProcDir { pid: Pid::this(), name: "/proc/self".to_owned(), dir })
    }

    /// Opens a file below it.
    pub fn file(&self, name: &str, flags: OFlag) -> Result<OwnedFd> {
        openat(&self.dir, name, flags | OFlag::O_CLOEXEC, Mode::empty())
            .with_context(|| format!("open {}/{name}", self.name))
    }

    /// The text of a file below it. What isn't UTF-8 is replaced, never an error.
    pub fn read(&self, name: &str) -> Result<String> {
        let mut bytes = Vec::with_capacity(4096);
        File::from(self.file(name, OFlag::O_RDONLY)?)
            .read_to_end(&mut bytes)
            .with_context(|| format!("read {}/{name}", self.name))?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// The text of a file that some kernels don't have.
    pub fn read_if_any(&self, name: &str) -> Result<Option<String>> {
        match self.read(name) {
            Ok(text) => Ok(Some(text)),
            Err(error) if errno(&error) == Some(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where a symbolic link below it leads, as the kernel words it.
    pub fn link(&self, name: &str) -> Result<String> {
        let target = readlinkat(&self.dir, name)
            .with_context(|| format!("read link {}/{name}", self.name))?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// The names in a folder below it.
    pub fn list(&self, name: &str) -> Result<Vec<String>> {
        names(self.file(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)
            .with_context(|| format!("list {}/{name}", self.name))
    }

    /// Whether what a link below it leads to is a folder.
    pub fn is_dir(&self, name: &str) -> bool {
        fstatat(&self.dir, name, AtFlags::empty()).is_ok_and(|stat| {
            SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
        })
    }

    /// Turns an error met while looking into the sentence that a person needs.
    pub fn explain(&self, error: Error) -> Error {
        let pid = self.pid;
        match state(self) {
            Ok('Z') => anyhow!(
                "process {pid} is a zombie: it has ended and waits for its parent to notice, \
                 so there is nothing left to look at"
            ),
            Err(_) | Ok('X') => anyhow!("process {pid} ended while it was looked at"),
            Ok(_) if matches!(errno(&error), Some(Errno::EACCES | Errno::EPERM)) => {
                anyhow!(
                    "process {pid} may not be looked at: it belongs to another user, or has more \
                     rights than you (try as root)"
                )
            }
            Ok(_) => error.context(format!("look at process {pid}")),
        }
    }
}

/// The names in an open folder, without `.` and `..`.
pub(crate) fn names(folder: OwnedFd) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(folder)?.iter() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether `name` in an open folder is a character device.
pub(crate) fn is_char_device(folder: impl AsFd, name: &str) -> bool {
    fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR)
}

/// The system's error at the bottom of a chain.
pub(crate) fn errno(error: &Error) -> Option<Errno> {
    error.chain().find_map(|cause| {
        let raw = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        cause.downcast_ref::<Errno>().copied().or(raw.map(Errno::from_raw))
    })
}

/// The value of `Name:\tvalue` in a file such as /proc/PID/status.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tsh\nPid:\t7\nNSpid:\t7\t1\n";
        assert_eq!(field(status, "Pid"), Some("7"));
        assert_eq!(field(status, "NSpid"), Some("7\t1"));
        assert_eq!(field(status, "NSp"), None);
    }

    #[test]
    fn a_process_that_does_not_exist_is_said_so() {
        let error = ProcDir::open(Pid::from_raw(i32::MAX)).err().unwrap();
        assert_eq!(error.to_string(), "there is no process 2147483647");
    }
}
