//! /sys/fs/cgroup inside: the container's own cgroup, read-only.
//!
//! Step 05 puts the container into a cgroup; a cgroup namespace then makes that one look like the
//! root (cgroup_namespaces(7)). This mounts what such a namespace sees: one hierarchy of version 2,
//! or all those of version 1 side by side, or both on a hybrid host.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Access, AtFlags, accessat, symlinkat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags as Attr, UnmountFlags, unmount};

use crate::detached::set_attributes;
use crate::mount::Mount;
use crate::root::Root;

/// Where cgroups are, inside and out.
const PLACE: &str = "/sys/fs/cgroup";

/// The inode of the cgroup namespace that Linux boots with (its source: include/linux/proc_ns.h).
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFB;

/// Mounts the cgroups that the caller's cgroup namespace sees, read-only.
///
/// # Errors
/// When the caller has no cgroup namespace of its own; EPERM when it doesn't own it.
pub fn mount(root: &Root) -> Result<()> {
    mount_with(root, "ro")
}

/// The same, but writable: for an environment in which other containers are started, such as the
/// lab. What is written there stays below the caller's own cgroup.
///
/// # Errors
/// As [`mount`].
pub fn mount_writable(root: &Root) -> Result<()> {
    mount_with(root, "rw")
}

fn mount_with(root: &Root, access: &str) -> Result<()> {
    // Not only would the host's whole tree come in sight: a cgroup2 that is mounted from the first
    // namespace takes the new mount's options for all (nsdelegate lost on the host). cgroups(7)
    let own = fs::metadata("/proc/self/ns/cgroup").context("stat /proc/self/ns/cgroup")?;
    ensure!(own.ino() != FIRST_NAMESPACE, "mount {PLACE}: needs a cgroup namespace of its own");

    let hierarchies = fs::read_to_string("/proc/self/cgroup").context("read /proc/self/cgroup")?;
    let hierarchies = parse(&hierarchies);
    if let [only] = hierarchies.as_slice()
        && only.is_v2()
    {
        return root.mount(&only.mount(PLACE.as_ref(), access)?);
    }

    let options = ["nosuid", "nodev", "noexec", "mode=755"];
    root.mount(&Mount::new("tmpfs", "tmpfs".as_ref(), PLACE.as_ref(), options)?)?;
    let place = root.directory(PLACE.as_ref())?;
    for hierarchy in &hierarchies {
        let target = Path::new(PLACE).join(hierarchy.folder());
        root.mount(&hierarchy.mount(&target, access)?)?;
        let mounted = root.directory(&target)?;
        if hierarchy.is_machines_root(&mounted) {
            let mount = format!("/proc/self/fd/{}", mounted.as_raw_fd());
            unmount(&mount, UnmountFlags::DETACH).map_err(io::Error::from)?;
            drop(mounted);
            unlinkat(&place, hierarchy.folder(), AtFlags::REMOVEDIR).map_err(io::Error::from)?;
            continue;
        }
        for alias in hierarchy.aliases() {
            match symlinkat(hierarchy.folder(), &place, alias) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(io::Error::from(errno)).context(format!("link {alias}")),
            }
        }
    }
    set_attributes(place.as_fd(), Attr::MOUNT_ATTR_RDONLY, false)
}

/// One line of /proc/PID/cgroup, `ID:CONTROLLERS:PATH`, without its number and path.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy<'a> {
    /// Controllers, separated by commas; or `name=NAME` for a version 1 hierarchy without any;
    /// empty for version 2.
    controllers: &'a str,
}

fn parse(file: &str) -> Vec<Hierarchy<'_>> {
    let controllers = file.lines().filter_map(|line| line.split(':').nth(1));
    controllers.map(|controllers| Hierarchy { controllers }).collect()
}

impl Hierarchy<'_> {
    fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Its usual folder in /sys/fs/cgroup.
    fn folder(&self) -> &str {
        match self.controllers {
            "" => "unified",
            controllers => controllers.strip_prefix("name=").unwrap_or(controllers),
        }
    }

    /// Controllers that share a hierarchy, `cpu,cpuacct`, are also found under each name alone.
    fn aliases(&self) -> impl Iterator<Item = &str> {
        self.controllers.split(',').filter(|_| self.controllers.contains(','))
    }

    /// Whether `folder` is the whole machine's root of it: the container is then in no cgroup of this
    /// hierarchy's, and has no business here. cgroups(7): only the root has `release_agent` on v1,
    /// the name of a program that the kernel runs on the host as root (CVE-2022-0492); on v2 only
    /// the root has no `cgroup.events`.
    fn is_machines_root(&self, folder: &OwnedFd) -> bool {
        let has = |file| accessat(folder, file, Access::EXISTS, AtFlags::empty()).is_ok();
        if self.is_v2() { !has("cgroup.events") } else { has("release_agent") }
    }

    /// The mount that shows it. For version 1 the controllers' names are its options.
    fn mount(&self, target: &Path, access: &str) -> Result<Mount> {
        let kind = if self.is_v2() { "cgroup2" } else { "cgroup" };
        let safe = [access, "nosuid", "nodev", "noexec"].into_iter();
        Mount::new(kind, "cgroup".as_ref(), target, safe.chain(self.controllers.split(',')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_one_hierarchy_without_a_name() {
        let hierarchies = parse("0::/\n");
        assert_eq!(hierarchies, [Hierarchy { controllers: "" }]);
        let mount = hierarchies[0].mount(PLACE.as_ref(), "ro").unwrap();
        assert_eq!((mount.kind.as_str(), mount.data.len()), ("cgroup2", 0));
    }

    #[test]
    fn version_1_is_a_folder_each() {
        let hierarchies = parse("3:cpu,cpuacct:/a\n2:name=systemd:/a:b\n0::/\n");
        let folders: Vec<_> = hierarchies.iter().map(Hierarchy::folder).collect();
        assert_eq!(folders, ["cpu,cpuacct", "systemd", "unified"]);
        assert_eq!(hierarchies[0].aliases().collect::<Vec<_>>(), ["cpu", "cpuacct"]);
        assert_eq!(hierarchies[1].aliases().count(), 0);
        let systemd = hierarchies[1].mount("/x".as_ref(), "ro").unwrap();
        assert_eq!(systemd.data, [("name".to_owned(), Some("systemd".to_owned()))]);
    }
}
