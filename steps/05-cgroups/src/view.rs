//! A cgroup from outside: whoever's it is, it can be looked at.

use std::path::Path;

use anyhow::Result;
use nix::unistd::Pid;

use crate::hierarchy::{self, Folder, Version};
use crate::stats::{CpuTime, Stats};
use crate::{Limits, files, tree, v1, v2};

/// A cgroup to look at: any process's.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) folders: Vec<Folder>,
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
    pub(crate) fn seat(&self, controller: &str) -> Option<&Folder> {
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
