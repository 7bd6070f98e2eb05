//! Brings a folder or a file into a container that runs already, and takes it away again.
//!
//! `bring [--read-only] PID SOURCE TARGET` shows the host's SOURCE at TARGET, in the mount namespace of the process PID.
//! `bring --away PID TARGET` unmounts it there. No engine has a command for this: `docker run -v` is the only way in.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use mount_ns::detached::Detached;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use rustix::mount::MountAttrFlags as Attr;

fn main() -> ExitCode {
    chroot::exit::report(run().map(|()| ExitCode::SUCCESS))
}

fn run() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--away", pid, target] => take_away(pid, Path::new(target)),
        ["--read-only", pid, source, target] => {
            bring(pid, Path::new(source), Path::new(target), true)
        }
        [pid, source, target] => bring(pid, Path::new(source), Path::new(target), false),
        _ => bail!("usage: bring [--read-only] PID SOURCE TARGET, or bring --away PID TARGET"),
    }
}

/// Shows `source`, with all that is mounted below it, at `target` in the mount namespace of `pid`. A target that is missing is
/// made.
///
/// # Errors
/// As [`enter`]; when source or target can't be had, or one is a folder and the other isn't.
fn bring(pid: &str, source: &Path, target: &Path, read_only: bool) -> Result<()> {
    // Made in this namespace, where the source is; attached in that one, where the target is. In between it is in neither,
    // and only a descriptor leads to it. open_tree(2), move_mount(2)
    let place = open_path(source)?;
    let is_folder = place.metadata().context("stat the source")?.is_dir();
    let mount = Detached::copy(&place, true)
        .with_context(|| format!("copy the mount of {}", source.display()))?;
    if read_only {
        mount.set(Attr::MOUNT_ATTR_RDONLY)?;
    }
    enter(pid)?;
    // From here on a path means what it means to the container.
    make(target, is_folder).with_context(|| format!("make {}", target.display()))?;
    let attached = mount.attach(open_path(target)?);
    attached.with_context(|| format!("attach it to {}", target.display()))?;
    Ok(())
}

/// Unmounts `target` in the mount namespace of `pid`, even while it is in use.
///
/// # Errors
/// As [`enter`]; EINVAL when nothing is mounted there. See umount(2).
fn take_away(pid: &str, target: &Path) -> Result<()> {
    enter(pid)?;
    // UMOUNT_NOFOLLOW: a link at the end of the path is no mount point.
    let how = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    umount2(target, how).with_context(|| format!("unmount {}", target.display()))
}

/// Joins the mount namespace of the process `pid`. Root and working directory are then that namespace's root.
///
/// # Errors
/// When there is no such process, or it is in the caller's own namespace: what is mounted there is mounted on the host. EPERM
/// without CAP_SYS_ADMIN and CAP_SYS_CHROOT. See setns(2).
fn enter(pid: &str) -> Result<()> {
    let number: u32 = pid.parse().ok().with_context(|| format!("'{pid}' is not a process id"))?;
    let path = PathBuf::from(format!("/proc/{number}/ns/mnt"));
    let theirs = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let own = fs::metadata("/proc/self/ns/mnt").context("stat /proc/self/ns/mnt")?;
    // Two open namespaces are the same if they are the same inode. namespaces(7)
    let same = theirs.metadata().context("stat the namespace")?.ino() == own.ino();
    ensure!(!same, "process {number} has the host's mount table");
    setns(theirs, CloneFlags::CLONE_NEWNS).with_context(|| format!("join {}", path.display()))
}

/// Opens a path as a place: enough to mount from or on it, not to read it. See open(2), O_PATH.
fn open_path(path: &Path) -> Result<File> {
    let open = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path);
    open.with_context(|| format!("open {}", path.display()))
}

/// Makes an empty folder or file to mount on, unless something is there.
fn make(target: &Path, is_folder: bool) -> std::io::Result<()> {
    if fs::exists(target)? {
        return Ok(());
    }
    if is_folder {
        return fs::create_dir_all(target);
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create_new(target).map(drop)
}
