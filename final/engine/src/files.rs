//! Plain files that are never half written, and the lock under which they change.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How much a file must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The end of any process at any moment.
    Process,
    /// The end of the machine too. It costs a wait for the disk.
    Machine,
}

// ANCHOR: replace
/// Replaces the file `path` by `bytes` in one step: a reader finds the old content or the new one,
/// and a full disk leaves the old.
///
/// rename(2) is what makes it one step. It says nothing of a power cut, after which the new name may
/// stand before the new content: for that the content has to be on the disk first, fsync(2).
pub(crate) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    // In the same folder, because rename(2) works within one filesystem.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", process::id()));
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        if durability == Durability::Machine {
            file.sync_all()?;
        }
        fs::rename(&new, path)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&new)))
        .with_context(|| format!("write {}", path.display()))
}
// ANCHOR_END: replace

/// [`replace`] with `value` as JSON, indented, since people read these files.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize, how: Durability) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).context("write JSON")?;
    text.push(b'\n');
    replace(path, &text, how)
}

/// The JSON file `path`; `None` when there is none.
///
/// # Errors
/// When it can't be read, or isn't what it should be: with the file's name.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("read {}", path.display()))?,
    };
    let value = serde_json::from_slice(&text);
    value.map(Some).with_context(|| format!("{} is damaged", path.display()))
}

/// Deletes `path`, which may be gone already.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Deletes the folder `path` with all that is in it; it may be gone already.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

// ANCHOR: locked
/// A file that this process has locked. The kernel unlocks it when the process ends, however it
/// does.
///
/// A lock by fcntl(2), which belongs to the process alone. One by flock(2) belongs to the open file, and so
/// to a child as well: a container that is just being made would hold on to it after its keel's death.
/// The price: closing any other descriptor of the same file unlocks it too. So a process opens a file
/// that it has locked only once.
#[derive(Debug)]
pub(crate) struct Locked {
    _file: File,
}
// ANCHOR_END: locked

/// Opens `path`, making it if it isn't there, and waits until the lock is free.
pub(crate) fn lock(path: &Path) -> Result<Locked> {
    let file = open(path)?;
    let locked = fcntl_lock(&file, FlockOperation::LockExclusive).map_err(io::Error::from);
    locked.with_context(|| format!("lock {}", path.display()))?;
    Ok(Locked { _file: file })
}

/// As [`lock`], but doesn't wait: `None` while another process holds the lock.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Locked>> {
    let file = open(path)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Locked { _file: file })),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
        Err(errno) => {
            Err(io::Error::from(errno)).with_context(|| format!("lock {}", path.display()))
        }
    }
}

/// The lock that another process has on `path`, if one has. It only asks: no file is made, and nobody
/// who wants the lock at the same time is turned away.
pub(crate) fn lock_of_another(path: &Path) -> Result<Option<Flock>> {
    let asking = || format!("ask for the lock of {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(asking)?,
    };
    // fcntl(2), F_GETLK: of the lock that we would like it tells the one that is in its way.
    let wanted = Flock::from(FlockType::WriteLock);
    fcntl_getlk(&file, &wanted).map_err(io::Error::from).with_context(asking)
}

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).with_context(|| format!("open {}", path.display()))
}
