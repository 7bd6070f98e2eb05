//! How a stack of layers is read.
//!
//! A layer can only add files. To say that a file of a layer below is gone, it holds a *whiteout* in
//! its place; to say that a directory shares nothing but its name with those below, it marks it
//! *opaque*. This module does in user space what the kernel does at every look-up in an overlay.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::geteuid;

/// The first user namespace's inode number is the same on every machine (USER_NS_INIT_INO).
const FIRST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// What a stack shows under one name.
#[derive(Debug)]
pub struct Shown {
    /// Where it lies in the topmost layer that has it.
    pub path: PathBuf,
    /// What lstat(2) says of it there.
    pub metadata: Metadata,
    /// For a directory: itself, and the ones below with which it is merged, topmost first.
    pub dirs: Vec<PathBuf>,
}

// ANCHOR: look-up
/// What the merged directories `dirs`, topmost first, show under `name`.
///
/// # Errors
/// When a layer can't be read.
pub fn look_up(dirs: &[PathBuf], name: &OsStr) -> Result<Option<Shown>> {
    let mut shown: Option<Shown> = None;
    for path in dirs.iter().map(|dir| dir.join(name)) {
        let Some(metadata) = lstat(&path)? else { continue };
        if is_whiteout(&path, &metadata)? {
            break;
        }
        if !metadata.is_dir() {
            // A file hides what is below. Below a directory it is hidden itself.
            return Ok(shown.or(Some(Shown { path, metadata, dirs: Vec::new() })));
        }
        let opaque = is_opaque(&path)?;
        shown
            .get_or_insert_with(|| Shown { path: path.clone(), metadata, dirs: Vec::new() })
            .dirs
            .push(path);
        if opaque {
            break;
        }
    }
    Ok(shown)
}
// ANCHOR_END: look-up

/// Every name in `dirs`, whiteouts too, in order.
///
/// # Errors
/// When one can't be read.
pub fn names(dirs: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for dir in dirs {
        let dir = dir.as_ref();
        let read = || -> io::Result<Vec<OsString>> {
            fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
        };
        names.extend(read().with_context(|| format!("read {}", dir.display()))?);
    }
    Ok(names)
}

// ANCHOR: marks
/// Whether this is a whiteout: a character device 0:0, or an empty file with a mark. The second kind
/// (Linux 6.7) is for layers that are themselves stored on an overlay, which would swallow the first.
///
/// # Errors
/// When the mark can't be read.
pub fn is_whiteout(path: &Path, metadata: &Metadata) -> Result<bool> {
    let device = metadata.file_type().is_char_device() && metadata.rdev() == 0;
    let empty_file = metadata.is_file() && metadata.len() == 0;
    Ok(device || (empty_file && mark(path, "whiteout")?.is_some()))
}

/// Whether this directory hides those of the same name in the layers below.
///
/// # Errors
/// When the mark can't be read.
pub fn is_opaque(dir: &Path) -> Result<bool> {
    // "x", the other value, says that whiteouts of the second kind may lie in it.
    Ok(mark(dir, "opaque")?.as_deref() == Some(b"y"))
}
// ANCHOR_END: marks

/// Makes a whiteout. Unlike any other device, this one needs no privilege since Linux 5.8.
///
/// # Errors
/// See mknod(2).
pub fn make_whiteout(path: &Path) -> Result<()> {
    mknod(path, SFlag::S_IFCHR, Mode::empty(), 0)
        .with_context(|| format!("make the whiteout {}", path.display()))
}

/// Marks a directory opaque.
///
/// # Errors
/// EOPNOTSUPP when the file system has no such attributes. See setxattr(2).
pub fn make_opaque(dir: &Path) -> Result<()> {
    xattr::set(dir, format!("{}opaque", marks()), b"y")
        .with_context(|| format!("mark {} opaque", dir.display()))
}

fn mark(path: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    match xattr::get(path, format!("{}{name}", marks())) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
        read => read.with_context(|| format!("read attributes of {}", path.display())),
    }
}

/// The extended attributes in which overlays keep their marks. `trusted.*` belongs to the machine's
/// root; anybody else mounts with the option `userxattr`. See xattr(7).
fn marks() -> &'static str {
    if marks_are_users() { "user.overlay." } else { "trusted.overlay." }
}

/// Whether the caller is an ordinary user, be it as root of a user namespace.
pub(crate) fn marks_are_users() -> bool {
    let in_namespace = fs::metadata("/proc/self/ns/user")
        .is_ok_and(|namespace| namespace.ino() != FIRST_USER_NAMESPACE);
    in_namespace || !geteuid().is_root()
}
/// Whether an extended attribute is some overlay's mark, which no copy and no archive should hold.
pub fn is_mark(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// lstat(2), with `None` for what isn't there.
pub(crate) fn lstat(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).with_context(|| format!("stat {}", path.display())),
    }
}

/// Whether `path` is `dir` or lies in it, wherever links lead.
pub(crate) fn inside(path: &Path, dir: &Path) -> bool {
    match (fs::canonicalize(path), fs::canonicalize(dir)) {
        (Ok(path), Ok(dir)) => path.starts_with(dir),
        _ => false,
    }
}
