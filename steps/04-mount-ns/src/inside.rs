//! Paths inside a container, and what they lead to.
//!
//! An image is somebody else's: it may hold `/etc -> ../../..` or `/data -> /proc`. Whoever mounts on
//! `rootfs/etc` by name then mounts on the host (runc's CVE-2021-30465 and CVE-2019-16884 are of that
//! kind). So no path inside a container is ever given to a system call that would follow it from the
//! host's root. The kernel resolves it with the container's root as one that nothing leads out of,
//! openat2(2) RESOLVE_IN_ROOT, and what comes back is a file descriptor, which stays what it is.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, readlinkat,
};
use rustix::io::Errno;

use crate::root::Root;

impl Root {
    // ANCHOR: find
    /// What `path` leads to inside the container; nothing when it doesn't exist. Absolute links and
    /// `..` start and stop at this root.
    ///
    /// # Errors
    /// ELOOP when `how` forbids the links on the way. See openat2(2).
    pub fn find(&self, path: &Path, how: ResolveFlags) -> Result<Option<OwnedFd>> {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | how;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        for _attempt in 0..128 {
            match openat2(self, path, flags, Mode::empty(), inside) {
                Ok(found) => return Ok(Some(found)),
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                // openat2(2): somewhere a directory was renamed during a `..`: it can't tell whether
                // that one still lies inside. Asking again is what the manual advises.
                Err(Errno::AGAIN) => continue,
                Err(Errno::LOOP) if how.contains(ResolveFlags::NO_SYMLINKS) => {
                    bail!("{} is a symbolic link in the image: refused", path.display())
                }
                Err(Errno::NOSYS) => bail!("needs Linux 5.6 or later (openat2)"),
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
        bail!("{}: directories there keep moving", path.display())
    }
    // ANCHOR_END: find

    /// Makes the directory or empty file `path` and the directories above it, inside the container.
    pub(crate) fn make(&self, path: &Path, directory: bool) -> Result<OwnedFd> {
        let mut path = path.to_owned();
        for _link in 0..MAX_LINKS {
            match self.make_until_link(&path, directory)? {
                Made::All(made) => return Ok(made),
                Made::Link(elsewhere) => path = elsewhere,
            }
        }
        bail!("{}: too many links to nowhere in the image", path.display())
    }

    fn make_until_link(&self, path: &Path, directory: bool) -> Result<Made> {
        let folder = path.parent().with_context(|| format!("{} vanished", path.display()))?;
        // From the end: most often only the last part is missing.
        let parent = match self.find(folder, ResolveFlags::empty())? {
            Some(found) => found,
            None => match self.make_until_link(folder, true)? {
                Made::All(made) => made,
                Made::Link(elsewhere) => {
                    let rest = path.strip_prefix(folder).unwrap_or(path);
                    return Ok(Made::Link(elsewhere.join(rest)));
                }
            },
        };
        // A `..` is there by now.
        if let Some(name) = path.file_name() {
            match make_one(parent.as_fd(), name.as_ref(), directory) {
                Ok(()) => {}
                // There, and yet not found: a link to what isn't there. What it means is made, as
                // with /etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf in many images.
                Err(Errno::EXIST) => {
                    let link = readlinkat(&parent, name, Vec::new()).map_err(io::Error::from)?;
                    return Ok(Made::Link(folder.join(OsStr::from_bytes(link.as_bytes()))));
                }
                Err(errno) => {
                    let what = format!("make {} in the container", path.display());
                    return Err(io::Error::from(errno)).context(what);
                }
            }
        }
        // Looked up from the top once more: whatever stands there by now is inside.
        let made = self.find(path, ResolveFlags::empty())?;
        Ok(Made::All(made.with_context(|| format!("{} vanished", path.display()))?))
    }

    /// The directory `path` inside the container, made if it is missing.
    ///
    /// # Errors
    /// When it is there and not a directory, or can't be made.
    pub fn directory(&self, path: &Path) -> Result<OwnedFd> {
        let found = match self.find(path, ResolveFlags::empty())? {
            Some(found) => found,
            None => self.make(path, true)?,
        };
        ensure!(is_directory(found.as_fd())?, "{} is not a directory", path.display());
        Ok(found)
    }
}

/// How many links to nowhere may follow one another, as the kernel's limit for links. path_resolution(7)
const MAX_LINKS: usize = 40;

/// How far the making of a path came.
enum Made {
    /// The whole path is there.
    All(OwnedFd),
    /// A part of it is a link to nowhere: the path that it stands for.
    Link(PathBuf),
}

/// Makes an empty directory or file.
fn make_one(parent: BorrowedFd, name: &Path, directory: bool) -> rustix::io::Result<()> {
    if directory {
        return mkdirat(parent, name, Mode::from_raw_mode(0o755));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// Opens a path of the host as a place: enough to mount from or on it, not to read it.
pub(crate) fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

pub(crate) fn is_directory(file: BorrowedFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(file)?.st_mode) == FileType::Directory)
}
