//! Step 5: limits, accounting, freezing.
//!
//! A namespace hides; a cgroup counts and limits. It is a set of processes, and a folder in
//! /sys/fs/cgroup: mkdir(2) makes one, a pid written to its `cgroup.procs` moves a process in, what
//! is written to `memory.max` is its limit, and `memory.current` tells the use. See cgroups(7).
//!
//! There are two kernel interfaces. [`Cgroup`] and [`Limits`] are one for both; the file names and
//! habits of version 2 are in `v2`, those of version 1 in `v1`, and `hierarchy` finds out which is
//! in charge of what on this machine, where each controller may have its own answer.
//!
//! Needs Linux 5.3, of September 2019, for pidfds on v1; better on v2, with 5.14 or later.

mod files;
mod hierarchy;
mod limits;
mod make;
mod scope;
mod setting;
mod stats;
mod tree;
mod v1;
mod v2;
mod view;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags, open};

use hierarchy::{Folder, Place, Version};
pub use limits::{Bytes, Count, Cpus, IoLimit, Limits, List, MIN_MEMORY, Max, Weight};
pub use scope::{Scope, unique_name};
pub use stats::{CpuTime, Io, Stats, Usage};
pub use view::{View, of};

/// All our cgroups are made below this one: `<place>/keel/<name>`.
const PARENT: &str = "keel";

/// A container's cgroup. On v1 it is one folder in each of several hierarchies.
///
/// Dropping it leaves the cgroup as it is: a container may outlive the program that started it.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
    places: Vec<Place>,
    view: View,
}

impl Cgroup {
    // ANCHOR: create
    /// Makes the cgroup `name`, with what every container needs counted and nothing limited.
    ///
    /// # Errors
    /// When the name is taken or impossible, or no hierarchy is writable: then it says what to do.
    pub fn create(name: &str) -> Result<Cgroup> {
        Cgroup::create_with(name, |version, controller| match version {
            Version::V2 => v2::COUNTED.contains(&controller),
            Version::V1 => v1::COUNTED.contains(&controller),
        })
    }

