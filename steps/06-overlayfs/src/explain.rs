//! Why an overlay was not mounted. The kernel answers most mistakes with one and the same EINVAL, so
//! this looks for the mistake itself.

use std::io;
use std::path::Path;

use anyhow::Error;
use nix::errno::Errno;
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::{Overlay, stack};

/// The kernel's limit, OVL_MAX_STACK.
const MAX_LOWERS: usize = 500;

/// Whether the failure may mean no more than that this kernel doesn't know the option `lowerdir+`,
/// as none does before Linux 6.7: like most mistakes, an unknown option is EINVAL.
pub(crate) fn is_from_an_old_kernel(error: &Error) -> bool {
    let about_the_layers = error.chain().map(|cause| cause.to_string()).any(|words| {
        words.starts_with("overlay: ") && !words.starts_with("overlay: Unknown parameter")
    });
    errno(error) == Errno::EINVAL && !about_the_layers
}

fn errno(error: &Error) -> Errno {
    let cause = error.root_cause();
    let from_io = || cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw);
    cause.downcast_ref::<Errno>().copied().or_else(from_io).unwrap_or(Errno::UnknownErrno)
}

impl Overlay {
    /// The error with what to change, if the mistake can be found; else with what the kernel says.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let errno = errno(&error);
        match self.cause(errno) {
            Some(cause) if errno == Errno::EPERM => Error::from(errno).context(cause),
            Some(cause) => Error::msg(cause),
            None if errno == Errno::EINVAL && error.chain().count() == 1 => {
                error.context("the kernel's log (dmesg) says why")
            }
            None => error,
        }
    }

    fn cause(&self, errno: Errno) -> Option<String> {
        if errno == Errno::ENODEV {
            return Some(
                "this kernel has no overlays ('modprobe overlay' may load them)".to_owned(),
            );
        }
        if let Some(dir) =
            self.lowers.iter().chain([&self.upper, &self.work]).find(|dir| !dir.is_dir())
        {
            return Some(format!("{} is not a directory", dir.display()));
        }
        match errno {
            Errno::E2BIG if self.lowers.len() <= MAX_LOWERS => Some(format!(
                "{} layers don't fit into one page of options, all that Linux takes before 6.7",
                self.lowers.len()
            )),
            Errno::EINVAL | Errno::E2BIG => self.invalid(),
            Errno::ELOOP => Some("a layer stands there twice, or lies inside another".to_owned()),
            Errno::EBUSY => Some(format!("another overlay uses {}", self.upper.display())),
            Errno::EPERM if stack::marks_are_users() => {
                Some("an ordinary user's overlay needs Linux 5.11 and a user namespace".to_owned())
            }
            _ => None,
        }
    }

    /// The mistakes that the kernel calls EINVAL.
    fn invalid(&self) -> Option<String> {
        let (upper, work) = (self.upper.display(), self.work.display());
        if self.lowers.is_empty() {
            return Some("no lower layer".to_owned());
        }
        if self.lowers.len() > MAX_LOWERS {
            return Some(format!("{} layers, and Linux takes {MAX_LOWERS}", self.lowers.len()));
        }
        if is_on_overlay(&self.upper) {
            return Some(format!(
                "{upper} lies on an overlay: put it on a real file system or a tmpfs"
            ));
        }
        if mount_id(&self.upper) != mount_id(&self.work) {
            return Some(format!("{upper} and {work} must lie on one mount"));
        }
        if stack::inside(&self.upper, &self.work) || stack::inside(&self.work, &self.upper) {
            return Some(format!("{upper} and {work} must not lie inside each other"));
        }
        let nested = self.lowers.iter().find(|lower| is_on_overlay(lower))?;
        Some(format!(
            "{} lies on an overlay, and perhaps that on another: Linux stacks two at most",
            nested.display()
        ))
    }
}

fn is_on_overlay(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == OVERLAYFS_SUPER_MAGIC)
}

/// Two paths on one file system still lie on two mounts when one of them is bound.
fn mount_id(path: &Path) -> Option<u64> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    Some(found.stx_mnt_id)
}
