//! Making a cgroup's folders: in which hierarchies, with which controllers, and what to say when that
//! can't be done.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::hierarchy::{Folder, Place, Version};
use crate::{Cgroup, PARENT, add, files, tree, v1, v2};

impl Cgroup {
    /// Makes this cgroup's folder in v2, and in v1 wherever some of the place's controllers are wanted.
    pub(crate) fn make_in_places(
        &mut self,
        is_wanted: impl Fn(Version, &str) -> bool,
    ) -> Result<()> {
        let places = self.places.clone();
        for Place { folder: place, .. } in places.iter().filter(|place| place.writable) {
            let there = place.controllers.iter().map(String::as_str);
            let wanted: Vec<&str> = there.filter(|name| is_wanted(place.version, name)).collect();
            // Always in v2, even without a controller there: any cgroup of v2 can be frozen and killed,
            // and a container without its own would see its starter's as the root.
            if !wanted.is_empty() || place.version == Version::V2 {
                self.make(place, &wanted)?;
            }
        }
        if self.exists() { Ok(()) } else { bail!(not_writable(&places)) }
    }

    /// The folder where `controller` limits this cgroup, made or switched on if that wasn't needed
    /// until now.
    pub(crate) fn reach(&mut self, controller: &str) -> Result<Folder> {
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

fn not_writable(places: &[Place]) -> String {
    let (Some(first), on_v2) =
        (places.first(), places.iter().find(|place| place.folder.version == Version::V2))
    else {
        return "no cgroups are mounted here (on a host: mount -t cgroup2 cgroup2 /sys/fs/cgroup; in the \
                lab: whoever opened it may make none, 'cargo workshop doctor' tells how to)"
            .to_owned();
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
