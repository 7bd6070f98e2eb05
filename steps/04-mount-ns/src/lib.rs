//! Step 4: a mount table of its own.
//!
//! A mount namespace is a table of mounts: what lies where in the one tree of files. The containers
//! so far had another root directory, in the host's table. Now they get a table of their own in which
//! the host's files don't occur at all: there is nothing left to escape to.
//!
//! [`pivot_into`] is the whole story, and reads as one. Its steps are public, because a runtime tells
//! the same story with other lists: an OCI config names the mounts, the devices and the masks. They
//! are in modules of their own: [`root`] mounts below a directory that nothing leads out of
//! (`inside` says how), [`mount`] is the table of mounts as data, [`volume`] reads `--volume` and `--tmpfs`, [`devices`]
//! fills /dev, [`masks`] hides parts of /proc and /sys, [`cgroup_view`] shows cgroups, and
//! [`detached`] holds the system calls by which all of them mount.
//!
//! Needs Linux 5.12, of February 2021, for mount_setattr(2).

pub mod cgroup_view;
pub mod detached;
pub mod devices;
mod inside;
pub mod masks;
pub mod mount;
pub mod root;
pub mod volume;

use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use rustix::mount::{MountPropagationFlags, mount_change};

pub use crate::mount::Mount;
pub use crate::root::Root;
pub use crate::volume::{Tmpfs, Volume};

// ANCHOR: view
/// What a container sees of the world besides its rootfs.
///
/// Most of it is also command line flags, by the names that `docker run` gives them.
#[derive(Args, Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Show a file or folder of the host inside; :ro makes it read-only, with all mounts below it
    #[arg(short, long = "volume", value_name = "SOURCE:TARGET[:ro]")]
    pub volumes: Vec<Volume>,
    /// Put a filesystem in memory there, with options such as size=64m,mode=1777
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub tmpfs: Vec<Tmpfs>,
    /// Make the rootfs read-only; volumes, tmpfs, /proc and /dev keep their own modes
    #[arg(long)]
    pub read_only: bool,
    /// Whether the machine's own parts of /proc and /sys are hidden or read-only. See [`masks`].
    #[arg(skip = true)]
    pub masks: bool,
    /// Whether /sys/fs/cgroup shows the container's cgroup. It needs a cgroup namespace that was
    /// made inside that cgroup. See [`cgroup_view`].
    #[arg(skip)]
    pub cgroup: bool,
}

impl Default for View {
    fn default() -> View {
        View { volumes: vec![], tmpfs: vec![], read_only: false, masks: true, cgroup: false }
    }
}
// ANCHOR_END: view

// ANCHOR: pivot-into
/// Moves the calling process into `rootfs`, with the mounts that a container needs and those that
/// `view` asks for.
///
/// Call it in a new mount namespace, and in a new pid namespace: /proc shows the caller's own.
///
/// # Errors
/// The step that failed and what it was about. The mount namespace is then half made: end the process.
pub fn pivot_into(rootfs: &Path, view: &View) -> Result<()> {
    // First of all: until propagation is off, each mount below would appear on the host as well.
    make_private()?;
    let root = Root::bind(rootfs)?;

    // While the old root is still there. A user namespace may mount a new /proc only as long as an
    // old one is in sight, and device nodes and volumes are taken from the old root's files.
    for mount in mount::defaults()? {
        root.mount(&mount)?;
    }
    devices::create(&root, &devices::defaults())?;
    if view.cgroup {
        cgroup_view::mount(&root)?;
    }
    // After the defaults, so that a volume can lie in /dev or on top of /dev/shm.
    for mount in view.mounts()? {
        root.mount(&mount)?;
    }

    // The host's files go. What follows can no longer touch them, whatever it does.
    root.pivot()?;
    devices::own_null(&root)?;

    // Last, what takes away: no more mount points to be made in the rootfs, and the masks must lie
    // on top of everything, also of a volume that covers /sys.
    if view.read_only {
        root.make_read_only()?;
    }
    if view.masks {
        masks::HIDDEN.iter().try_for_each(|path| masks::hide(&root, path.as_ref()))?;
        masks::READ_ONLY.iter().try_for_each(|path| masks::protect(&root, path.as_ref()))?;
    }
    Ok(())
}
// ANCHOR_END: pivot-into

// ANCHOR: make-private
/// Cuts the mount namespace off from the one that it was copied from: mounts made from now on are
/// seen in neither direction.
///
/// A new mount namespace is a copy, and the copies of shared mounts stay connected: systemd makes
/// `/` shared, so on most hosts whatever the container mounts would appear outside.
/// mount_namespaces(7), "Shared subtrees". Call it in a new mount namespace only: on the host itself
/// it would disconnect every container and service.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; EINVAL when the root directory is not a mount point, as in a chroot.
pub fn make_private() -> Result<()> {
    let all_below = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", all_below).map_err(io::Error::from).context("make mounts private")
}
// ANCHOR_END: make-private

/// Makes `new_root`, which must be a mount point, the root of the mount namespace, and unmounts the
/// old one. The working directory is then `/`.
///
/// # Errors
/// EINVAL when `new_root` is not a mount point, or propagation is shared. See pivot_root(2).
pub fn pivot_root(new_root: &Path) -> Result<()> {
    Root::open(new_root)?.pivot()
}

impl View {
    /// The volumes and tmpfs as lines of the table, in the order in which they must be mounted.
    ///
    /// # Errors
    /// When a tmpfs has an option that no container's mount may have.
    pub fn mounts(&self) -> Result<Vec<Mount>> {
        let volumes = self.volumes.iter().map(|volume| Ok(volume.mount()));
        let tmpfs = self.tmpfs.iter().map(Tmpfs::mount);
        let mut mounts = tmpfs.chain(volumes).collect::<Result<Vec<_>>>()?;
        // What lies deeper comes later: /data would else cover /data/cache.
        mounts.sort_by_key(|mount| mount.target.components().count());
        Ok(mounts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_comes_before_what_lies_in_it() {
        let view = View {
            volumes: vec!["/a:/data/cache/x".parse().unwrap(), "/b:/data".parse().unwrap()],
            tmpfs: vec!["/data/cache".parse().unwrap()],
            ..View::default()
        };
        let targets: Vec<_> =
            view.mounts().unwrap().into_iter().map(|mount| mount.target).collect();
        assert_eq!(
            targets,
            ["/data", "/data/cache", "/data/cache/x"].map(std::path::PathBuf::from)
        );
    }
}
