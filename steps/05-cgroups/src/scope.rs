//! A cgroup that lives as long as the program that made it.

use std::os::fd::OwnedFd;

use anyhow::Result;
use chroot::exit::sentence;
use nix::unistd::Pid;
use unshare::Namespace;

use crate::{Cgroup, Limits, Stats};

/// A container's cgroup, removed when this is dropped; or none, for a container without limits.
#[derive(Debug)]
pub struct Scope(Option<Cgroup>);

impl Scope {
    /// Makes a cgroup for this process's container with these limits, if there are any.
    ///
    /// Without limits it makes none: an ordinary user often may not, and the container runs as well.
    ///
    /// # Errors
    /// As [`Cgroup::create`] and [`Cgroup::limit`]. Nothing stays behind.
    pub fn new(limits: &Limits) -> Result<Scope> {
        if limits.is_none() {
            return Ok(Scope(None));
        }
        // The scope first: when a limit is refused, dropping it removes the cgroup.
        let mut scope = Scope(Some(Cgroup::create(&unique_name()?)?));
        if let Some(cgroup) = &mut scope.0 {
            cgroup.limit(limits)?;
        }
        Ok(scope)
    }

    /// Where the container can be born, if there is a cgroup. See [`Cgroup::birthplace`].
    ///
    /// # Errors
    /// When the cgroup is gone.
    pub fn birthplace(&self) -> Result<Option<OwnedFd>> {
        self.0.as_ref().map_or(Ok(None), Cgroup::birthplace)
    }

    /// Moves the calling process in, if there is a cgroup. See [`Cgroup::join`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn join(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), Cgroup::join)
    }

    /// What its processes have used, if there is a cgroup.
    ///
    /// # Errors
    /// When the kernel's files can't be read.
    pub fn stats(&self) -> Result<Option<Stats>> {
        self.0.as_ref().map(Cgroup::stats).transpose()
    }

    /// Whether there is a cgroup.
    pub fn exists(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(Cgroup::remove) {
            eprintln!("{}", sentence(&error));
        }
    }
}

/// A name that no other container's cgroup has.
///
/// The pid alone wouldn't do: processes of two pid namespaces may have the same one.
///
/// # Errors
/// When /proc isn't mounted.
pub fn unique_name() -> Result<String> {
    let me = Pid::this();
    Ok(format!("{me}-{}", Namespace::Pid.inode(me)?))
}
