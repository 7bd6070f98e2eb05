//! The trials: each does, in throw-away namespaces, what a chapter will do.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Error, Result, bail, ensure};
use cgroups::{Bytes, Cgroup, Count, Cpus, Limits, Max, unique_name};
use nix::errno::Errno;
use nix::unistd::{Pid, Uid, getegid, geteuid};
use overlayfs::Overlay;
use unshare::Namespace::{self, Ipc, Mount, Net, Pid as PidNs, Time, User, Uts};

use crate::doctor::machine::{Machine, Trial};
use crate::lab::Lab;
use crate::prepare;

/// Makes every trial that makes sense for this user on this machine.
pub(super) fn all(machine: &Machine) -> BTreeMap<Trial, Result<(), String>> {
    let mut trials = BTreeMap::new();
    let mut note = |trial, outcome: Result<()>| {
        trials.insert(trial, outcome.map_err(|error| obstacle(&error)));
    };
    note(Trial::UserNamespace, user_namespace());
    note(Trial::Names, try_in(&[Uts, Ipc], || Ok(())));
    note(Trial::Time, try_in(&[Time], || Ok(())));
    note(Trial::Pid, try_in(&[PidNs], || Ok(())));
    note(Trial::Proc, mount_proc());
    note(Trial::Cgroup, cgroup(&Limits::default()));
    for (trial, limits) in limits() {
        note(trial, cgroup(&limits));
    }
    note(Trial::Overlay, try_in(&[Mount], overlay_in_memory));
    if machine.state.writable {
        note(Trial::StateOverlay, overlay_below(Path::new(&machine.state.path)));
    }
    note(Trial::Bridge, try_in(&[Net, Mount], || bridge().map(drop)));
    note(Trial::Nat, try_in(&[Net, Mount], nat));
    if !machine.user.root && machine.subordinate_ids {
        note(Trial::SubordinateIds, subordinate_ids());
    }
    // Without a busybox at hand the script would download one.
    if machine.ready.rootfs || machine.ready.busybox.is_some() {
        note(Trial::Rootfs, prepare::rootfs().map(drop));
    }
    note(Trial::Lab, lab(machine));
    trials
}

/// An error and its causes as one line. Unlike in a step, no advice: that is the judge's.
fn obstacle(error: &Error) -> String {
    let errno = |cause: &(dyn std::error::Error + 'static)| {
        let from_io = || cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw);
        cause.downcast_ref::<Errno>().copied().or_else(from_io)
    };
    let parts = error.chain().map(|cause| {
        errno(cause).map_or_else(|| cause.to_string(), |errno| errno.desc().to_owned())
    });
    parts.collect::<Vec<_>>().join(": ")
}

