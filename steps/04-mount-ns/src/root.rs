//! The container's root: mounting below it, and moving into it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Error, Result, bail, ensure};
use nix::mount::{MntFlags, umount2};
use nix::unistd::{chdir, fchdir};
use rustix::fs::{PROC_SUPER_MAGIC, ResolveFlags, fstat, fstatfs};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags as Attr;
use rustix::process::pivot_root;

use crate::detached::{Detached, set_attributes};
use crate::inside::{is_directory, open_path};
use crate::mount::Mount;

/// The root directory of a container that is being made.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    // ANCHOR: bind-rootfs
    /// Mounts `rootfs` on itself, with what is mounted below it.
    ///
    /// pivot_root(2): new_root must be a mount point, and must not be locked. A plain directory
    /// becomes one this way, and what is changed later (read-only) is this mount, not the host's.
    ///
    /// # Errors
    /// When `rootfs` is not a directory, or without CAP_SYS_ADMIN.
    pub fn bind(rootfs: &Path) -> Result<Root> {
        chroot::require_rootfs(rootfs)?;
        let bind = || {
            let place = open_path(rootfs)?;
            // Recursive: in a user namespace, mounts that came from outside can't be left out.
            Detached::copy(&place, true)?.attach(&place)
        };
        let root = bind().with_context(|| format!("bind {0} on itself", rootfs.display()))?;
        Ok(Root(root))
    }
    // ANCHOR_END: bind-rootfs

    /// A directory that is a mount point already.
    ///
    /// # Errors
    /// When `mount_point` can't be opened as a directory.
    pub fn open(mount_point: &Path) -> Result<Root> {
        // An absolute path, because `.` names what is below a mount made on it, not the mount.
        let path = mount_point.canonicalize();
        let path = path.with_context(|| format!("open {}", mount_point.display()))?;
        Ok(Root(open_path(&path).with_context(|| format!("open {}", path.display()))?))
    }

    // ANCHOR: mount
    /// Mounts one line of the table; a target that is missing is made, as Docker does.
    ///
    /// # Errors
    /// When a bind's source is missing or of another kind than its target; when the target lies in
    /// /proc; whatever the kernel refuses. See fsopen(2), open_tree(2), move_mount(2).
    pub fn mount(&self, mount: &Mount) -> Result<()> {
        let what =
            if mount.is_bind() { mount.source.display() } else { Path::new(&mount.kind).display() };
        self.try_mount(mount).with_context(|| format!("mount {what} on {}", mount.target.display()))
    }

    fn try_mount(&self, mount: &Mount) -> Result<()> {
        if mount.is_bind() {
            let source = open_path(&mount.source)
                .with_context(|| format!("open {}", mount.source.display()))?;
            let (target, _) = self.target(mount, is_directory(source.as_fd())?)?;
            let copy = Detached::copy(&source, mount.kind == "rbind")?;
            copy.set(mount.attributes)?;
            copy.attach(target)?;
        } else {
            let (target, was_there) = self.target(mount, true)?;
            let covered = was_there.then_some(target.as_fd());
            new_filesystem(mount, covered)?.attach(target)?;
        }
        Ok(())
    }
    // ANCHOR_END: mount

    // ANCHOR: target
    /// Where `mount` goes, and whether it was there before: made if it is missing, refused if mounting
    /// there would do harm.
    fn target(&self, mount: &Mount, directory: bool) -> Result<(OwnedFd, bool)> {
        let kernel_view = ["proc", "sysfs"].contains(&mount.kind.as_str());
        // The masks below trust /proc to be /proc. A link there could make them cover another place
        // than the one that the container's programs reach (runc's CVE-2019-19921).
        let how = if kernel_view { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::empty() };
        let (target, was_there) = match self.find(&mount.target, how)? {
            Some(target) => (target, true),
            None => (self.make(&mount.target, directory)?, false),
        };
        match (directory, is_directory(target.as_fd())?) {
            (true, false) => bail!("a directory can't be mounted on a file"),
            (false, true) => bail!("a file can't be mounted on a directory"),
            _ => {}
        }
        // What programs read and write in /proc must be the kernel's: engines too do so, on their
        // way in (CVE-2019-16884, CVE-2025-52881). Asked of the file itself, no link hides the answer.
        // (runc lets lxcfs cover a few files, such as /proc/meminfo. Not done here.)
        let in_proc = fstatfs(&target).map_err(io::Error::from)?.f_type == PROC_SUPER_MAGIC;
        ensure!(!in_proc || mount.kind == "proc", "nothing may be mounted inside /proc");
        Ok((target, was_there))
    }
    // ANCHOR_END: target

    // ANCHOR: pivot
    /// Makes this root the root of the mount namespace, and lets go of the old one: from here on no
    /// path, no `..` and no descriptor of a directory leads back to the host's files.
    ///
    /// # Errors
    /// EINVAL when the root is not a mount point or propagation is shared. See pivot_root(2).
    pub fn pivot(&self) -> Result<()> {
        fchdir(&self.0).context("enter the rootfs")?;
        // pivot_root(2), NOTES: with "." twice the old root lands on top of the new one, so the
        // image needs no directory to put it in. All that was mounted comes along below it.
        pivot_root(".", ".").map_err(io::Error::from).context("pivot_root")?;
        // `.` is still the old root. MNT_DETACH, because its files are in use, by us among others.
        umount2(".", MntFlags::MNT_DETACH).context("unmount the old root")?;
        chdir("/").context("chdir /")
    }
    // ANCHOR_END: pivot

    // ANCHOR: make-read-only
    /// Makes the root's own mount read-only, and none of those below it: /proc, /dev and the volumes
    /// keep their modes.
    ///
    /// # Errors
    /// As [`set_attributes`].
    pub fn make_read_only(&self) -> Result<()> {
        set_attributes(self.0.as_fd(), Attr::MOUNT_ATTR_RDONLY, false).context("make / read-only")
    }
    // ANCHOR_END: make-read-only
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The filesystem that `mount` asks for, or what comes nearest where the kernel won't give a new one.
fn new_filesystem(mount: &Mount, covered: Option<BorrowedFd>) -> Result<Detached> {
    let mut data = vec![("source".to_owned(), Some(mount.source.display().to_string()))];
    data.extend(mount.data.iter().cloned());
    // As runc: a tmpfs over a private directory (/root) is as private, unless a mode is asked for.
    if let ("tmpfs", Some(covered), false) = (mount.kind.as_str(), covered, mount.has("mode")) {
        let mode = fstat(covered).map_err(io::Error::from)?.st_mode & 0o7777;
        data.push(("mode".to_owned(), Some(format!("{mode:o}"))));
    }

    let made = Detached::filesystem(&mount.kind, &data, mount.attributes);
    let Err(error) = made else { return made };
    match (mount.kind.as_str(), errno(&error)) {
        // Group 5 (tty) has no name in a user namespace that maps one id. Without it a terminal
        // belongs to its opener's group.
        ("devpts", Some(Errno::INVAL)) if mount.has("gid") => {
            data.retain(|(name, _)| name != "gid");
            Detached::filesystem("devpts", &data, mount.attributes)
        }
        // A sysfs shows a network namespace, an mqueue an IPC namespace: only their owner may mount one. A
        // container that shares the host's gets what the host has, and as read-only as asked.
        ("sysfs", Some(Errno::PERM)) => host_view("/sys", mount.attributes),
        ("mqueue", Some(Errno::PERM)) => host_view("/dev/mqueue", mount.attributes),
        // mount_namespaces(7): a new /proc may not show more than the one that is there.
        ("proc", Some(Errno::PERM)) => Err(error.context(
            "the host's /proc must be in sight and nothing in it covered \
             (inside Docker: start it with --security-opt systempaths=unconfined)",
        )),
        _ => Err(error),
    }
}

fn host_view(path: &str, attributes: Attr) -> Result<Detached> {
    let view = Detached::copy(open_path(path.as_ref()).context(path.to_owned())?, true)?;
    view.set(attributes)?;
    Ok(view)
}

fn errno(error: &Error) -> Option<Errno> {
    Errno::from_io_error(error.downcast_ref::<io::Error>()?)
}
