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
mod scope;
mod setting;
mod stats;
mod tree;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags, open};

use hierarchy::{Folder, Place, Version};
pub use limits::{Bytes, Count, Cpus, IoLimit, Limits, List, MIN_MEMORY, Max, Weight};
pub use scope::{Scope, unique_name};
pub use stats::{CpuTime, Io, Stats, Usage};

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
        Cgroup::create_with(name, |place| match place.version {
            Version::V2 => v2::COUNTED.iter().copied().filter(|name| place.has(name)).collect(),
            Version::V1 => v1::COUNTED.iter().copied().filter(|name| place.has(name)).collect(),
        })
    }

    /// Makes the cgroup `name` in every hierarchy and with every controller: for processes that will
    /// make cgroups of their own and need them all, as in the lab.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn create_with_all(name: &str) -> Result<Cgroup> {
        Cgroup::create_with(name, |place| place.controllers.iter().map(String::as_str).collect())
    }

    fn create_with(name: &str, wanted: impl Fn(&Folder) -> Vec<&str>) -> Result<Cgroup> {
        let mut cgroup = Cgroup::open(name)?;
        ensure!(!cgroup.exists(), "cgroup {PARENT}/{name} exists already");

        match cgroup.make_in_places(wanted) {
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

    /// Makes this cgroup's folder wherever some of the place's controllers are wanted.
    fn make_in_places(&mut self, wanted: impl Fn(&Folder) -> Vec<&str>) -> Result<()> {
        let places = self.places.clone();
        let v1_freezes = places.iter().any(|place| place.writable && place.folder.has("freezer"));
        for Place { folder: place, .. } in places.iter().filter(|place| place.writable) {
            let wanted = wanted(place);
            // Any v2 cgroup can be frozen and killed, even one without controllers.
            if !wanted.is_empty() || (place.version == Version::V2 && !v1_freezes) {
                self.make(place, &wanted)?;
            }
        }
        if self.exists() { Ok(()) } else { bail!(not_writable(&places)) }
    }

    /// The folder where `controller` limits this cgroup, made or switched on if that wasn't needed
    /// until now.
    fn reach(&mut self, controller: &str) -> Result<Folder> {
        let with_it = |place: &&Place| place.folder.has(controller);
        let Some(place) = self.places.iter().find(with_it).cloned() else {
            bail!(no_controller(controller, &self.places));
        };
        ensure!(place.writable, not_writable(&[place]));
        let folder = place.folder.below(PARENT).below(&self.name);
        let is_new = !self.view.folders.contains(&folder);
        self.make(&place.folder, &[controller])?;
        if is_new {
            self.take_along(&folder)?;
        }
        Ok(folder)
    }

    // ANCHOR: make
    /// Makes this cgroup's folder in `place` unless it's there, with `controllers` switched on.
    fn make(&mut self, place: &Folder, controllers: &[&str]) -> Result<()> {
        let parent = place.below(PARENT);
        let folder = parent.below(&self.name);
        if !self.view.folders.contains(&folder) {
            mkdir(&folder.path).with_context(|| format!("make {}", folder.path.display()))?;
            self.view.folders.push(folder.clone());
        }
        // With a child in it the parent can't vanish any more, and has to do its part: on each level
        // from the place down, on v2.
        match place.version {
            Version::V2 => {
                v2::enable(&place.path, &parent.path, controllers)?;
                v2::enable(&parent.path, &folder.path, controllers)
            }
            Version::V1 if place.has("cpuset") => {
                v1::inherit_cpuset(&parent.path)?;
                v1::inherit_cpuset(&folder.path)
            }
            Version::V1 => Ok(()),
        }
    }
    // ANCHOR_END: make

    /// Moves the processes of a running container into a folder that it only got now.
    fn take_along(&self, folder: &Folder) -> Result<()> {
        for _ in 0..100 {
            let there = tree::pids(&folder.path)?;
            let mut missing = self.processes()?;
            missing.retain(|pid| !there.contains(pid));
            if missing.is_empty() {
                return Ok(());
            }
            // A process that has ended meanwhile is as good as moved.
            missing.iter().for_each(|pid| drop(add(folder, *pid)));
        }
        bail!("move the processes to {}: new ones keep appearing", folder.path.display())
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

/// Makes the folder at `path` and its parent.
fn mkdir(path: &Path) -> io::Result<()> {
    loop {
        match fs::create_dir(path) {
            Err(error) if files::is_gone(&error) => {}
            other => return other,
        }
        // Another keel may make the parent as well, or remove it again because it's empty, before
        // our next turn: then take one more.
        let parent = path.parent().unwrap_or(path);
        match fs::create_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
}

fn add(folder: &Folder, pid: Pid) -> Result<()> {
    let file = folder.path.join("cgroup.procs");
    files::write(&file, &pid.to_string())
        .with_context(|| format!("move process {pid} to {}", folder.path.display()))
}

fn not_writable(places: &[Place]) -> String {
    let (Some(first), on_v2) =
        (places.first(), places.iter().find(|place| place.folder.version == Version::V2))
    else {
        return "no cgroups are mounted here (mount -t cgroup2 cgroup2 /sys/fs/cgroup)".to_owned();
    };
    let shown = on_v2.unwrap_or(first).folder.path.display();
    match on_v2 {
        Some(Place { folder, .. }) if folder.inside.starts_with("/..") => format!(
            "{shown} is mounted from outside of this cgroup namespace (umount {shown} && mount -t \
             cgroup2 cgroup2 {shown})"
        ),
        Some(_) => format!(
            "{shown} can't be written (start from a shell with a cgroup of its own: systemd-run \
             --user --scope -p Delegate=yes bash)"
        ),
        None => format!("{shown} can't be written (needs root, with cgroup version 1)"),
    }
}

fn no_controller(controller: &str, places: &[Place]) -> String {
    let there = places.iter().flat_map(|place| &place.folder.controllers).map(String::as_str);
    let there: Vec<&str> = there.filter(|name| !name.contains('=')).collect();
    format!(
        "there is no {controller} controller here, only {} (see 'Controllers' in cgroups(7); a user's \
         scope has those that https://systemd.io/CGROUP_DELEGATION hands out)",
        if there.is_empty() { "none".to_owned() } else { there.join(", ") }
    )
}

/// A cgroup to look at: any process's.
#[derive(Debug, Clone)]
pub struct View {
    folders: Vec<Folder>,
}

/// The cgroup that `pid` is in.
///
/// # Errors
/// When there is no such process.
pub fn of(pid: Pid) -> Result<View> {
    let memberships = files::read_proc(&format!("/proc/{pid}/cgroup"))?;
    Ok(View { folders: hierarchy::folders_of(&memberships)? })
}

impl View {
    /// Its path below the root of the caller's cgroup namespace, like "/keel/web"; on v1 that of the
    /// memory controller. `None` when it lies outside of what is mounted here: then there are no
    /// stats and limits to tell either.
    pub fn path(&self) -> Option<&Path> {
        self.seat("memory").or(self.folders.first()).map(|folder| folder.inside.as_path())
    }

    /// What its processes use and have used. Nothing that is not counted here.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn stats(&self) -> Result<Stats> {
        let throttled = self.read("cpu", v2::throttled, v1::throttled)?.unwrap_or_default();
        let cpu = self.read("cpuacct", v2::cpu_time, v1::cpu_time)?;
        Ok(Stats {
            memory: self.read("memory", v2::memory, v1::memory)?,
            oom_kills: self.read("memory", v2::oom_kills, v1::oom_kills)?.unwrap_or(0),
            cpu: cpu.map(|cpu| CpuTime { throttled, ..cpu }),
            pids: self.read("pids", v2::pids, v1::pids)?,
            io: self.read("io", v2::io, v1::io)?,
        })
    }

    /// The limits as the kernel has them. What is as without limits is `None`. Those of the cgroups
    /// above hold as well, and are not told.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn limits(&self) -> Result<Limits> {
        let mut limits = Limits::default();
        for controller in ["memory", "pids", "cpu", "cpuset", "io"] {
            match self.seat(controller) {
                Some(Folder { version: Version::V2, path, .. }) => {
                    v2::limits(controller, path, &mut limits)?;
                }
                Some(Folder { path, .. }) => v1::limits(controller, path, &mut limits)?,
                None => {}
            }
        }
        Ok(limits)
    }

    /// The processes in it and below it, as far as the caller's pid namespace can see them.
    ///
    /// # Errors
    /// When the list can't be read.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        // The first folder is as good as another: a process is in all of them.
        self.folders.first().map_or(Ok(vec![]), |folder| tree::pids(&folder.path))
    }

    /// The folder that has `controller`: v1's if a v1 hierarchy has it, else v2's.
    fn seat(&self, controller: &str) -> Option<&Folder> {
        let v1 = self.folders.iter().find(|f| f.version == Version::V1 && f.has(controller));
        v1.or_else(|| self.folders.iter().find(|f| f.version == Version::V2))
    }

    fn read<T>(
        &self,
        controller: &str,
        v2: fn(&Path) -> Result<Option<T>>,
        v1: fn(&Path) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        match self.seat(controller) {
            Some(Folder { version: Version::V2, path, .. }) => v2(path),
            Some(Folder { path, .. }) => v1(path),
            None => Ok(None),
        }
    }
}
