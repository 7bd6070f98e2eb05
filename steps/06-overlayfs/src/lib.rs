//! Step 6: layers and copy-on-write.
//!
//! An overlay shows several directories as one. The lower ones are only read; whatever is written,
//! changed or deleted goes to the upper one. So any number of containers can stand on one rootfs,
//! each with an upper directory of its own, and none sees what another writes.
//!
//!   [`Overlay::mount`] mounts one, with as many lower layers as the kernel allows;
//!   [`mount_in_memory`] does so with an upper directory that is gone with the container;
//!   [`changes`] tells what a container has done to its files, as `docker diff` does.
//!
//! Three modules hold what the engine needs besides: [`stack`], how a stack of layers is read;
//! [`copy_tree`] and [`copy_layers`], for a machine that can't mount overlays; and the sentences for
//! the ways in which a mount fails.
//!
//! The kernel's own account is Documentation/filesystems/overlayfs.rst. An ordinary user needs
//! Linux 5.11; more than some two hundred layers need 6.7.

mod changes;
mod copy;
mod explain;
pub mod stack;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mount_ns::detached::Detached;
use nix::mount::{MsFlags, mount};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::MountAttrFlags;

pub use changes::{Change, Kind, changes, changes_by_walk};
pub use copy::{copy_layers, copy_tree};

// ANCHOR: overlay
/// The directories of which an overlay is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The layers that are only read, topmost first. At least one, at most 500.
    pub lowers: Vec<PathBuf>,
    /// Takes every change. Not on an overlay itself, and used by one mount at a time.
    pub upper: PathBuf,
    /// Where the kernel prepares a change before it moves it to `upper`: so on the same mount, and
    /// nobody else's business.
    pub work: PathBuf,
}
// ANCHOR_END: overlay

// ANCHOR: features
/// Features that make an upper directory readable only together with its mount: off, as Docker
/// wants them. With them off a directory that is renamed is copied, and a file whose mode changes is
/// copied with its contents, so the upper directory tells all that [`changes`] needs to know.
///
/// And `nofollow` keeps a layer that came with such a mark from leading to another directory.
const FEATURES: [(&str, &str); 3] =
    [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")];
// ANCHOR_END: features

/// An option by its name, and its value if it has one.
type Feature = (String, Option<String>);

/// The most that mount(2) reads of its options, with the zero at their end. See mount(2).
const PAGE: usize = 4096;

impl Overlay {
    /// An overlay with its writable layer in `folder`, in `upper` and `work`, which are made if they
    /// aren't there yet.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn in_folder(lowers: &[PathBuf], folder: &Path) -> Result<Overlay> {
        let (upper, work) = (folder.join("upper"), folder.join("work"));
        for dir in [&upper, &work] {
            fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        }
        // What the container sees as / is the upper directory, so this one's mode and owner decide
        // who may enter it.
        let unused = fs::read_dir(&upper)
            .with_context(|| format!("read {}", upper.display()))?
            .next()
            .is_none();
        if let (Some(lower), true) = (lowers.first(), unused) {
            copy::metadata(lower, &upper)?;
        }
        Ok(Overlay { lowers: lowers.to_vec(), upper, work })
    }

    /// Mounts it on `target`, in the caller's mount namespace. `target` may be one of the lower
    /// layers: the mount covers it, and reads what it covers.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN; else the sentence says what to change.
    pub fn mount(&self, target: &Path) -> Result<()> {
        self.mount_with(features(), target)
    }

    /// The same for changes that nobody will want once it is unmounted, or after a power cut.
    ///
    /// An overlay that is unmounted first writes to the disk whatever waits for that, in the whole
    /// filesystem of the upper directory: some milliseconds, or seconds on a busy machine. A
    /// volatile one doesn't. Such an upper directory can't be mounted again. Needs Linux 5.10.
    ///
    /// # Errors
    /// As [`Overlay::mount`].
    pub fn mount_volatile(&self, target: &Path) -> Result<()> {
        let volatile = ("volatile".to_owned(), None);
        self.mount_with(features().chain([volatile]), target)
    }

    // ANCHOR: mount
    fn mount_with(&self, features: impl Iterator<Item = Feature>, target: &Path) -> Result<()> {
        let features: Vec<Feature> = features.collect();
        let mounted = self.mount_layer_by_layer(&features, target).or_else(|error| {
            if explain::is_from_an_old_kernel(&error) {
                self.mount_by_one_string(&features, target)
            } else {
                Err(error)
            }
        });
        mounted
            .map_err(|error| self.explain(error))
            .with_context(|| format!("mount an overlay on {}", target.display()))
    }
    // ANCHOR_END: mount

    // ANCHOR: layer-by-layer
    /// The way since Linux 6.7: one fsconfig(2) call a layer.
    fn mount_layer_by_layer(&self, features: &[Feature], target: &Path) -> Result<()> {
        let mut opened = Vec::new();
        // fsconfig(2) takes strings of up to 255 bytes. Here a backslash is an escape in some keys.
        let mut spell = |path: &PathBuf| match plain(path, "\\") {
            Some(name) if name.len() < 256 => Ok(name.to_owned()),
            _ => by_number(path, &mut opened),
        };
        let mut options = vec![("source".to_owned(), Some("overlay".to_owned()))];
        for lower in &self.lowers {
            options.push(("lowerdir+".to_owned(), Some(spell(lower)?)));
        }
        options.push(("upperdir".to_owned(), Some(spell(&self.upper)?)));
        options.push(("workdir".to_owned(), Some(spell(&self.work)?)));
        options.extend_from_slice(features);

        let mount = Detached::filesystem("overlay", &options, MountAttrFlags::empty())?;
        mount.attach(open_path(target)?)?;
        Ok(())
    }
    // ANCHOR_END: layer-by-layer

    /// The way before Linux 6.7: everything in one string, for which mount(2) has one page of room.
    fn mount_by_one_string(&self, features: &[Feature], target: &Path) -> Result<()> {
        let mut opened = Vec::new();
        // Some signs would need an escape, and that changed from kernel to kernel.
        let mut options = self.one_string(features, |path| match plain(path, ":,\\") {
            Some(name) => Ok(name.to_owned()),
            None => by_number(path, &mut opened),
        })?;
        if options.len() >= PAGE {
            // By number a layer takes some 18 bytes, so two hundred fit. Docker's way to the same
            // end is a folder full of short symlinks to its layers.
            options = self.one_string(features, |path| by_number(path, &mut opened))?;
        }
        if options.len() >= PAGE {
            return Err(io::Error::from_raw_os_error(libc::E2BIG).into());
        }
        let flags = MsFlags::empty();
        Ok(mount(Some("overlay"), target, Some("overlay"), flags, Some(options.as_str()))?)
    }

    /// As mount(8) takes it after `-o`.
    fn one_string(
        &self,
        features: &[Feature],
        mut spell: impl FnMut(&Path) -> io::Result<String>,
    ) -> io::Result<String> {
        let lowers: io::Result<Vec<_>> = self.lowers.iter().map(|path| spell(path)).collect();
        let mut options = format!("lowerdir={}", lowers?.join(":"));
        options += &format!(",upperdir={},workdir={}", spell(&self.upper)?, spell(&self.work)?);
        for (key, value) in features {
            options += &value.as_ref().map_or(format!(",{key}"), |value| format!(",{key}={value}"));
        }
        Ok(options)
    }
}