    /// Makes the cgroup `name` in every hierarchy and with every controller: for processes that will
    /// make cgroups of their own and need them all, as in the lab.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn create_with_all(name: &str) -> Result<Cgroup> {
        Cgroup::create_with(name, |_version, _controller| true)
    }

    fn create_with(name: &str, is_wanted: impl Fn(Version, &str) -> bool) -> Result<Cgroup> {
        let mut cgroup = Cgroup::open(name)?;
        ensure!(!cgroup.exists(), "cgroup {PARENT}/{name} exists already");

        match cgroup.make_in_places(is_wanted) {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                let _ = cgroup.remove();
                Err(error.context(format!("make cgroup {PARENT}/{name}")))
            }
        }
    }
    // ANCHOR_END: create

    /// The cgroup `name`, which an earlier [`Cgroup::create`] may have made: [`Cgroup::exists`]
    /// tells.
    ///
    /// # Errors
    /// When the name is impossible or /proc can't be read.
    pub fn open(name: &str) -> Result<Cgroup> {
        let plain =
            !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0', '\n']);
        ensure!(plain && name.len() < 256, "{name:?} can't be a cgroup's name");
        let places = hierarchy::places()?;
        let below = places.iter().map(|place| place.folder.below(PARENT).below(name));
        let folders = below.filter(|folder| folder.path.is_dir()).collect();
        Ok(Cgroup { name: name.to_owned(), places, view: View { folders } })
    }

    /// Whether there is such a cgroup.
    pub fn exists(&self) -> bool {
        !self.view.folders.is_empty()
    }

    /// Its path as in /proc/PID/cgroup. See [`View::path`].
    pub fn path(&self) -> Option<&Path> {
        self.view.path()
    }

    // ANCHOR: limit
    /// Sets these limits; those that are `None` stay as they are. Also for a running container.
    ///
    /// # Errors
    /// When a limit makes no sense, the kernel refuses it, or its controller is missing.
    pub fn limit(&mut self, limits: &Limits) -> Result<()> {
        limits.check()?;
        for controller in limits.controllers() {
            let set = |folder: Folder| {
                let settings = match folder.version {
                    Version::V2 => v2::settings(controller, limits),
                    Version::V1 => v1::settings(controller, limits),
                };
                settings.iter().try_for_each(|setting| setting.write(&folder.path))
            };
            self.reach(controller).and_then(set).with_context(|| format!("limit {controller}"))?;
        }
        Ok(())
    }
    // ANCHOR_END: limit

    // ANCHOR: join
    /// Moves the calling process in: the first thing that a container's own process does. What it
    /// uses from here on counts, and so do all its children.
    ///
    /// Only then may it leave its cgroup namespace. The cgroup in which a process stands when it
    /// does becomes the root of what it sees: cgroup_namespaces(7). clone(2) with CLONE_NEWCGROUP
    /// would be too early; it takes the cgroup of the parent.
    ///
    /// The caller must have one thread only.
    ///
    /// # Errors
    /// When the cgroup is gone or belongs to somebody else.
    pub fn join(&self) -> Result<()> {
        self.require()?;
        for folder in &self.view.folders {
            // To move a whole process the kernel first waits until no CPU is in the midst of a fork
            // or an exec: 9 ms. A thread that moves itself need not wait, and that is what v1 does
            // with a 0 in `tasks`: 0.03 ms for each hierarchy. v2 has no such file: there a process is
            // best born where it belongs, see `birthplace`. (Measured, Linux 6.18 with 2 CPUs.)
            let file = match folder.version {
                Version::V2 if hierarchy::is_in(folder)? => continue,
                Version::V2 => folder.path.join("cgroup.procs"),
                Version::V1 => folder.path.join("tasks"),
            };
            files::write(&file, "0").with_context(|| format!("join {}", folder.path.display()))?;
        }
        Ok(())
    }
    // ANCHOR_END: join

    // ANCHOR: birthplace
    /// On v2, the folder in which clone3(2) can make a child right away (CLONE_INTO_CGROUP, Linux
    /// 5.7): that costs nothing. The child calls [`Cgroup::join`] all the same, which then has
    /// nothing to do but on v1. `None` without v2.
    ///
    /// # Errors
    /// When the cgroup is gone.
    pub fn birthplace(&self) -> Result<Option<OwnedFd>> {
        self.require()?;
        let Some(folder) = self.view.folders.iter().find(|f| f.version == Version::V2) else {
            return Ok(None);
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = open(&folder.path, flags, Mode::empty()).map_err(io::Error::from);
        opened.map(Some).with_context(|| format!("open {}", folder.path.display()))
    }
    // ANCHOR_END: birthplace

    /// Moves another process in, with all its threads. Children that it already has stay behind.
    ///
    /// # Errors
    /// When there is no such process, or it may not be moved.
    pub fn add(&self, pid: Pid) -> Result<()> {
        self.require()?;
        self.view.folders.iter().try_for_each(|folder| add(folder, pid))
    }

    /// What its processes use and have used. See [`View::stats`].
    ///
    /// # Errors
    /// When there is no such cgroup, or a file can't be read.
    pub fn stats(&self) -> Result<Stats> {
        self.require()?;
        self.view.stats()
    }

    /// The limits as the kernel has them. See [`View::limits`].
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn limits(&self) -> Result<Limits> {
        self.view.limits()
    }

    /// The processes in it. See [`View::processes`].
    ///
    /// # Errors
    /// When the list can't be read.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        self.view.processes()
    }

    /// Stops all its processes where they are. Returns when they all stand still.
    ///
    /// # Errors
    /// When a process doesn't stop, as one that waits for a broken disk.
    pub fn freeze(&self) -> Result<()> {
        let Folder { version, path, .. } = self.freezer()?;
        match version {
            Version::V2 => v2::freeze(path),
            Version::V1 => v1::freeze(path),
        }
        .with_context(|| format!("freeze {}", path.display()))
    }

    /// Lets its frozen processes go on.
    ///
    /// # Errors
    /// When there is no such cgroup.
    pub fn thaw(&self) -> Result<()> {
        let Folder { version, path, .. } = self.freezer()?;
        match version {
            Version::V2 => v2::thaw(path),
            Version::V1 => v1::thaw(path),
        }
        .with_context(|| format!("thaw {}", path.display()))
    }

    /// Kills all its processes with SIGKILL, frozen or not, however fast they fork. They may take a
    /// moment to be gone: [`Cgroup::remove`] waits for that.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> Result<()> {
        // Without any freezer v1 can still kill, with more effort.
        let folder = self.view.seat("freezer").or(self.view.folders.first());
        let Some(Folder { version, path, .. }) = folder else { return Ok(()) };
        match version {
            Version::V2 => v2::kill(path),
            Version::V1 => v1::kill(path),
        }
        .with_context(|| format!("kill {}", path.display()))
    }

    /// Removes it, with what the container made below it. Waits for processes that are about to
    /// end. One that doesn't exist is removed already.
    ///
    /// # Errors
    /// When after five seconds it still has processes.
    pub fn remove(self) -> Result<()> {
        // Each is tried, even if another fails.
        let removed: Vec<_> = self.view.folders.iter().map(tree::remove).collect();
        for place in self.places.iter().filter(|place| place.writable) {
            // Fails while it has other cgroups, or never was: both fine. Whoever was about to make
            // one below it makes it again, see `make`.
            let _ = fs::remove_dir(place.folder.path.join(PARENT));
            if place.folder.version == Version::V2 {
                let _ = fs::remove_dir(place.folder.path.join(v2::LEAF));
            }
        }
        removed.into_iter().collect()
    }

    fn require(&self) -> Result<()> {
        ensure!(self.exists(), "there is no cgroup {PARENT}/{}", self.name);
        Ok(())
    }

    fn freezer(&self) -> Result<&Folder> {
        self.require()?;
        self.view.seat("freezer").context("there is no freezer controller here")
    }
}

fn add(folder: &Folder, pid: Pid) -> Result<()> {
    let file = folder.path.join("cgroup.procs");
    files::write(&file, &pid.to_string())
        .with_context(|| format!("move process {pid} to {}", folder.path.display()))
}
