//! Step 1: another root directory.
//!
//! Every process has a root directory: the place where the kernel starts to look when a path begins
//! with `/`. chroot(2) changes it, and with it everything that the process can name. This crate
//! enters a rootfs ([`enter`]) and starts a command there ([`exec`]); [`program`] and [`exit`] hold
//! what the later steps and the engine need besides.

pub mod exit;
pub mod program;

use std::convert::Infallible;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::unistd::{chdir, chroot};

pub use program::{DEFAULT_PATH, Program};

// ANCHOR: enter
/// Makes `rootfs` the root directory of the calling process, and its working directory too.
///
/// # Errors
/// When `rootfs` is not a directory, or the caller lacks CAP_SYS_CHROOT. See chroot(2).
pub fn enter(rootfs: &Path) -> Result<()> {
    require_rootfs(rootfs)?;
    chroot(rootfs).with_context(|| format!("chroot {}", rootfs.display()))?;

    // chroot(2): "This call does not change the current working directory": without this line
    // `..` would still lead out of the new root.
    chdir("/").context("chdir /")
}
// ANCHOR_END: enter

// ANCHOR: exec
/// Replaces the calling process by `command`, found along PATH inside the current root, with a
/// clean environment. Returns only when that fails.
///
/// # Errors
/// [`exit::Coded`] with 127 when there is no such command and 126 when it can't be executed. See
/// execve(2).
pub fn exec(command: &[String]) -> Result<Infallible> {
    Program::new(command).exec()
}
// ANCHOR_END: exec

/// Fails with a sentence that says what to do when `rootfs` is not a folder that could be one.
///
/// # Errors
/// When `rootfs` is missing or not a directory.
pub fn require_rootfs(rootfs: &Path) -> Result<()> {
    let shown = rootfs.display();
    ensure!(
        rootfs.is_dir(),
        "{shown} is not a directory (make a root filesystem with 'rootfs-scripts/busybox.sh {shown}')"
    );
    Ok(())
}
