//! What a container has done to its files.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::copy::{attributes, could_keep_owner, is_device};
use crate::stack::{self, Shown, lstat};

/// One line of `docker diff`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: Kind,
    /// To which file: its path in the container, from `/` on.
    pub path: PathBuf,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It is new. What a new directory holds is listed too.
    Added,
    /// Its contents, mode, owner or attributes changed; or it is a directory in which something did.
    Changed,
    /// It is gone. What a directory that is gone held is not listed.
    Deleted,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            Kind::Added => 'A',
            Kind::Changed => 'C',
            Kind::Deleted => 'D',
        };
        write!(f, "{letter} {}", self.path.display())
    }
}

/// What was done through an overlay with these layers (topmost first) and this upper directory,
/// sorted by path.
///
/// A file that was only opened for writing is in the upper directory, but no change: so files that
/// agree in all else are compared byte by byte. Freeze a container that runs meanwhile.
///
/// # Errors
/// When a layer can't be read.
pub fn changes(lowers: &[PathBuf], upper: &Path) -> Result<Vec<Change>> {
    walk(Upper::Overlay, lowers, upper)
}

/// The same for a container whose files are a copy of the layers, made by [`copy_layers`] or
/// [`copy_tree`].
///
/// Every file of both trees is looked at, so unlike [`changes`] this takes a file for the same if it
/// has the same size and modification time, as Docker does.
///
/// [`copy_layers`]: crate::copy_layers
/// [`copy_tree`]: crate::copy_tree
///
/// # Errors
/// When a tree can't be read.
pub fn changes_by_walk(lowers: &[PathBuf], copy: &Path) -> Result<Vec<Change>> {
    walk(Upper::Copy, lowers, copy)
}

/// What a container wrote into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upper {
    /// Holds what changed; what isn't there is as it was.
    Overlay,
    /// Holds everything; what isn't there was deleted.
    Copy,
}

struct Walk {
    upper: Upper,
    changes: Vec<Change>,
}

fn walk(upper: Upper, lowers: &[PathBuf], dir: &Path) -> Result<Vec<Change>> {
    let mut walk = Walk { upper, changes: Vec::new() };
    walk.directory(Path::new("/"), dir, lowers, false)?;
    Ok(walk.changes)
}

impl Walk {
    /// Compares `dir`, which is `at` in the container, with the directories `below` it.
    fn directory(&mut self, at: &Path, dir: &Path, below: &[PathBuf], opaque: bool) -> Result<()> {
        let mut names = stack::names([dir])?;
        if opaque || self.upper == Upper::Copy {
            names.extend(stack::names(below)?);
        }
        for name in names {
            let old = stack::look_up(below, &name)?;
            self.entry(&at.join(&name), &dir.join(&name), old)?;
        }
        Ok(())
    }

    // ANCHOR: entry
    /// Compares what there is now at `path` with what there was.
    fn entry(&mut self, at: &Path, path: &Path, old: Option<Shown>) -> Result<()> {
        match (old, self.look(path)?) {
            (None, None) => {}
            (Some(old), None) => {
                if !self.was_never_copied(&old) {
                    self.note(Kind::Deleted, at);
                }
            }
            (None, Some(new)) => {
                self.note(Kind::Added, at);
                if new.is_dir() {
                    self.directory(at, path, &[], false)?;
                }
            }
            (Some(old), Some(new)) => {
                let so_far = self.changes.len();
                if self.differs(&old, path, &new)? {
                    self.note(Kind::Changed, at);
                }
                if new.is_dir() {
                    let noted = self.changes.len() > so_far;
                    self.directory(at, path, &old.dirs, stack::is_opaque(path)?)?;
                    if !noted && self.changes.len() > so_far {
                        let path = at.to_owned();
                        self.changes.insert(so_far, Change { kind: Kind::Changed, path });
                    }
                }
            }
        }
        Ok(())
    }
    // ANCHOR_END: entry

    fn note(&mut self, kind: Kind, at: &Path) {
        self.changes.push(Change { kind, path: at.to_owned() });
    }

    /// What there is at `path`; a whiteout is nothing.
    fn look(&self, path: &Path) -> Result<Option<Metadata>> {
        let Some(metadata) = lstat(path)? else { return Ok(None) };
        let hidden = self.upper == Upper::Overlay && stack::is_whiteout(path, &metadata)?;
        Ok(Some(metadata).filter(|_| !hidden))
    }

    /// An ordinary user's copy lacks the devices, through no doing of the container.
    fn was_never_copied(&self, old: &Shown) -> bool {
        self.upper == Upper::Copy && stack::marks_are_users() && is_device(&old.metadata)
    }

    /// Whether `old` and what is at `path` now are two different things.
    fn differs(&self, old: &Shown, path: &Path, new: &Metadata) -> Result<bool> {
        let was = &old.metadata;
        let owner = |file: &Metadata| (file.uid(), file.gid());
        let (mut same_owner, mut mode_bits) = (owner(was) == owner(new), !0);
        if self.upper == Upper::Copy && !could_keep_owner(was) {
            (same_owner, mode_bits) = (true, !0o6000);
        }
        if !same_owner
            || (was.mode() & mode_bits) != (new.mode() & mode_bits)
            || was.rdev() != new.rdev()
            || attributes(&old.path)? != attributes(path)?
        {
            return Ok(true);
        }
        if new.is_dir() {
            // Its size and times tell of its entries, which are compared one by one.
            return Ok(false);
        }
        let content = |file: &Metadata| (file.len(), file.mtime(), file.mtime_nsec());
        if content(was) != content(new) {
            return Ok(true);
        }
        if new.is_symlink() {
            return Ok(read_link(&old.path)? != read_link(path)?);
        }
        Ok(new.is_file() && self.upper == Upper::Overlay && !same_bytes(&old.path, path)?)
    }
}

fn read_link(path: &Path) -> Result<OsString> {
    let target = fs::read_link(path).with_context(|| format!("read link {}", path.display()))?;
    Ok(target.into_os_string())
}

fn same_bytes(one: &Path, other: &Path) -> Result<bool> {
    let compare = || -> io::Result<bool> {
        let (mut one, mut other) =
            (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
        loop {
            let (left, right) = (one.fill_buf()?, other.fill_buf()?);
            let length = left.len().min(right.len());
            if length == 0 {
                return Ok(left.is_empty() && right.is_empty());
            }
            if left[..length] != right[..length] {
                return Ok(false);
            }
            one.consume(length);
            other.consume(length);
        }
    };
    compare().with_context(|| format!("compare {} and {}", one.display(), other.display()))
}
