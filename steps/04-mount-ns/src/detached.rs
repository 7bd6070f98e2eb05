//! Mounts that aren't anywhere yet.
//!
//! mount(2) makes a mount and puts it somewhere in one go, by name. The calls used here, which came
//! with Linux 5.2, take that apart: a mount is made, then set up, then attached, and is a file
//! descriptor all the while. That buys two things. A read-only mount is read-only before anyone can
//! reach it. And the target is a file descriptor too: between looking at it and mounting on it, no
//! name can come to mean something else.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Error, Result, bail};
use nix::errno::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// A mount that no path leads to. It vanishes when dropped.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl Detached {
    /// A new instance of the filesystem `kind`, set up with `data`: pairs of a name and, where the
    /// option has one, its value.
    ///
    /// # Errors
    /// ENODEV for a kind that the kernel doesn't know, EINVAL for an option that the filesystem
    /// doesn't, EPERM when the filesystem shows a namespace that the caller doesn't own. See
    /// fsopen(2), fsconfig(2), fsmount(2).
    pub fn filesystem(
        kind: &str,
        data: &[(String, Option<String>)],
        attributes: MountAttrFlags,
    ) -> Result<Detached> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(io::Error::from)?;
        let make = || {
            for (name, value) in data {
                match value {
                    Some(value) => fsconfig_set_string(context.as_fd(), name, value)?,
                    None => fsconfig_set_flag(context.as_fd(), name)?,
                }
            }
            fsconfig_create(context.as_fd())?;
            fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        };
        match make() {
            Ok(mount) => Ok(Detached(mount)),
            Err(errno) => Err(explain(context, errno.into())),
        }
    }

    // ANCHOR: copy
    /// A second mount of what `place` shows: a directory, with all that is mounted below it when
    /// `recursive`, or a single file. This is the first half of a bind mount.
    ///
    /// # Errors
    /// EINVAL when `recursive` is false, and a mount below `place` came from a more privileged
    /// namespace: leaving it out would uncover what it hides. See open_tree(2).
    pub fn copy(place: impl AsFd, recursive: bool) -> Result<Detached> {
        use OpenTreeFlags as Flags;
        let mut flags = Flags::OPEN_TREE_CLONE | Flags::OPEN_TREE_CLOEXEC | Flags::AT_EMPTY_PATH;
        flags.set(Flags::AT_RECURSIVE, recursive);
        Ok(Detached(open_tree(place, "", flags).map_err(io::Error::from)?))
    }
    // ANCHOR_END: copy

    /// Adds attributes to this mount and those below it, before anyone can see any of them.
    ///
    /// # Errors
    /// As [`set_attributes`].
    pub fn set(&self, attributes: MountAttrFlags) -> Result<()> {
        set_attributes(self.0.as_fd(), attributes, true)
    }

    // ANCHOR: attach
    /// Puts the mount on top of `target`, which must be a directory for a directory and a file for a
    /// file. Returns the root of what is now mounted.
    ///
    /// # Errors
    /// EINVAL when the kinds of file differ, or `target` is in another mount namespace. See
    /// move_mount(2).
    pub fn attach(self, target: impl AsFd) -> Result<OwnedFd> {
        // Two empty paths: from this very mount, to that very file, whatever they are called now.
        let both =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.0, "", target, "", both).map_err(io::Error::from)?;
        Ok(self.0)
    }
    // ANCHOR_END: attach
}

// ANCHOR: set-attributes
/// Adds attributes (read-only, nosuid, …) to the mount whose root `mount` is, and when `recursive` to
/// every mount below it.
///
/// It only ever adds. In a user namespace the flags of a mount that came from outside are locked
/// (mount_namespaces(7), "Restrictions on mount namespaces"): a remount with mount(2), which sets all flags
/// at once, has to find and repeat them for each mount or fails with EPERM. mount_setattr(2) leaves
/// alone what it isn't told to change, and does a whole tree or nothing.
///
/// # Errors
/// EBUSY when a file below is open for writing and read-only is asked; ENOSYS before Linux 5.12.
pub fn set_attributes(
    mount: BorrowedFd,
    attributes: MountAttrFlags,
    recursive: bool,
) -> Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let mut change = libc::mount_attr {
        attr_set: attributes.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // The access-time attributes are one field of several bits: it has to be cleared to be set.
    if attributes.intersects(MountAttrFlags::MOUNT_ATTR__ATIME) {
        change.attr_clr = MountAttrFlags::MOUNT_ATTR__ATIME.bits().into();
    }
    let below = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated constant; `change` outlives the call, and the size given
    // is its own.
    let changed = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | below,
            &raw mut change,
            size_of_val(&change),
        )
    };
    match Errno::result(changed) {
        Err(Errno::ENOSYS) => bail!("needs Linux 5.12 or later (mount_setattr)"),
        other => other.map(drop).context("set mount attributes"),
    }
}
// ANCHOR_END: set-attributes

/// `error`, with what the filesystem itself has to say: reading from its context gives a line such
/// as "e tmpfs: Bad value for 'size'".
fn explain(context: OwnedFd, error: io::Error) -> Error {
    let mut line = [0; 256];
    let length = File::from(context).read(&mut line).unwrap_or(0);
    let line = String::from_utf8_lossy(&line[..length]);
    match line.trim_end().split_once(' ') {
        Some((_severity, words)) => Error::from(error).context(words.to_owned()),
        None => error.into(),
    }
}
