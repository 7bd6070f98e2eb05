//! What lies in /dev: device nodes and the links that programs expect.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
pub use rustix::fs::FileType;
use rustix::fs::{
    AtFlags, Dev, Mode, OFlags, ResolveFlags, chmodat, fstat, makedev, mknodat, openat, openat2,
    symlinkat,
};
use rustix::io::Errno;

use crate::detached::Detached;
use crate::inside::open_path;
use crate::root::Root;

/// A device that the container may open: where it is, and which driver it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The path, the same inside and on the host.
    pub path: PathBuf,
    /// Character or block device, or a FIFO.
    pub kind: FileType,
    /// The number of the driver and of its device. See makedev(3).
    pub number: (u32, u32),
    /// Permission bits.
    pub mode: u32,
}

/// The devices that every container has: none of them reaches hardware. See null(4), random(4), tty(4).
pub const DEFAULT: [(&str, (u32, u32)); 6] = [
    ("/dev/null", (1, 3)),
    ("/dev/zero", (1, 5)),
    ("/dev/full", (1, 7)),
    ("/dev/random", (1, 8)),
    ("/dev/urandom", (1, 9)),
    ("/dev/tty", (5, 0)),
];

/// The links that shells and C libraries expect: name in /dev, and what it leads to.
/// (Docker also makes `core`, to /proc/kcore, which the masks hide.)
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    // Opening it makes a terminal in the container's own devpts, not in the host's.
    ("ptmx", "pts/ptmx"),
];

/// The devices of [`DEFAULT`], for all to read and write.
pub fn defaults() -> Vec<Device> {
    let device = |&(path, number): &(&str, _)| Device {
        path: path.into(),
        kind: FileType::CharacterDevice,
        number,
        mode: 0o666,
    };
    DEFAULT.iter().map(device).collect()
}

/// Fills /dev inside `root`: with the devices, and the usual links.
///
/// # Errors
/// When something else is where a device should be, or the host has no such device to lend.
pub fn create(root: &Root, devices: &[Device]) -> Result<()> {
    for device in devices {
        let what = || format!("make {} in the container", device.path.display());
        create_one(root, device).with_context(what)?;
    }
    let dev = root.directory(Path::new("/dev"))?;
    for (name, target) in LINKS {
        match symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(io::Error::from(errno)).context(format!("link /dev/{name}")),
        }
    }
    Ok(())
}

// ANCHOR: create-device
fn create_one(root: &Root, device: &Device) -> Result<()> {
    let (Some(folder), Some(name)) = (device.path.parent(), device.path.file_name()) else {
        bail!("not the path of a device");
    };
    let folder = root.directory(folder)?;
    let mode = Mode::from_raw_mode(device.mode);
    match mknodat(&folder, name, device.kind, mode, device.dev()) {
        // mknod(2) takes the umask away from the mode; chmod(2) doesn't.
        Ok(()) => Ok(chmodat(&folder, name, mode, AtFlags::empty()).map_err(io::Error::from)?),
        // A node that was there must be what it says: an image could bring a disk called null.
        Err(Errno::EXIST) => device.check(at(folder.as_fd(), name.as_ref(), OFlags::PATH)?.as_fd()),
        // user_namespaces(7): a node opens the same driver for everyone, so no user namespace may
        // make one. The host's own can be lent, by a bind mount on an empty file.
        Err(Errno::PERM) => {
            let host = open_path(&device.path).context("open the host's")?;
            device.check(host.as_fd())?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let place = at(folder.as_fd(), name.as_ref(), flags)?;
            Detached::copy(host, false)?.attach(place)?;
            Ok(())
        }
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}
// ANCHOR_END: create-device

impl Device {
    fn dev(&self) -> Dev {
        makedev(self.number.0, self.number.1)
    }

    fn check(&self, file: BorrowedFd) -> Result<()> {
        let (major, minor) = self.number;
        ensure!(
            is_device(file, self.kind, self.dev())?,
            "{} is there and not the device {major}:{minor}",
            self.path.display()
        );
        Ok(())
    }
}

/// The container's /dev/null, once it is certain to be one.
///
/// Masks are made of it. A container that shares a volume with one that is starting could put a link
/// in its place, and have the masks lay a file of the host over another: runc's CVE-2025-31133.
///
/// # Errors
/// When there is none, or something else has its name.
pub fn null(root: &Root) -> Result<OwnedFd> {
    let found = root.find(Path::new("/dev/null"), ResolveFlags::NO_SYMLINKS)?;
    let found = found.context("there is no /dev/null in the container")?;
    let real = is_device(found.as_fd(), FileType::CharacterDevice, makedev(1, 3))?;
    ensure!(real, "/dev/null in the container is not the null device");
    Ok(found)
}

/// Replaces the host's null device by the container's where it is the caller's stdin, stdout or
/// stderr.
///
/// Root inside could else change the host's own node through it: `chmod 0 /proc/self/fd/0`.
///
/// # Errors
/// As [`null`]. Does nothing when no stream is the null device.
pub fn own_null(root: &Root) -> Result<()> {
    let is_null = |stream: BorrowedFd| {
        // A stream that is closed is not the null device.
        is_device(stream, FileType::CharacterDevice, makedev(1, 3)).unwrap_or(false)
    };
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let host = [is_null(stdin.as_fd()), is_null(stdout.as_fd()), is_null(stderr.as_fd())];
    if host.contains(&true) {
        let null = open_null(root).context("open /dev/null in the container")?;
        let own = [dup2_stdin::<&OwnedFd>, dup2_stdout, dup2_stderr];
        for (_, replace) in host.iter().zip(own).filter(|(is_null, _)| **is_null) {
            replace(&null).context("replace the null device")?;
        }
    }
    Ok(())
}

fn open_null(root: &Root) -> Result<OwnedFd> {
    null(root)?;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(openat2(root, "/dev/null", flags, Mode::empty(), inside).map_err(io::Error::from)?)
}

fn is_device(file: BorrowedFd, kind: FileType, dev: Dev) -> io::Result<bool> {
    let stat = fstat(file)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == dev)
}

/// Opens `name` in `folder` itself: a link there is not followed.
fn at(folder: BorrowedFd, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::from_raw_mode(0o644))?)
}
