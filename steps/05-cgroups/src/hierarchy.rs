//! Where cgroups are: which hierarchies are mounted, and where in each of them a process is.
//!
//! Nothing here assumes a path. mountinfo says where the hierarchies are mounted, /proc/PID/cgroup
//! says where in them a process is, and both are told as seen from the reader's cgroup namespace.

use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::unistd::{AccessFlags, access};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::files;
use crate::v2::LEAF;

/// The two kernel interfaces. A machine may use both at once, each for other controllers ("hybrid").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// A tree for each controller, or for a few together.
    V1,
    /// One tree for all.
    V2,
}

/// One cgroup in one hierarchy: a folder in /sys/fs/cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub version: Version,
    /// What it can limit or count, by v2 names. Two exist on v1 only: freezer is part of every v2
    /// cgroup, and cpuacct became part of cpu.
    pub controllers: Vec<String>,
    /// The folder.
    pub path: PathBuf,
    /// Its name as in /proc/PID/cgroup.
    pub inside: PathBuf,
}

/// A folder under which cgroups could be made.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub folder: Folder,
    /// Whether this process may make them there.
    pub writable: bool,
}

impl Folder {
    /// Whether it has `controller`.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// The cgroup `name` below this one.
    pub fn below(&self, name: impl AsRef<Path>) -> Folder {
        let name = name.as_ref();
        Folder { path: self.path.join(name), inside: self.inside.join(name), ..self.clone() }
    }
}

/// For each hierarchy, the folder to make cgroups under: its root as mounted here if that is
/// writable, else our own cgroup, which may be delegated to us.
pub(crate) fn places() -> Result<Vec<Place>> {
    let own = files::read_proc("/proc/self/cgroup")?;
    let mut places: Vec<Place> = Vec::new();
    for hierarchy in mounted()? {
        let place = hierarchy.place(&own);
        // The same hierarchy may be mounted twice: one of them writable is enough.
        match places.iter_mut().find(|p| hierarchy.is_of(&p.folder)) {
            None => places.push(place),
            Some(other) if place.writable && !other.writable => *other = place,
            Some(_) => {}
        }
    }
    for Place { folder, .. } in places.iter_mut().filter(|p| p.folder.version == Version::V2) {
        // On v2 each folder says which controllers its parent lets it have.
        let listed = files::text(&folder.path.join("cgroup.controllers"))?.unwrap_or_default();
        folder.controllers = listed.split_whitespace().map(String::from).collect();
    }
    Ok(places)
}

/// Whether the calling process is in `folder`, one of v2.
pub(crate) fn is_in(folder: &Folder) -> Result<bool> {
    let own = files::read_proc("/proc/self/cgroup")?;
    let mut own = own.lines().filter_map(Membership::parse);
    Ok(own.any(|own| own.controllers.is_empty() && own.path == folder.inside))
}

/// The folders of the process with these `memberships`, as far as they can be seen from here.
pub(crate) fn folders_of(memberships: &str) -> Result<Vec<Folder>> {
    let mut folders: Vec<Folder> = Vec::new();
    for hierarchy in mounted()? {
        let seen = folders.iter().any(|f| hierarchy.is_of(f));
        match hierarchy.locate(memberships) {
            Some(folder) if !seen && folder.path.is_dir() => folders.push(folder),
            _ => {}
        }
    }
    Ok(folders)
}

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    mount_id: u64,
    version: Version,
    controllers: Vec<String>,
    mount_point: PathBuf,
    /// The cgroup that shows at the mount point: "/" on a host; in a container the container's own.
    root: PathBuf,
}

/// The hierarchies that can be reached at their mount points.
fn mounted() -> Result<Vec<Hierarchy>> {
    let mountinfo = files::read_proc("/proc/self/mountinfo")?;
    Ok(mountinfo.lines().filter_map(Hierarchy::parse).filter(Hierarchy::is_visible).collect())
}

