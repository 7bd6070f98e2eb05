//! The probes, in the order of the chapters.

use std::fs;
use std::path::Path;
use std::process;

use anyhow::{Context, Result, bail, ensure};
use cgroups::Cgroup;
use chroot::exit::sentence;
use nix::sys::utsname::uname;
use nix::unistd::geteuid;
use overlayfs::Overlay;
use unshare::Namespace::{self, Ipc, Mount, Net, Pid, Time, User, Uts};

use super::Finding;
use crate::prepare;

/// Makes every probe.
pub(super) fn all() -> Vec<Finding> {
    vec![
        probe("Linux 5.12 or later", "all", kernel, "upgrade the system, or use a virtual machine"),
        probe(
            "user namespaces",
            "all, without root",
            user_namespace,
            "the command stands in brackets above",
        ),
        probe("a root filesystem", "all", rootfs, "see what rootfs-scripts/busybox.sh says"),
        probe("uts and ipc namespaces", "2", || try_in(&[Uts, Ipc], || Ok(())), KERNEL),
        probe(
            "time namespaces",
            "2",
            || try_in(&[Time], || Ok(())),
            "needs Linux 5.6 with CONFIG_TIME_NS; only the clock of step 2 is missing",
        ),
        probe("pid namespaces", "3", || try_in(&[Pid], || Ok(())), KERNEL),
        probe(
            "mount namespaces, /proc",
            "4",
            mount_proc,
            "a container around this one hides parts of /proc: run on the machine itself, or in a virtual machine",
        ),
        probe(
            "cgroups",
            "5",
            cgroup,
            "as root: nothing to do; as a user with cgroup v2: start your shell with 'systemd-run --user --scope -p Delegate=yes bash'; with cgroup v1: use root",
        ),
        probe(
            "overlayfs on tmpfs",
            "6, 8, keel",
            || overlay_on("/tmp"),
            "sudo modprobe overlay; in a user namespace it needs Linux 5.11",
        ),
        probe("bridge and veth", "7, keel", bridge, "sudo modprobe bridge veth"),
        probe(
            "nftables",
            "7, keel",
            nftables,
            "install the package nftables, and sudo modprobe nf_tables nft_chain_nat nft_masq",
        ),
        probe("mdbook", "reading offline", || program("mdbook"), "cargo install mdbook"),
    ]
}

const KERNEL: &str =
    "this kernel was built without it: use a distribution's kernel, or a virtual machine";

fn probe(
    what: &'static str,
    chapters: &'static str,
    look: impl FnOnce() -> Result<String>,
    mend: &str,
) -> Finding {
    match look() {
        Ok(seen) => Finding { what, chapters, works: true, seen, mend: None },
        Err(error) => {
            let (seen, mend) = (sentence(&error), Some(mend.to_owned()));
            Finding { what, chapters, works: false, seen, mend }
        }
    }
}

/// Runs `body` in a child in new namespaces of these kinds, as root of a user namespace if the user
/// isn't root already.
fn try_in(kinds: &[Namespace], body: impl FnOnce() -> Result<()>) -> Result<String> {
    let ordinary_user = !geteuid().is_root();
    let mut kinds = kinds.to_vec();
    if ordinary_user && !kinds.contains(&User) {
        kinds.push(User);
    }
    let held = pid_ns::spawn(&kinds, || {
        body()?;
        process::exit(0)
    })?;
    if kinds.contains(&User) {
        unshare::user::map_root(held.pid())?;
    }
    let exit = held.release()?.wait()?;
    ensure!(exit.code == 0, "the probe ended with {}", exit.code);
    Ok(String::new())
}

fn kernel() -> Result<String> {
    let release = uname().context("uname")?.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    ensure!(version >= (5, 12), "this is {release}");
    Ok(release)
}

fn user_namespace() -> Result<String> {
    try_in(&[User], || Ok(())).map_err(unshare::user::explain)
}

fn rootfs() -> Result<String> {
    Ok(prepare::rootfs()?.display().to_string())
}

fn mount_proc() -> Result<String> {
    try_in(&[Mount, Pid], || {
        mount_ns::make_private()?;
        let proc = mount_ns::Mount::new("proc", "proc".as_ref(), "/proc".as_ref(), [])?;
        mount_ns::Root::open(Path::new("/"))?.mount(&proc)
    })
}

fn cgroup() -> Result<String> {
    let cgroup = Cgroup::create(&format!("doctor-{}", process::id()))?;
    cgroup.remove()?;
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    let kind = |name| mounts.lines().any(|line| line.split(' ').nth(2) == Some(name));
    Ok(match (kind("cgroup2"), kind("cgroup")) {
        (true, true) => "hybrid: version 1 beside version 2",
        (true, false) => "version 2",
        _ => "version 1",
    }
    .to_owned())
}

/// Mounts an overlay whose layers lie on a tmpfs on `place`.
fn overlay_on(place: &str) -> Result<String> {
    try_in(&[Mount], || {
        mount_ns::make_private()?;
        in_memory(place)?;
        let folder = |name: &str| -> Result<_> {
            let path = Path::new(place).join(name);
            fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
            Ok(path)
        };
        let overlay = Overlay {
            lowers: vec![folder("lower")?],
            upper: folder("upper")?,
            work: folder("work")?,
        };
        overlay.mount(&folder("merged")?)
    })
}

/// Covers `place` by a tmpfs.
fn in_memory(place: &str) -> Result<()> {
    let root = mount_ns::Root::open(Path::new("/"))?;
    root.mount(&mount_ns::Mount::new("tmpfs", "tmpfs".as_ref(), place.as_ref(), [])?)
}

fn bridge() -> Result<String> {
    try_in(&[Net, Mount], || {
        mount_ns::make_private()?;
        in_memory("/tmp")?;
        veth_bridge::Bridge::new("probe", veth_bridge::Subnet::default(), Path::new("/tmp"))?
            .attach(nix::unistd::Pid::this(), "probe", &[])
            .map(drop)
    })
}

fn nftables() -> Result<String> {
    program("nft")?;
    try_in(&[Net], || {
        let listed = process::Command::new("nft").args(["list", "ruleset"]).output();
        let listed = listed.context("start nft")?;
        ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr).trim());
        Ok(())
    })?;
    program("nft")
}

/// Where a program is installed.
fn program(name: &str) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    match std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists()) {
        Some(file) => Ok(file.display().to_string()),
        None => bail!("'{name}' is not installed"),
    }
}
