//! A cgroup that lives as long as the program that made it.

use anyhow::Result;
use chroot::exit::sentence;

use crate::{Cgroup, Limits, Stats};

/// A container's cgroup, removed when this is dropped; or none, where none can be made and none was
/// asked for.
#[derive(Debug)]
pub struct Scope(Option<Cgroup>);

// ANCHOR: scope
impl Scope {
    /// Makes the cgroup `name` and sets these limits.
    ///
    /// An ordinary user may often make no cgroup: see [`Cgroup::create`]. Without limits the
    /// container then runs without one. A limit that can't be kept is an error.
    ///
    /// # Errors
    /// As [`Cgroup::create`], if there are limits, and as [`Cgroup::limit`].
    pub fn new(name: &str, limits: &Limits) -> Result<Scope> {
        let mut scope = match Cgroup::create(name) {
            Err(_) if limits.is_none() => Scope(None),
            created => Scope(Some(created?)),
        };
        scope.0.as_mut().map_or(Ok(()), |cgroup| cgroup.limit(limits))?;
        Ok(scope)
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
// ANCHOR_END: scope