/// Runs `body` in a child in new namespaces of these kinds, as root of a user namespace if the user
/// isn't root already.
fn try_in(kinds: &[Namespace], body: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut kinds = kinds.to_vec();
    if !geteuid().is_root() && !kinds.contains(&User) {
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
    ensure!(exit.code == 0, "the trial ended with {}", exit.code);
    Ok(())
}

/// To make one is not enough: where AppArmor restricts them it may exist, but gives no powers.
fn user_namespace() -> Result<()> {
    try_in(&[User, Uts], || unshare::set_hostname("trial"))
}

fn mount_proc() -> Result<()> {
    try_in(&[Mount, PidNs], || {
        mount_ns::make_private()?;
        let proc = mount_ns::Mount::new("proc", "proc".as_ref(), "/proc".as_ref(), [])?;
        mount_ns::Root::open(Path::new("/"))?.mount(&proc)
    })
}

fn limits() -> [(Trial, Limits); 3] {
    let none = Limits::default;
    let half = Cpus::from_quota(50_000, 100_000);
    [
        (Trial::Memory, Limits { memory: Some(Bytes(64 << 20)), ..none() }),
        (Trial::Pids, Limits { pids: Some(Max::At(Count(32))), ..none() }),
        (Trial::Cpu, Limits { cpus: Some(half), ..none() }),
    ]
}

/// A cgroup with these limits, made and removed. It has a lab's name, as it has a lab's purpose.
fn cgroup(limits: &Limits) -> Result<()> {
    let mut cgroup = Cgroup::create(&format!("lab-{}", unique_name()?))?;
    let limited = cgroup.limit(limits);
    cgroup.remove()?;
    limited
}

fn overlay_in_memory() -> Result<()> {
    mount_ns::make_private()?;
    in_memory("/tmp")?;
    overlay(Path::new("/tmp"))
}

/// An overlay whose layers lie in `place`.
fn overlay(place: &Path) -> Result<()> {
    let folder = |name: &str| -> Result<PathBuf> {
        let path = place.join(name);
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    };
    let (lower, upper, work) = (folder("lower")?, folder("upper")?, folder("work")?);
    Overlay { lowers: vec![lower], upper, work }.mount(&folder("merged")?)
}

/// The same with a folder of its own below `place`, which is removed again.
fn overlay_below(place: &Path) -> Result<()> {
    let own = place.join(format!(".keel-doctor-{}", process::id()));
    fs::create_dir(&own).with_context(|| format!("make {}", own.display()))?;
    let tried = try_in(&[Mount], || {
        mount_ns::make_private()?;
        overlay(&own)
    });
    // The kernel makes a folder in `work` that its owner may not enter: chmod(2) first.
    let inner = own.join("work/work");
    if inner.exists() {
        let _ = fs::set_permissions(&inner, std::os::unix::fs::PermissionsExt::from_mode(0o700));
    }
    fs::remove_dir_all(&own).with_context(|| format!("remove {}", own.display()))?;
    tried
}

/// Covers `place` by a tmpfs.
fn in_memory(place: &str) -> Result<()> {
    let root = mount_ns::Root::open(Path::new("/"))?;
    root.mount(&mount_ns::Mount::new("tmpfs", "tmpfs".as_ref(), place.as_ref(), [])?)
}

/// A container's place in a network; what it says is why there is no way out of it.
fn bridge() -> Result<Option<String>> {
    mount_ns::make_private()?;
    in_memory("/tmp")?;
    let bridge =
        veth_bridge::Bridge::new("trial", veth_bridge::Subnet::default(), Path::new("/tmp"))?;
    Ok(bridge.attach(Pid::this(), "trial", &[])?.warning.clone())
}

fn nat() -> Result<()> {
    match bridge()? {
        None => Ok(()),
        Some(warning) => bail!(warning),
    }
}

/// newuidmap(1): root inside is the user, and the ids above are the user's first subordinate ones.
fn subordinate_ids() -> Result<()> {
    let held = pid_ns::spawn(&[User], || process::exit(0))?;
    let map = |program: &str, file: &str, own: u32| {
        let ranges = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
        let first = first_range(&ranges, geteuid()).with_context(|| format!("look in {file}"))?;
        let ids = ["0", &own.to_string(), "1", "1", &first, "1"].map(str::to_owned);
        let mapped = Command::new(program).arg(held.pid().to_string()).args(ids).output();
        let mapped = mapped.with_context(|| format!("start {program}"))?;
        let said = String::from_utf8_lossy(&mapped.stderr);
        ensure!(mapped.status.success(), "{}", said.trim());
        Ok(())
    };
    let uids = map("newuidmap", "/etc/subuid", geteuid().as_raw());
    uids.and_then(|()| map("newgidmap", "/etc/subgid", getegid().as_raw()))?;
    held.release()?.wait().map(drop)
}

/// The first id of the user's first range.
fn first_range(ranges: &str, uid: Uid) -> Option<String> {
    let name = nix::unistd::User::from_uid(uid).ok().flatten()?.name;
    let fields = ranges.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut own = fields.filter(|fields| fields[0] == name || fields[0] == uid.to_string());
    own.find_map(|fields| fields.get(1).map(|first| (*first).to_owned()))
}

/// A lab needs any folder to copy, and a command of the host's.
fn lab(machine: &Machine) -> Result<()> {
    let rootfs = match machine.ready.rootfs {
        true => prepare::rootfs()?,
        false => prepare::repository().join("rootfs-scripts"),
    };
    let exit = Lab::new(rootfs, vec!["true".to_owned()]).run()?;
    ensure!(exit.code == 0, "its command ended with {}", exit.code);
    Ok(())
}
