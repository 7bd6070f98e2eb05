//! A layer becomes a folder.
//!
//! A layer is a tar archive of what changed against the layers below it. Files that came or changed
//! are in it as they are. For a file that was deleted there is an empty file with `.wh.` before its
//! name (a *whiteout*), and `.wh..wh..opq` in a folder says that nothing from below is left in
//! it (the folder is *opaque*). See the OCI image spec, layer.md.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use overlayfs::stack::is_mark;
use rustix::fs::FileType;

use crate::compression::decompress;
use crate::digest::{Digest, Hashing};
use crate::meta::{Meta, Skipped};
use crate::root::Root;
use crate::tarball::{Entries, Entry, Kind, Limits};

// ANCHOR: whiteout
/// What an entry whose name starts with `.wh.` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whiteout {
    /// `dir/.wh.name`: `dir/name` is deleted.
    File(PathBuf),
    /// `dir/.wh..wh..opq`: whatever the layers below have in `dir` is deleted.
    Content(PathBuf),
    /// Other names with `.wh..wh.`: notes that AUFS kept for itself.
    Nothing,
}

impl Whiteout {
    fn from(path: &Path) -> Result<Option<Whiteout>> {
        let Some(name) = path.file_name().and_then(|name| name.as_bytes().strip_prefix(b".wh."))
        else {
            return Ok(None);
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Some(match name {
            b".wh..opq" => Whiteout::Content(folder.into()),
            _ if name.starts_with(b".wh.") => Whiteout::Nothing,
            // `.wh...` would delete the folder above.
            b"" | b"." | b".." => {
                bail!("'{}' is a whiteout without a name", path.display())
            }
            _ => Whiteout::File(folder.join(OsStr::from_bytes(name))),
        }))
    }
}
// ANCHOR_END: whiteout

/// A layer that was read to its end once: what it is, and what it deletes.
#[derive(Debug)]
pub struct Layer {
    file: PathBuf,
    limits: Limits,
    whiteouts: Vec<Whiteout>,
    /// The digest of the layer as a plain tar archive, however it is compressed.
    pub diff_id: Digest,
}

impl Layer {
    /// Reads a layer through, without writing anything: a damaged layer, one that is over the
    /// limits and one with entries of unknown types are found here.
    pub fn read(file: &Path, limits: Limits) -> Result<Layer> {
        let mut whiteouts = Vec::new();
        let mut entries = Entries::new(open(file)?, limits);
        while let Some(entry) = entries.next()? {
            whiteouts.extend(Whiteout::from(&entry.path)?);
        }
        let (_, diff_id) = entries.finish()?.into_inner().finish();
        Ok(Layer { file: file.into(), limits, whiteouts, diff_id })
    }

    // ANCHOR: apply
    /// Applies the layer to a folder: all that it deletes, and all that it brings.
    pub fn apply(&self, mut root: Root) -> Result<Skipped> {
        // A whiteout means the layers below, never a file of its own layer, and tar archives have
        // their entries in any order. With the deletions first, nothing of the layer itself is
        // there yet that they could hit.
        for whiteout in &self.whiteouts {
            match whiteout {
                Whiteout::File(path) => root.hide(path),
                Whiteout::Content(folder) => root.hide_content(folder),
                Whiteout::Nothing => Ok(()),
            }
            .with_context(|| format!("apply the whiteout {whiteout:?}"))?;
        }
        let mut entries = Entries::new(open(&self.file)?, self.limits);
        while let Some(entry) = entries.next()? {
            if Whiteout::from(&entry.path)?.is_none() {
                put(&mut root, &mut entries, &entry)
                    .with_context(|| format!("unpack '{}'", entry.path.display()))?;
            }
        }
        root.finish()
    }
    // ANCHOR_END: apply
}

/// Applies a layer to a folder in which deleted means removed. Returns what an ordinary user could
/// not make.
pub fn apply(layer: &Path, folder: &Path, limits: Limits) -> Result<Skipped> {
    Layer::read(layer, limits)?.apply(Root::flat(folder)?)
}

/// Makes one file. Whatever has its name gives way, so nothing is ever written *through* a link.
fn put(root: &mut Root, entries: &mut Entries<impl Read>, entry: &Entry) -> Result<()> {
    let meta = Meta {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: Some(entry.mtime),
        xattrs: entry.xattrs.iter().filter(|(name, _)| !is_mark(name)).cloned().collect(),
    };
    if entry.kind == Kind::Directory {
        return root.directory(&entry.path, meta);
    }
    let place = root.place(&entry.path)?;
    if entry.kind == Kind::HardLink {
        let target = root.find(&entry.link)?;
        let target = target
            .with_context(|| format!("there is no '{}' to link it to", entry.link.display()))?;
        if !root.is_same(&place, &target) {
            root.remove(&place)?;
            root.hard_link(&place, &target).context("link it")?;
        }
        return Ok(()); // owner and mode are there already, by the other name
    }
    root.remove(&place)?;
    let made = match entry.kind {
        Kind::File => {
            entries.copy_to(entry, &mut root.file(&place)?)?;
            true
        }
        Kind::Symlink => root.symlink(&place, &entry.link).map(|()| true)?,
        Kind::CharDevice => root.node(&place, FileType::CharacterDevice, entry.device)?,
        Kind::BlockDevice => root.node(&place, FileType::BlockDevice, entry.device)?,
        Kind::Fifo => root.node(&place, FileType::Fifo, (0, 0))?,
        Kind::Directory | Kind::HardLink => unreachable!("done above"),
    };
    if made { root.dress(&place, &meta) } else { Ok(()) }
}

type Reader = BufReader<Hashing<Box<dyn Read>>>;

/// Opens a layer's file as the tar archive in it, hashed on the way.
fn open(file: &Path) -> Result<Reader> {
    let open = || decompress(File::open(file)?);
    let reader = open().with_context(|| format!("open {}", file.display()))?;
    Ok(BufReader::with_capacity(64 * 1024, Hashing::new(reader)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_are_read_from_names() {
        let from = |path: &str| Whiteout::from(Path::new(path)).unwrap();
        assert_eq!(from("etc/passwd"), None);
        assert_eq!(from("etc/.wh.passwd"), Some(Whiteout::File("etc/passwd".into())));
        assert_eq!(from(".wh.x"), Some(Whiteout::File("x".into())));
        assert_eq!(from("etc/.wh..wh..opq"), Some(Whiteout::Content("etc".into())));
        assert_eq!(from(".wh..wh.plnk"), Some(Whiteout::Nothing));
        for wrong in ["a/.wh.", "a/.wh..", "a/.wh..."] {
            assert!(Whiteout::from(Path::new(wrong)).is_err(), "{wrong}");
        }
    }
}
