//! What a container changed becomes a layer: the way back.
//!
//! The same changes give the same bytes each time: names sorted, no user names, no access times, no
//! time in the gzip header. So unchanged content keeps its digest.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use overlayfs::stack::is_mark;
use overlayfs::{Change, Kind};
use rustix::fs::{Mode, OFlags, openat, openat2};
use tar::{Builder, EntryType, Header};

use crate::digest::{Digest, Hashing};
use crate::folders::{OrIo, fd_path, open_folder};
use crate::root::{DEPTH, NAME_ONLY, SEALED};

// ANCHOR: write-layer
/// Writes what changed in `folder` as a gzipped layer. Returns its diff id, the digest of the tar
/// archive inside.
///
/// `changes` come from [`overlayfs::changes`] with the overlay's upper folder, or from
/// [`everything`]. Sockets are left out, as tar knows none.
pub fn write_layer(folder: &Path, changes: &[Change], out: impl Write) -> Result<Digest> {
    let gzip = GzBuilder::new().mtime(0).write(out, Compression::fast());
    let tar = Builder::new(Hashing::new(gzip));
    let mut layer = Writer { root: open_folder(folder)?, tar, links: HashMap::new() };
    layer.root_folder()?;
    for change in changes {
        let path = change.path.strip_prefix("/").unwrap_or(&change.path);
        match change.kind {
            Kind::Added | Kind::Changed => layer.file(path),
            Kind::Deleted => layer.whiteout(path),
        }
        .with_context(|| format!("write /{} to a layer", path.display()))?;
    }
    let (gzip, diff_id) = layer.tar.into_inner().context("write the layer")?.finish();
    gzip.finish().and_then(|mut out| out.flush()).context("write the layer")?;
    Ok(diff_id)
}
// ANCHOR_END: write-layer

/// Everything in a folder, as if all of it were new. What is mounted in it is left out.
pub fn everything(folder: &Path) -> Result<Vec<Change>> {
    let device = fs::metadata(folder).and_then(|meta| folder.read_dir().map(|_| meta.dev()));
    let device = device.with_context(|| format!("read {}", folder.display()))?;
    let mut todo = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = todo.pop() {
        let doing = || format!("read {}", folder.display());
        for entry in folder.read_dir().with_context(doing)? {
            let entry = entry.with_context(doing)?;
            let meta = entry.metadata().with_context(doing)?; // doesn't follow links
            if meta.is_dir() && meta.dev() == device {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    let change = |path: PathBuf| {
        let path = Path::new("/").join(path.strip_prefix(folder).unwrap_or(&path));
        Change { kind: Kind::Added, path }
    };
    Ok(found.into_iter().map(change).collect())
}

struct Writer<W: Write> {
    root: OwnedFd,
    tar: Builder<W>,
    /// Files with several names: the name under which each is in the layer already.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Writer<W> {
    fn root_folder(&mut self) -> Result<()> {
        let meta = fs::metadata(fd_path(&self.root)).context("read the root folder")?;
        self.xattrs(&fd_path(&self.root).join("."))?;
        let mut header = header(EntryType::Directory, &meta);
        Ok(self.tar.append_data(&mut header, "./", io::empty())?)
    }

    /// One file, as it is now. A container may still run, and turn a folder on the way into a link
    /// to the host's /etc: the kernel is made to refuse that.
    fn file(&mut self, path: &Path) -> Result<()> {
        ensure!(path.iter().count() <= DEPTH + 1, "it is more than {DEPTH} folders deep");
        let name = path.file_name().context("a change without a name")?;
        ensure!(!name.as_bytes().starts_with(b".wh."), "a layer can't hold names with '.wh.'");
        let parent = Path::new(".").join(path.parent().unwrap_or(Path::new("")));
        let folder = openat2(&self.root, &parent, NAME_ONLY, Mode::empty(), SEALED).io()?;
        let here = fd_path(&folder).join(name);
        let meta = fs::symlink_metadata(&here)?;

        let kind = meta.file_type();
        if !kind.is_dir() && meta.nlink() > 1 {
            if let Some(first) = self.links.get(&(meta.dev(), meta.ino())) {
                let mut header = header(EntryType::Link, &meta);
                return Ok(self.tar.append_link(&mut header, path, first)?);
            }
            self.links.insert((meta.dev(), meta.ino()), path.into());
        }
        if kind.is_socket() {
            return Ok(());
        }
        self.xattrs(&here)?;
        if kind.is_symlink() {
            let mut header = header(EntryType::Symlink, &meta);
            return Ok(self.tar.append_link(&mut header, path, fs::read_link(&here)?)?);
        }
        if kind.is_file() {
            // Should it be a pipe by now: O_NONBLOCK doesn't wait for somebody to write to it.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(&folder, name, flags, Mode::empty()).io()?;
            return self.content(path, File::from(file));
        }
        let mut header = match () {
            () if kind.is_dir() => header(EntryType::Directory, &meta),
            () if kind.is_char_device() => header(EntryType::Char, &meta),
            () if kind.is_block_device() => header(EntryType::Block, &meta),
            () => header(EntryType::Fifo, &meta),
        };
        Ok(self.tar.append_data(&mut header, path, io::empty())?)
    }

    fn content(&mut self, path: &Path, file: File) -> Result<()> {
        let meta = file.metadata()?;
        let mut header = header(EntryType::Regular, &meta);
        header.set_size(meta.len());
        let mut content = file.take(meta.len());
        self.tar.append_data(&mut header, path, &mut content)?;
        ensure!(content.limit() == 0, "it became shorter while it was read");
        Ok(())
    }

    /// An empty file, whose name says that another is gone.
    fn whiteout(&mut self, path: &Path) -> Result<()> {
        let mut name = OsString::from(".wh.");
        name.push(path.file_name().context("a change without a name")?);
        let mut header = Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(0);
        Ok(self.tar.append_data(&mut header, path.with_file_name(name), io::empty())?)
    }

    /// The extended attributes of the file that comes next, as PAX records. Not overlayfs' own, and
    /// not the labels that this machine's security module gave it.
    fn xattrs(&mut self, path: &Path) -> Result<()> {
        let mut records = Vec::new();
        for name in xattr::list(path).into_iter().flatten() {
            let label = name.as_bytes().starts_with(b"security.") && name != "security.capability";
            if !label
                && !is_mark(&name)
                && let Some(key) = name.to_str()
                && let Some(value) = xattr::get(path, &name)?
            {
                records.push((format!("SCHILY.xattr.{key}"), value));
            }
        }
        records.sort();
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        Ok(self.tar.append_pax_extensions(records)?)
    }
}

fn header(kind: EntryType, meta: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(meta.mode() & 0o7777);
    header.set_uid(meta.uid().into());
    header.set_gid(meta.gid().into());
    header.set_mtime(meta.mtime().try_into().unwrap_or(0)); // before 1970: tar has no sign
    header.set_size(0);
    if matches!(kind, EntryType::Char | EntryType::Block) {
        let device = meta.rdev();
        let fields = header.as_gnu_mut().expect("made above as a GNU header");
        fields.set_device_major(rustix::fs::major(device));
        fields.set_device_minor(rustix::fs::minor(device));
    }
    header
}