/// [`FEATURES`], and `userxattr` where the overlay can't keep its marks in `trusted.*` attributes.
fn features() -> impl Iterator<Item = Feature> {
    let fixed = FEATURES.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
    let user = stack::marks_are_users().then(|| ("userxattr".to_owned(), None));
    fixed.into_iter().chain(user)
}

/// The path as text, if it is that, and has none of the signs that mean something else.
fn plain<'a>(path: &'a Path, signs: &str) -> Option<&'a str> {
    path.to_str().filter(|name| !name.contains(|sign| signs.contains(sign)))
}

/// Another name for any path: /proc/self/fd/7. It is good as long as the directory stays `opened`.
fn by_number(path: &Path, opened: &mut Vec<OwnedFd>) -> io::Result<String> {
    let dir = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = format!("/proc/self/fd/{}", dir.as_raw_fd());
    opened.push(dir);
    Ok(name)
}

// ANCHOR: in-memory
/// Mounts an overlay on `target` whose writable layer is a tmpfs: when the mount namespace goes, so
/// do the changes. They count as memory of the cgroup in which they are made.
///
/// For an ordinary user a directory that is deleted and made anew needs Linux 6.6: before, a tmpfs
/// has no `user.*` attributes for an overlay's marks.
///
/// # Errors
/// As [`Overlay::mount`].
pub fn mount_in_memory(lowers: &[PathBuf], target: &Path) -> Result<()> {
    // A second mount of each layer, without a place as yet: `target`, which the tmpfs is about to
    // cover, may be one of them.
    let layers = lowers.iter().map(|lower| Detached::copy(open_path(lower)?, false));
    let layers = layers.collect::<Result<Vec<_>>>().context("copy the mounts of the layers")?;

    // `.` would go on to name the directory below the mounts that are made on it.
    let target = &fs::canonicalize(target).with_context(|| format!("open {}", target.display()))?;

    // The tmpfs lies on `target` itself and the overlay on top of it: so no other place is needed,
    // and nothing is left to clean up, whenever the container ends.
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("mount a tmpfs on {}", target.display()))?;
    let mut lowers = Vec::new();
    for (number, layer) in layers.into_iter().enumerate() {
        let place = target.join("lower").join(number.to_string());
        fs::create_dir_all(&place).with_context(|| format!("make {}", place.display()))?;
        layer.attach(open_path(&place)?)?;
        lowers.push(place);
    }
    Overlay::in_folder(&lowers, target)?.mount(target)
}
// ANCHOR_END: in-memory

fn open_path(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(io::Error::from)
        .with_context(|| format!("open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_layer_comes_first() {
        let lowers = vec!["/top".into(), "/bottom".into()];
        let overlay = Overlay { lowers, upper: "/c/upper".into(), work: "/c/work".into() };
        let features: Vec<_> = features().collect();
        let options = overlay.one_string(&features, |path| Ok(path.display().to_string())).unwrap();
        let expected = "lowerdir=/top:/bottom,upperdir=/c/upper,workdir=/c/work,redirect_dir=";
        assert!(options.starts_with(expected), "{options}");
    }

    #[test]
    fn a_path_with_special_signs_goes_by_number() {
        assert_eq!(plain(Path::new("/with space"), ":,\\"), Some("/with space"));
        for path in ["/a:b", "/a,b", "/a\\b"] {
            assert_eq!(plain(Path::new(path), ":,\\"), None, "{path}");
        }
        let mut opened = Vec::new();
        let name = by_number(Path::new("/"), &mut opened).unwrap();
        assert_eq!(fs::read_link(name).unwrap(), Path::new("/"));
    }
}
