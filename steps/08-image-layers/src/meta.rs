//! What a file has besides its content: owner, mode, times, attributes.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use overlayfs::stack::is_mark;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::folders::{OrIo, fd_path};

/// Owner, mode, times and attributes of a file.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time: seconds and nanoseconds. `None` leaves it.
    pub mtime: Option<(i64, u32)>,
    /// Extended attributes.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
}

/// How many things an ordinary user could not make (user_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Device nodes, which need the host's CAP_MKNOD.
    pub devices: u64,
    /// Owners other than the user, where the namespace maps one id only.
    pub owners: u64,
    /// Extended attributes that the user or the filesystem doesn't allow.
    pub xattrs: u64,
}

impl Skipped {
    /// Whether everything could be made.
    pub fn is_none(&self) -> bool {
        *self == Skipped::default()
    }
}

impl std::ops::AddAssign for Skipped {
    fn add_assign(&mut self, other: Skipped) {
        self.devices += other.devices;
        self.owners += other.owners;
        self.xattrs += other.xattrs;
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.devices, "devices"),
            (self.owners, "owners"),
            (self.xattrs, "extended attributes"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&parts.join(", "))
    }
}

impl Meta {
    /// What an existing file has.
    pub(crate) fn of(file: &OwnedFd) -> Result<Meta> {
        let stat = fs::fstat(file).io().context("stat a file")?;
        let path = fd_path(file);
        let mut xattrs = Vec::new();
        // A symbolic link's or a filesystem's missing attributes are no reason to fail.
        for name in xattr::list_deref(&path).into_iter().flatten() {
            if let Ok(Some(value)) = xattr::get_deref(&path, &name)
                && !is_mark(&name)
            {
                xattrs.push((name, value));
            }
        }
        Ok(Meta {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Some((stat.st_mtime, stat.st_mtime_nsec as u32)),
            xattrs,
        })
    }

    /// Gives all this to a file. The order matters: chown(2) clears setuid and setgid bits and
    /// the file's capabilities, so the owner comes first.
    pub(crate) fn apply(&self, file: &OwnedFd) -> Result<Skipped> {
        let mut skipped = Skipped::default();
        // In a user namespace with one mapped id every other owner is refused (chown(2), EINVAL).
        let (uid, gid) = (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
        let mut mode = self.mode;
        match fs::chownat(file, "", uid, gid, AtFlags::EMPTY_PATH) {
            Err(Errno::PERM | Errno::INVAL) => {
                skipped.owners += 1;
                mode &= 0o1777; // setuid to somebody else than the image meant would be a gift
            }
            result => result.io().context("change an owner")?,
        }
        // An O_PATH descriptor takes no fchmod(2), but its name in /proc takes chmod(2); it leads
        // to this very file and nowhere else.
        let path = fd_path(file);
        let kind = FileType::from_raw_mode(fs::fstat(file).io()?.st_mode);
        if kind != FileType::Symlink {
            fs::chmod(&path, Mode::from_raw_mode(mode)).io().context("change a mode")?;
        }
        for (name, value) in &self.xattrs {
            match fs::setxattr(&path, name, value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::NOTSUP | Errno::INVAL) => skipped.xattrs += 1,
                error => {
                    error.io().with_context(|| format!("set the attribute {}", name.display()))?;
                }
            }
        }
        if let Some((tv_sec, nanos)) = self.mtime {
            let time = Timespec { tv_sec, tv_nsec: nanos.into() };
            let times = Timestamps { last_access: time, last_modification: time };
            fs::utimensat(file, "", &times, AtFlags::EMPTY_PATH).io().context("change a time")?;
        }
        Ok(skipped)
    }
}