impl Hierarchy {
    /// Reads a line of /proc/self/mountinfo, if it is about a hierarchy. See proc_pid_mountinfo(5):
    ///
    /// ```text
    /// 35 31 0:32 /    /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
    /// id         root mount point                         type          options
    /// ```
    fn parse(line: &str) -> Option<Hierarchy> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let [kind, _source, options] = filesystem.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let (version, controllers) = match kind {
            "cgroup2" => (Version::V2, Vec::new()),
            // A v1 mount's options name its controllers, like "rw,cpu,cpuacct". One without any has
            // a name instead, like "rw,name=systemd".
            "cgroup" => (Version::V1, options.split(',').filter_map(controller).collect()),
            _ => return None,
        };
        Some(Hierarchy {
            mount_id: mount.first()?.parse().ok()?,
            version,
            controllers,
            root: files::unescape(mount.get(3)?),
            mount_point: files::unescape(mount.get(4)?),
        })
    }

    /// Whether the mount point leads to this mount, and not to another one that covers it.
    fn is_visible(&self) -> bool {
        match statx(CWD, &self.mount_point, AtFlags::empty(), StatxFlags::MNT_ID) {
            // A kernel before 5.8 doesn't tell: take it as visible.
            Ok(stat) if stat.stx_mask & StatxFlags::MNT_ID.bits() == 0 => true,
            Ok(stat) => stat.stx_mnt_id == self.mount_id,
            Err(_) => false,
        }
    }

    /// Whether `folder` is in this hierarchy.
    fn is_of(&self, folder: &Folder) -> bool {
        self.version == folder.version
            && (self.version == Version::V2 || self.controllers == folder.controllers)
    }

    fn place(&self, memberships: &str) -> Place {
        let root = self.folder(Path::new(""));
        // An earlier run may have moved this process into the leaf of the cgroup that it is to use.
        let own = self.locate(memberships).map(|own| match own.path.parent() {
            Some(parent) if own.path.ends_with(LEAF) => {
                let inside = own.inside.parent().unwrap_or(Path::new("/")).to_owned();
                Folder { path: parent.to_owned(), inside, ..own }
            }
            _ => own,
        });
        // cgroup_namespaces(7): where v2 is mounted with nsdelegate, as systemd does, no process may be
        // moved out of our namespace; and a mount that begins above it doesn't tell where it begins.
        let inside = self.version == Version::V1 || !self.root.starts_with("/..");
        match [Some(root.clone()), own].into_iter().flatten().find(|f| inside && is_writable(f)) {
            Some(folder) => Place { folder, writable: true },
            None => Place { folder: root, writable: false },
        }
    }

    /// The folder of the process with these `memberships`, the text of /proc/PID/cgroup; none if it
    /// lies outside of what is mounted here.
    fn locate(&self, memberships: &str) -> Option<Folder> {
        let member = memberships.lines().filter_map(Membership::parse).find(|m| self.counts(m))?;
        // Both paths start at the root of our cgroup namespace; the mount shows what is below its
        // own root. A cgroup outside of our namespace has a path like "/../..": cgroup_namespaces(7).
        let below = member.path.strip_prefix(&self.root).ok()?;
        (!below.starts_with("..")).then(|| self.folder(below))
    }

    fn counts(&self, member: &Membership) -> bool {
        match self.version {
            Version::V2 => member.controllers.is_empty(),
            Version::V1 => {
                let mut names =
                    member.controllers.iter().copied().filter_map(controller).peekable();
                names.peek().is_some() && names.all(|name| self.controllers.contains(&name))
            }
        }
    }

    fn folder(&self, below: &Path) -> Folder {
        // The path without a slash at its end, which join("") would leave.
        let join = |base: &Path| match below.as_os_str().is_empty() {
            true => base.to_owned(),
            false => base.join(below),
        };
        Folder {
            version: self.version,
            controllers: self.controllers.clone(),
            path: join(&self.mount_point),
            inside: join(&self.root),
        }
    }
}

/// The v2 name of a controller that v1 calls `name`; `None` for another option of a v1 mount.
fn controller(name: &str) -> Option<String> {
    match name {
        "rw" | "ro" | "xattr" | "noprefix" | "clone_children" | "cpuset_v2_mode" => None,
        "blkio" => Some("io".to_owned()),
        other => (!other.starts_with("release_agent=")).then(|| other.to_owned()),
    }
}

