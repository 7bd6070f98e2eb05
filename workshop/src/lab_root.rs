//! The lab's root directory: the host's folders to look at, and /lab to work in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mount_ns::{Mount, Root, cgroup_view, devices, masks};
use nix::mount::{MsFlags, mount};

use crate::prepare;

/// What the lab has of its own instead of the host's.
const OWN: [&str; 5] = ["proc", "sys", "dev", "tmp", "lab"];

/// What is mounted in the lab besides the host's folders, in this order: kind, target, options.
const MOUNTS: [(&str, &str, &str); 8] = [
    ("proc", "/proc", "nosuid,nodev,noexec"),
    ("sysfs", "/sys", "ro,nosuid,nodev,noexec"),
    ("tmpfs", "/dev", "nosuid,mode=755"),
    ("devpts", "/dev/pts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620"),
    ("tmpfs", "/dev/shm", "nosuid,nodev,mode=1777"),
    ("mqueue", "/dev/mqueue", "nosuid,nodev,noexec"),
    ("tmpfs", "/tmp", "nosuid,nodev,mode=1777"),
    ("tmpfs", "/lab", "nosuid,mode=755"),
];

/// Makes the lab's root and moves the calling process, which must have its own mount namespace,
/// into it. `rootfs` is copied to /lab/rootfs. In a `limited` one the files in memory are few.
///
/// # Errors
/// When something can't be mounted.
pub fn enter(rootfs: &Path, cgroup: bool, limited: bool) -> Result<()> {
    mount_ns::make_private()?;
    // Any folder serves as the place for the new root, as long as nothing below it is wanted in the
    // lab: /sys is one, since the lab gets its own.
    let place = Path::new("/sys");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("lab"), place, Some("tmpfs"), flags, Some("mode=755")).context("mount a tmpfs")?;
    let root = Root::open(place)?;

    for (path, is_link) in host_entries()? {
        if is_link {
            let target =
                fs::read_link(&path).with_context(|| format!("read {}", path.display()))?;
            let link = place.join(path.strip_prefix("/")?);
            symlink(target, link).with_context(|| format!("link {}", path.display()))?;
        } else {
            bind_read_only(&root, &path)?;
        }
    }
    let size = limited.then_some("size=128m");
    for (kind, target, options) in MOUNTS {
        let options = options.split(',').chain(size.filter(|_| kind == "tmpfs"));
        root.mount(&Mount::new(kind, kind.as_ref(), target.as_ref(), options)?)?;
    }
    devices::create(&root, &devices::defaults())?;
    if cgroup {
        cgroup_view::mount_writable(&root)?;
    }
    // A checkout below /tmp is covered by the lab's own /tmp, and would take the steps with it.
    let bin = prepare::bin_dir()?;
    if bin.starts_with("/tmp") {
        bind_read_only(&root, &bin)?;
    }
    overlayfs::copy_tree(rootfs, &place.join("lab/rootfs"))?;
    protect_the_kernel(&root)?;
    root.pivot()
}

/// The folders and links in the host's root directory, but for those that the lab has itself.
fn host_entries() -> Result<Vec<(PathBuf, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir("/").context("read /")? {
        let entry = entry.context("read /")?;
        let kind = entry.file_type().context("read /")?;
        let own = OWN.iter().any(|name| entry.file_name() == *name);
        if !own && (kind.is_dir() || kind.is_symlink()) {
            entries.push((entry.path(), kind.is_symlink()));
        }
    }
    Ok(entries)
}

/// The host's folder, with all that is mounted below it, at the same path, to look at only.
fn bind_read_only(root: &Root, path: &Path) -> Result<()> {
    root.mount(&Mount::new("rbind", path, path, ["rro", "nosuid"])?)
}

/// Makes the kernel's settings read-only, but for those of the network, which are the lab's own.
fn protect_the_kernel(root: &Root) -> Result<()> {
    let settings = fs::read_dir("/proc/sys").context("read /proc/sys")?.flatten();
    let machines = settings.map(|entry| entry.path()).filter(|path| !path.ends_with("net"));
    machines
        .chain(["/proc/sysrq-trigger", "/proc/irq", "/proc/bus"].map(PathBuf::from))
        .try_for_each(|path| masks::protect(root, &path))
}
