//! The fallback for a machine that can't mount overlays: a whole copy for every container. Docker
//! calls this storage driver "vfs".
//!
//! Paths are plain here, not relative to open directories: nothing runs in a layer, and the copy is
//! not a container's yet, so nobody can swap a directory for a symlink while this works.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink,
};
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use rustix::fs::{SeekFrom, ioctl_ficlone, seek};
use rustix::io::Errno;

use crate::stack::{self, is_mark, look_up, names};

/// Which inode of the layers became which file of the copy.
type HardLinks = HashMap<(u64, u64), PathBuf>;

/// The user and group that stand for those which a user namespace has no number for. See
/// user_namespaces(7), /proc/sys/kernel/overflowuid.
const NOBODY: u32 = 65534;

/// Copies the tree `from` to `to`, which must be missing or empty: modes, owners, times, extended
/// attributes, hard links, symlinks, holes, fifos, sockets and devices.
///
/// What the kernel won't let an ordinary user make is passed over: another owner, a device, some
/// attributes. A file whose owner is lost loses its set-user-ID bit too.
///
/// # Errors
/// When something can't be read or written. What has been copied by then stays.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    copy_layers(&[from.to_owned()], to)
}

/// The same for a stack of layers, topmost first: the copy holds what an overlay would show.
///
/// # Errors
/// As [`copy_tree`].
pub fn copy_layers(lowers: &[PathBuf], to: &Path) -> Result<()> {
    let top = lowers.first().context("no layer to copy")?;
    ensure!(top.is_dir(), "{} is not a directory", top.display());
    let to = &path::absolute(to).with_context(|| format!("find {}", to.display()))?;
    let above = to.ancestors().find(|dir| dir.exists()).unwrap_or(to);
    let inside = lowers.iter().any(|lower| stack::inside(above, lower));
    ensure!(!inside, "{} lies inside what is to be copied", to.display());
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    directory(lowers, to, &mut HardLinks::new())?;
    metadata(top, to)
}

fn directory(dirs: &[PathBuf], to: &Path, links: &mut HardLinks) -> Result<()> {
    for name in names(dirs)? {
        // A name without a file is a whiteout's.
        let Some(shown) = look_up(dirs, &name)? else { continue };
        let target = to.join(&name);
        let made = make(&shown.path, &shown.metadata, &target, links)
            .with_context(|| format!("copy {} to {}", shown.path.display(), target.display()))?;
        if shown.metadata.is_dir() {
            directory(&shown.dirs, &target, links)?;
        }
        if made {
            // Last, since a new entry changes its directory's time, and a write clears set-user-ID.
            metadata(&shown.path, &target)?;
        }
    }
    Ok(())
}

/// Makes `target` the same kind of file as `source`, and fills it. Says whether its metadata is
/// still to be set.
fn make(
    source: &Path,
    metadata: &Metadata,
    target: &Path,
    links: &mut HardLinks,
) -> io::Result<bool> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        // Nobody else looks in before its own mode is set.
        DirBuilder::new().mode(0o700).create(target)?;
        return Ok(true);
    }
    if metadata.nlink() > 1 {
        let inode = (metadata.dev(), metadata.ino());
        if let Some(first) = links.get(&inode) {
            fs::hard_link(first, target)?;
            return Ok(false);
        }
        links.insert(inode, target.to_owned());
    }
    if kind.is_file() {
        contents(source, metadata.len(), target)?;
    } else if kind.is_symlink() {
        symlink(fs::read_link(source)?, target)?;
    } else if let Err(errno) = special(metadata, target) {
        let passed_over = is_device(metadata) && may_be_passed_over(&errno);
        return if passed_over { Ok(false) } else { Err(errno) };
    }
    Ok(true)
}

/// A fifo, a socket or a device.
fn special(metadata: &Metadata, target: &Path) -> io::Result<()> {
    let kind = SFlag::from_bits_truncate(metadata.mode() & SFlag::S_IFMT.bits());
    Ok(mknod(target, kind, Mode::from_bits_truncate(0o600), metadata.rdev())?)
}

fn contents(source: &Path, size: u64, target: &Path) -> io::Result<()> {
    let from = File::open(source)?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;

    // ioctl_ficlone(2): on btrfs and xfs the copy shares its blocks with the original.
    if ioctl_ficlone(&to, &from).is_ok() {
        return Ok(());
    }
    // lseek(2), SEEK_DATA and SEEK_HOLE: a hole stays a hole. /var/log/lastlog is mostly one.
    let mut end = 0;
    loop {
        let start = match seek(&from, SeekFrom::Data(end)) {
            Err(Errno::NXIO) => return to.set_len(size),
            start => start?,
        };
        end = seek(&from, SeekFrom::Hole(start))?;
        seek(&from, SeekFrom::Start(start))?;
        seek(&to, SeekFrom::Start(start))?;
        // Without a detour through this program's memory: copy_file_range(2).
        io::copy(&mut (&from).take(end - start), &mut to)?;
    }
}

/// Gives `target` the owner, mode, extended attributes and times of `source`.
pub(crate) fn metadata(source: &Path, target: &Path) -> Result<()> {
    let copy = || -> Result<()> {
        let from =
            fs::symlink_metadata(source).with_context(|| format!("stat {}", source.display()))?;
        let mut mode = from.mode();
        if let Err(error) = lchown(target, Some(from.uid()), Some(from.gid())) {
            if !may_be_passed_over(&error) {
                return Err(error.into());
            }
            // A program that is set-user-ID must not become so for somebody else.
            mode &= !0o6000;
        }
        // chown(2) clears set-user-ID and file capabilities: so both come after it.
        if !from.is_symlink() {
            fs::set_permissions(target, Permissions::from_mode(mode & 0o7777))?;
        }
        for (name, value) in attributes(source)? {
            match xattr::set(target, &name, &value) {
                Err(error) if !may_be_passed_over(&error) => return Err(error.into()),
                _ => {}
            }
        }
        let accessed = TimeSpec::new(from.atime(), from.atime_nsec());
        let modified = TimeSpec::new(from.mtime(), from.mtime_nsec());
        utimensat(AT_FDCWD, target, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?;
        Ok(())
    };
    copy().with_context(|| format!("set owner, mode and times of {}", target.display()))
}

/// The extended attributes that are a file's own: no overlay's marks, and no labels that the host's
/// security module gives to every file.
pub(crate) fn attributes(path: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
    let read = || -> io::Result<BTreeMap<OsString, Vec<u8>>> {
        let mut attributes = BTreeMap::new();
        for name in xattr::list(path)?.filter(|name| !is_mark(name) && !is_label(name)) {
            if let Some(value) = xattr::get(path, &name)? {
                attributes.insert(name, value);
            }
        }
        Ok(attributes)
    };
    match read() {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(BTreeMap::new()),
        read => read.with_context(|| format!("read attributes of {}", path.display())),
    }
}

fn is_label(name: &OsStr) -> bool {
    name != "security.capability" && name.as_encoded_bytes().starts_with(b"security.")
}

/// Whether a copy of this file has its owner: all but those that the caller's user namespace lacks.
pub(crate) fn could_keep_owner(file: &Metadata) -> bool {
    !([file.uid(), file.gid()].contains(&NOBODY) && stack::marks_are_users())
}

pub(crate) fn is_device(file: &Metadata) -> bool {
    file.file_type().is_char_device() || file.file_type().is_block_device()
}

/// Not allowed (EPERM), not known in this user namespace (EINVAL), not offered by the file system.
fn may_be_passed_over(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EINVAL | libc::EOPNOTSUPP))
}
