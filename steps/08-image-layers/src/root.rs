//! A folder that nothing written into it can leave.
//!
//! A layer is a list of names that somebody else chose. `../../etc/passwd` is one of them, and so is
//! `lib/x` after a symbolic link `lib -> /etc`. Two rules hold them all in:
//!
//! 1. A path is followed here, not by the kernel: one part after the other, symbolic links as the
//!    container would follow them, `/` being this folder. What comes out has no link left in it.
//! 2. That path is then opened by openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, so the
//!    kernel refuses if the first rule was wrong; and all work is done relative to the descriptor,
//!    by calls that don't follow a link in the last part (`mkdirat`, `symlinkat`, `O_NOFOLLOW` …).
//!
//! The folder may be a layer of an overlay. Then a name may also stand for something in the layers
//! below it, and what is deleted there is marked, not removed; see [`Root::overlay`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use overlayfs::stack::{is_whiteout, look_up, make_opaque, make_whiteout};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::folders::{OrIo, fd_path, names, open_folder, remove_tree};
use crate::meta::{Meta, Skipped};

/// How many folders deep a tree may be. Each level costs a descriptor when it is removed.
pub(crate) const DEPTH: usize = 512;
/// How many symbolic links one path may lead through, as in the kernel (path_resolution(7)).
const LINKS: usize = 40;

/// What the kernel is made to promise about a path that we have followed already.
pub(crate) const SEALED: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A descriptor that names a file, whatever its type, without opening it (open(2), O_PATH).
pub(crate) const NAME_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder that is being written.
pub struct Root {
    fd: OwnedFd,
    /// When this is a layer of an overlay: itself and the layers below it, topmost first.
    stack: Option<Vec<PathBuf>>,
    /// What folders get at the end: writing into them would change their times again, and a mode
    /// may forbid it.
    folders: BTreeMap<PathBuf, Meta>,
    /// The folder that was asked for last, under the name it was asked by.
    last: Option<(PathBuf, Rc<Folder>)>,
    skipped: Skipped,
}

/// An open folder inside the root, and its path without links.
struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// Where a file is or will be: a folder inside the root, and a name in it.
pub struct Place {
    folder: Rc<Folder>,
    name: OsString,
}

impl Place {
    /// The path inside the root.
    fn path(&self) -> PathBuf {
        self.folder.path.join(&self.name)
    }

    /// The path for the rest of this program; only its last part could be a link.
    fn fd_path(&self) -> PathBuf {
        fd_path(&self.folder.fd).join(&self.name)
    }
}

impl Root {
    /// A folder in which deleted means removed.
    pub fn flat(folder: &Path) -> Result<Root> {
        Ok(Root {
            fd: open_folder(folder)?,
            stack: None,
            folders: BTreeMap::new(),
            last: None,
            skipped: Skipped::default(),
        })
    }

    /// An empty folder that becomes a layer over those in `below` (topmost first).
    ///
    /// A file that is deleted from the layers below becomes a character device 0:0 here, a folder
    /// that hides theirs is marked opaque. A folder or link below that a path leads through is
    /// copied here first, as overlayfs itself does it. See the kernel's
    /// Documentation/filesystems/overlayfs.rst.
    pub fn overlay(folder: &Path, below: &[PathBuf]) -> Result<Root> {
        let mut root = Root::flat(folder)?;
        let meta = match below.first() {
            Some(layer) => Meta::of(&open_folder(layer)?)?,
            None => Meta { mode: 0o755, ..Meta::default() },
        };
        root.folders.insert(PathBuf::new(), meta);
        root.stack = Some([&[folder.to_owned()], below].concat());
        Ok(root)
    }

    /// Where `path` leads. Missing folders on the way are made; a file on the way gives way to one.
    pub fn place(&mut self, path: &Path) -> Result<Place> {
        let (parent, name) = split(path)?;
        let folder = self.walk(&parent, true)?.context("its folder can't be made")?;
        Ok(Place { folder, name })
    }

    /// Where the existing file `path` is, or `None`.
    pub fn find(&mut self, path: &Path) -> Result<Option<Place>> {
        let (parent, name) = split(path)?;
        let Some(folder) = self.walk(&parent, false)? else { return Ok(None) };
        let place = Place { folder, name };
        let there = match self.stat(&place.path())? {
            Some(_) => !self.is_deleted(&place)?,
            None => self.bring_up(&place.path(), true)?,
        };
        Ok(there.then_some(place))
    }

    /// The folder to which `path` leads, open. `None` if there is none and it may not be made.
    fn walk(&mut self, path: &Path, make: bool) -> Result<Option<Rc<Folder>>> {
        if let Some((asked, folder)) = &self.last
            && asked == path
        {
            return Ok(Some(folder.clone()));
        }
        let Some(followed) = self.follow(path, make)? else { return Ok(None) };
        let folder = Rc::new(Folder { fd: self.open_sealed(&followed)?, path: followed });
        self.last = Some((path.into(), folder.clone()));
        Ok(Some(folder))
    }