/// Whether we may make cgroups in `folder` and move processes within it. Also "no" on a read-only
/// mount, which containers often have.
fn is_writable(folder: &Folder) -> bool {
    // cgroups(7), "Cgroups delegation: delegating a hierarchy to a less privileged user".
    ["", "cgroup.procs"]
        .iter()
        .all(|file| access(&folder.path.join(file), AccessFlags::W_OK).is_ok())
}

/// A line of /proc/PID/cgroup: "4:memory:/user/1000", or for v2 "0::/user/1000".
struct Membership<'a> {
    controllers: Vec<&'a str>,
    path: &'a Path,
}

impl Membership<'_> {
    fn parse(line: &str) -> Option<Membership<'_>> {
        let mut fields = line.splitn(3, ':');
        let (_id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let controllers = controllers.split(',').filter(|name| !name.is_empty()).collect();
        Some(Membership { controllers, path: Path::new(path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "path of the folder" for each hierarchy, from the texts of mountinfo and /proc/PID/cgroup.
    fn located(mountinfo: &str, memberships: &str) -> Vec<String> {
        let hierarchies = mountinfo.lines().filter_map(|line| Hierarchy::parse(line.trim()));
        let memberships: Vec<&str> = memberships.lines().map(str::trim).collect();
        hierarchies
            .map(|h| match h.locate(&memberships.join("\n")) {
                Some(folder) => {
                    format!("{} {}", folder.controllers.join(","), folder.path.display())
                }
                None => format!("{} outside", h.controllers.join(",")),
            })
            .collect()
    }

    const UNIFIED: &str =
        "26 23 0:24 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn a_host_with_v2_only() {
        let scope = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope";
        assert_eq!(
            located(UNIFIED, scope),
            [" /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope"]
        );
        assert_eq!(located(UNIFIED, "0::/"), [" /sys/fs/cgroup"]);
    }

    #[test]
    fn a_host_with_v1_and_joint_controllers() {
        let mountinfo = "
            31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
            33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
            34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
            35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
            36 31 0:33 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio";
        let memberships = "9:name=systemd:/init.scope
            5:blkio:/
            4:memory:/a:b
            3:cpuacct,cpu:/c";
        assert_eq!(
            located(mountinfo, memberships),
            [
                "name=systemd /sys/fs/cgroup/systemd/init.scope",
                "cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct/c",
                "memory /sys/fs/cgroup/memory/a:b",
                "io /sys/fs/cgroup/blkio"
            ]
        );
    }

    #[test]
    fn a_hybrid_host() {
        let mountinfo = "
            31 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
            34 31 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids";
        let memberships = "5:pids:/user.slice/u\n0::/user.slice/s";
        assert_eq!(
            located(mountinfo, memberships),
            [" /sys/fs/cgroup/unified/user.slice/s", "pids /sys/fs/cgroup/pids/user.slice/u"]
        );
    }

    #[test]
    fn in_a_container() {
        // With a cgroup namespace both roots are the container's.
        assert_eq!(located(UNIFIED, "0::/"), [" /sys/fs/cgroup"]);
        // Without one (Docker on v1) the mount shows the container's cgroup, by its name outside.
        let bound = "40 31 0:32 /docker/5f3 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        assert_eq!(located(bound, "4:memory:/docker/5f3"), ["memory /sys/fs/cgroup/memory"]);
        assert_eq!(located(bound, "4:memory:/docker/5f3/a"), ["memory /sys/fs/cgroup/memory/a"]);
        assert_eq!(located(bound, "4:memory:/docker/5f"), ["memory outside"]);
    }

    #[test]
    fn across_cgroup_namespaces() {
        // Our mount is of our namespace, the process sits above or beside it.
        assert_eq!(located(UNIFIED, "0::/../.."), [" outside"]);
        assert_eq!(located(UNIFIED, "0::/../sibling"), [" outside"]);
        // The mount is the host's, seen from a namespace two levels down.
        let outer = UNIFIED.replace(" / ", " /../.. ");
        assert_eq!(located(&outer, "0::/../.."), [" /sys/fs/cgroup"]);
        assert_eq!(located(&outer, "0::/../../keel/web"), [" /sys/fs/cgroup/keel/web"]);
        // Here the names of the two levels in between can't be known.
        assert_eq!(located(&outer, "0::/here"), [" outside"]);
    }
}
