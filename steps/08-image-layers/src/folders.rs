//! Folders by descriptor: opened, listed, removed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// Removes a file, or a folder with everything in it; links are removed, not followed.
pub(crate) fn remove_tree(at: impl AsFd, name: &OsStr) -> rustix::io::Result<()> {
    let at = at.as_fd();
    match fs::unlinkat(at, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        result => return result,
    }
    // An ordinary user's own folder may forbid him to empty it.
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match fs::openat(at, name, open, Mode::empty()) {
        Err(Errno::ACCESS) => {
            fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
            fs::openat(at, name, open, Mode::empty())?
        }
        result => result?,
    };
    if fs::fstat(&folder)?.st_mode & 0o300 != 0o300 {
        fs::fchmod(&folder, Mode::RWXU)?;
    }
    for name in names(&folder)? {
        remove_tree(&folder, &name)?;
    }
    drop(folder);
    fs::unlinkat(at, name, AtFlags::REMOVEDIR)
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let readable = fs::openat(
        folder,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut names = Vec::new();
    for entry in fs::Dir::new(readable)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

pub(crate) fn open_folder(path: &Path) -> Result<OwnedFd> {
    fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .io()
        .with_context(|| format!("open {}", path.display()))
}

/// rustix has an error type of its own. This makes it the standard library's, which people get to
/// read without a number.
pub(crate) trait OrIo<T> {
    fn io(self) -> io::Result<T>;
}

impl<T> OrIo<T> for rustix::io::Result<T> {
    fn io(self) -> io::Result<T> {
        self.map_err(io::Error::from)
    }
}

/// A name for an open file that leads to this very file (proc_pid_fd(5)).
pub(crate) fn fd_path(file: &impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()).into()
}