    /// Follows the path of a folder from part to part, as the container would, whose root this is.
    /// Returns its path without links. What is missing is brought up from the layers below, or made;
    /// without `make`, a folder that is nowhere gives `None`.
    fn follow(&mut self, path: &Path, make: bool) -> Result<Option<PathBuf>> {
        let mut todo = parts(path);
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                done.pop(); // at the root this does nothing: `/..` is `/`
                continue;
            }
            done.push(&part);
            ensure!(done.iter().count() <= DEPTH, "it is more than {DEPTH} folders deep");
            match self.stat(&done)?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Some(FileType::Directory) => {}
                Some(FileType::Symlink) => {
                    links += 1;
                    ensure!(links <= LINKS, "it leads through too many symbolic links");
                    let target = self.read_link(&done)?;
                    done.pop();
                    if target.is_absolute() {
                        done = PathBuf::new();
                    }
                    todo.extend(parts(&target));
                }
                None if self.bring_up(&done, false)? => {
                    done.pop();
                    todo.push(part); // look again: it may be a link
                }
                _ if make => self.make_folder(&done)?,
                _ => return Ok(None),
            }
        }
        Ok(Some(done))
    }

    /// Opens a folder by a path without links: the kernel refuses one that has any, or leaves the root.
    fn open_sealed(&self, path: &Path) -> Result<OwnedFd> {
        // openat2(2) knows no empty path.
        let sealed = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        fs::openat2(&self.fd, sealed, NAME_ONLY | OFlags::DIRECTORY, Mode::empty(), SEALED)
            .io()
            .with_context(|| format!("open /{}", path.display()))
    }

    /// Whether two places are one.
    pub fn is_same(&self, one: &Place, other: &Place) -> bool {
        one.path() == other.path()
    }

    /// Removes what is at this place, if anything; a folder with all that is in it.
    pub fn remove(&mut self, place: &Place) -> Result<()> {
        let path = place.path();
        let Some(stat) = self.stat(&path)? else { return Ok(()) };
        self.last = None;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.folders.retain(|folder, _| !folder.starts_with(&path));
        }
        remove_tree(&place.folder.fd, &place.name)
            .io()
            .with_context(|| format!("remove /{}", path.display()))
    }

    /// Makes the file at `path` disappear: here by removing it, in an overlay by a whiteout.
    pub fn hide(&mut self, path: &Path) -> Result<()> {
        let Some(place) = self.find(path)? else { return Ok(()) };
        self.remove(&place)?;
        match self.stack {
            Some(_) => make_whiteout(&place.fd_path()),
            None => Ok(()),
        }
    }

    /// Makes all files in the folder at `path` disappear, but not the folder.
    pub fn hide_content(&mut self, path: &Path) -> Result<()> {
        let Some(folder) = self.walk(path, false)? else { return Ok(()) };
        let read = |folder| names(folder).io().with_context(|| format!("read /{}", path.display()));
        for name in read(&folder.fd)? {
            self.remove(&Place { folder: folder.clone(), name })?;
        }
        match &self.stack {
            None => Ok(()),
            Some(_) if !folder.path.as_os_str().is_empty() => make_opaque(&within(&folder.fd)),
            // overlayfs doesn't ask whether the root of a layer is opaque.
            Some(stack) => {
                let all = overlayfs::stack::names(&stack[1..])?;
                all.iter().try_for_each(|name| self.hide(Path::new(name)))
            }
        }
    }

    /// A folder; one that is there already only changes its owner, mode and so on.
    pub fn directory(&mut self, path: &Path, meta: Meta) -> Result<()> {
        if parts(path).is_empty() {
            self.folders.insert(PathBuf::new(), meta); // the root itself
            return Ok(());
        }
        let path = self.place(path)?.path();
        let stat = self.stat(&path)?;
        if stat.is_none_or(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory) {
            self.make_folder(&path)?;
        }
        self.folders.insert(path, meta);
        Ok(())
    }

    /// A new, empty file.
    pub fn file(&mut self, place: &Place) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let fd = fs::openat(&place.folder.fd, &place.name, flags | OFlags::CLOEXEC, Mode::RUSR);
        Ok(File::from(fd.io()?))
    }

    /// A symbolic link. Its text may be anything: it is followed by [`Root::place`] only.
    pub fn symlink(&mut self, place: &Place, target: &Path) -> Result<()> {
        Ok(fs::symlinkat(target, &place.folder.fd, &place.name).io()?)
    }

    /// A second name for the file at `target`. A symbolic link there isn't followed.
    pub fn hard_link(&mut self, place: &Place, target: &Place) -> Result<()> {
        let (from, to) = (&target.folder.fd, &place.folder.fd);
        Ok(fs::linkat(from, &target.name, to, &place.name, AtFlags::empty()).io()?)
    }

    /// A device or a named pipe. Returns whether it could be made.
    pub fn node(&mut self, place: &Place, kind: FileType, device: (u32, u32)) -> Result<bool> {
        // A whiteout as a device of its own would hide files that the layer doesn't name.
        ensure!(kind != FileType::CharacterDevice || device != (0, 0), "there is no device 0:0");
        let device = fs::makedev(device.0, device.1);
        match fs::mknodat(&place.folder.fd, &place.name, kind, Mode::empty(), device) {
            Ok(()) => Ok(true),
            Err(Errno::PERM) if kind != FileType::Fifo => {
                self.skipped.devices += 1;
                Ok(false)
            }
            error => error.io().context("make the device").map(|()| true),
        }
    }

    /// Gives a new file its owner, mode, attributes and times.
    pub fn dress(&mut self, place: &Place, meta: &Meta) -> Result<()> {
        let file = fs::openat(&place.folder.fd, &place.name, NAME_ONLY, Mode::empty()).io()?;
        self.skipped += meta.apply(&file)?;
        Ok(())
    }

    /// Gives the folders what is theirs, the deepest first, and tells what had to be left out.
    pub fn finish(mut self) -> Result<Skipped> {
        for (path, meta) in std::mem::take(&mut self.folders).into_iter().rev() {
            self.skipped += meta.apply(&self.open_sealed(&path)?)?;
        }
        Ok(self.skipped)
    }

    fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        // All of `path` but its last part is known to be folders.
        match fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno).io().with_context(|| format!("stat /{}", path.display())),
        }
    }

    /// Whether what is at this place says that there is nothing.
    fn is_deleted(&self, place: &Place) -> Result<bool> {
        let path = place.fd_path();
        Ok(self.stack.is_some() && is_whiteout(&path, &std::fs::symlink_metadata(&path)?)?)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf> {
        let target = fs::readlinkat(&self.fd, path, Vec::new())
            .io()
            .with_context(|| format!("read the link /{}", path.display()))?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// Makes a folder in an existing one; whatever else has the name gives way.
    fn make_folder(&mut self, path: &Path) -> Result<()> {
        let doing = || format!("make the folder /{}", path.display());
        let replaced = self.stat(path)?.is_some();
        if replaced {
            self.last = None;
            fs::unlinkat(&self.fd, path, AtFlags::empty()).io().with_context(doing)?;
        }
        fs::mkdirat(&self.fd, path, Mode::RWXU).io().with_context(doing)?;
        if replaced && self.stack.is_some() {
            // The file or whiteout hid a folder below; the new folder must not show it again.
            let flags = NAME_ONLY | OFlags::DIRECTORY;
            let folder =
                fs::openat(&self.fd, path, flags, Mode::empty()).io().with_context(doing)?;
            make_opaque(&within(&folder))?;
        }
        self.folders.insert(path.into(), Meta { mode: 0o755, ..Meta::default() });
        Ok(())
    }

    /// Copies a folder (without its content) or a link from the layers below; `files` too if asked.
    fn bring_up(&mut self, path: &Path, files: bool) -> Result<bool> {
        let Some(from) = self.below(path)? else { return Ok(false) };
        let doing = || format!("copy {} from a layer below", from.display());
        let from = fs::openat(CWD, &from, NAME_ONLY, Mode::empty()).io().with_context(doing)?;
        let meta = Meta::of(&from)?;
        match FileType::from_raw_mode(fs::fstat(&from).io()?.st_mode) {
            FileType::Directory => {
                fs::mkdirat(&self.fd, path, Mode::RWXU).io().with_context(doing)?;
                self.folders.insert(path.into(), meta);
                return Ok(true);
            }
            FileType::Symlink => {
                let target = fs::readlinkat(&from, "", Vec::new()).io().with_context(doing)?;
                fs::symlinkat(&target, &self.fd, path).io().with_context(doing)?;
            }
            FileType::RegularFile if files => {
                let mut from = File::open(fd_path(&from)).with_context(doing)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let to = fs::openat(&self.fd, path, flags, Mode::RUSR).io().with_context(doing)?;
                io::copy(&mut from, &mut File::from(to)).with_context(doing)?;
            }
            _ => return Ok(false),
        }
        let copy = fs::openat(&self.fd, path, NAME_ONLY, Mode::empty()).io().with_context(doing)?;
        self.skipped += meta.apply(&copy)?;
        Ok(true)
    }

    /// Where the layers below have what they show at `path`, a path without links.
    fn below(&self, path: &Path) -> Result<Option<PathBuf>> {
        let Some(mut dirs) = self.stack.clone() else { return Ok(None) };
        let mut found = None;
        for name in path {
            let Some(shown) = look_up(&dirs, name)? else { return Ok(None) };
            (found, dirs) = (Some(shown.path), shown.dirs);
        }
        Ok(found)
    }
}

/// The folder itself, for a call that would not follow the link that [`fd_path`] is.
fn within(folder: &OwnedFd) -> PathBuf {
    fd_path(folder).join(".")
}

/// The folder and the name of an entry. Absolute names start at the root; `..` is refused: no
/// program that writes layers needs it.
fn split(path: &Path) -> Result<(PathBuf, OsString)> {
    let mut parts = parts(path);
    parts.reverse();
    ensure!(parts.iter().all(|part| part != ".."), "its name leads out of the image");
    let Some(name) = parts.pop() else { bail!("its name is that of the root folder") };
    Ok((parts.iter().collect(), name))
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(part).collect()
}
