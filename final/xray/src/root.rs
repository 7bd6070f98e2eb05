//! What the process takes for `/`.

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use serde::Serialize;

use crate::mounts::{Layers, Mount, Propagation};
use crate::proc::{ProcDir, is_char_device, names};

/// The root directory of a process.
#[derive(Debug, Clone, Serialize)]
pub struct Root {
    /// How it came to be the root.
    pub kind: Kind,
    /// Where it is, as the observer sees it. `/` in a mount table of its own is that table's top.
    pub path: String,
    /// Its filesystem, when the root is a mount point.
    pub mount: Option<RootMount>,
    /// The device nodes in its /dev.
    pub devices: Vec<String>,
}

/// How a directory came to be the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is the observer's own root directory, perhaps mounted once more.
    Host,
    /// By chroot(2): the mount table reaches further up than this.
    Chroot,
    /// It is the top of the process's mount table, as after pivot_root(2). Nothing is above it.
    OwnMount,
}

/// The mount that is the root.
#[derive(Debug, Clone, Serialize)]
pub struct RootMount {
    /// The filesystem's type, such as `overlay`.
    pub fs_type: String,
    /// Whether nothing can be written to it.
    pub read_only: bool,
    /// Where mounts made below it show up too.
    pub propagation: Propagation,
    /// The layers, if it is an overlay.
    pub layers: Option<Layers>,
    /// The same folder in the observer's mount table, if it can be reached there.
    pub from: Option<String>,
}

impl Root {
    pub(crate) fn look(
        process: &ProcDir,
        own_mounts: bool,
        mounts: &[Mount],
        mine: &[Mount],
    ) -> anyhow::Result<Self> {
        // proc_pid_root(5): the path is the observer's when both share a mount table; else it goes up
        // to the top of the other's.
        let path = process.link("root")?;
        let is_top = |mount: &&Mount| mount.mount_point == "/" && !mount.covered;
        let top = |mounts: &[Mount]| mounts.iter().find(is_top).cloned();
        let mount = top(mounts);
        let files = |mount: &Mount| (mount.device.clone(), mount.root.clone());
        let same_files = mount.as_ref().map(files) == top(mine).as_ref().map(files);
        let kind = match path.as_str() {
            "/" if !own_mounts || same_files => Kind::Host,
            "/" => Kind::OwnMount,
            _ => Kind::Chroot,
        };
        let devices = if kind == Kind::Host { Vec::new() } else { devices(process) };
        Ok(Root { kind, path, mount: mount.map(RootMount::of), devices })
    }
}

impl RootMount {
    fn of(mount: Mount) -> Self {
        RootMount {
            read_only: mount.is_read_only(),
            fs_type: mount.fs_type,
            propagation: mount.propagation,
            layers: mount.layers,
            from: mount.from,
        }
    }
}

/// The character devices in the process's /dev, by name.
fn devices(process: &ProcDir) -> Vec<String> {
    let list = || -> anyhow::Result<Vec<String>> {
        let root = process.file("root", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        // A container may have made /dev a link to anywhere: openat2(2) stays inside.
        let inside = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let dev = openat2(&root, "dev", inside)?;
        let mut names = names(dev.try_clone()?)?;
        names.retain(|name| is_char_device(&dev, name));
        names.sort_unstable();
        Ok(names)
    };
    // No /dev, or a kernel before openat2(2): then there is nothing to tell.
    list().unwrap_or_default()
}
