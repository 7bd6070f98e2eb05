//! The config in the steps' terms.
//!
//! It is read as a whole before the container's process is made: what is wrong with it is said when
//! nothing has to be cleaned up yet, and the process itself has little left to do.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use cgroups::{Bytes, Count, Cpus, Limits, List, Max, Weight};
use chroot::Program;
use mount_ns::Mount;
use nix::sys::resource::Resource;
use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, PosixRlimitType, Process, Spec};
use unshare::Namespace;

use crate::bundle::Bundle;
use crate::user::Who;

/// Everything that the container's process will do before it becomes its command.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The namespaces that it gets new.
    pub(crate) new: Vec<Namespace>,
    /// Those that it shares with some other process, opened.
    pub(crate) joined: Vec<Joined>,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) rootfs: PathBuf,
    pub(crate) read_only: bool,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) hidden: Vec<PathBuf>,
    pub(crate) protected: Vec<PathBuf>,
    pub(crate) program: Program,
    pub(crate) user: Who,
    pub(crate) umask: Option<u32>,
    pub(crate) rlimits: Vec<(Resource, u64, u64)>,
    pub(crate) no_new_privileges: bool,
    pub(crate) cgroup: Option<(String, Limits)>,
}

/// A namespace that exists already, and its kind.
pub(crate) type Joined = (Namespace, File);

impl Plan {
    /// Reads the config of `bundle`.
    ///
    /// # Errors
    /// When something is missing, contradicts itself, or can't be done here.
    pub(crate) fn of(bundle: &Bundle) -> Result<Plan> {
        let spec = &bundle.spec;
        let process = spec.process().as_ref().context("config.json: process is missing")?;
        let root = spec.root().as_ref().context("config.json: root is missing")?;
        let linux = spec.linux().clone().unwrap_or_default();
        let (new, joined) = namespaces(spec)?;
        let paths = |list: &Option<Vec<String>>| -> Vec<PathBuf> {
            list.iter().flatten().map(PathBuf::from).collect()
        };
        let limits = linux.resources().as_ref().map(limits).transpose()?.unwrap_or_default();
        let cgroup = linux.cgroups_path().as_deref().map(cgroup_name).transpose()?;
        ensure!(
            cgroup.is_some() || limits.is_none(),
            "config.json: linux.resources needs a linux.cgroupsPath to hold for"
        );
        let of_uts = |kind: &Namespace| *kind == Namespace::Uts;
        let renames = spec.hostname().is_some() || spec.domainname().is_some();
        ensure!(
            !renames || new.iter().chain(joined.iter().map(|(kind, _)| kind)).any(of_uts),
            "config.json: hostname and domainname need a uts namespace in linux.namespaces \
             (the caller's own would be renamed)"
        );
        Ok(Plan {
            new,
            joined,
            hostname: spec.hostname().clone(),
            domainname: spec.domainname().clone(),
            rootfs: bundle.rootfs()?,
            read_only: root.readonly().unwrap_or(false),
            mounts: mounts(spec, &bundle.dir)?,
            hidden: paths(linux.masked_paths()),
            protected: paths(linux.readonly_paths()),
            program: program(process)?,
            user: who(process),
            umask: process.user().umask(),
            rlimits: rlimits(process),
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            cgroup: cgroup.map(|name| (name, limits)),
        })
    }

    /// Whether a namespace of this kind is the container's own.
    pub(crate) fn has_new(&self, kind: Namespace) -> bool {
        self.new.contains(&kind)
    }
}

// ANCHOR: namespaces
/// A namespace without a path is a new one; with a path, somebody else's; one that isn't listed is
/// the caller's.
fn namespaces(spec: &Spec) -> Result<(Vec<Namespace>, Vec<Joined>)> {
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let (mut new, mut joined) = (Vec::new(), Vec::new());
    for namespace in listed.into_iter().flatten() {
        let kind = kind(namespace.typ());
        match namespace.path() {
            None => new.push(kind),
            Some(path) => {
                let file = File::open(path)
                    .with_context(|| format!("open the {kind} namespace {}", path.display()))?;
                joined.push((kind, file));
            }
        }
    }
    for kind in [Namespace::Mount, Namespace::Pid] {
        ensure!(
            new.contains(&kind),
            "config.json: linux.namespaces must list {kind:?} without a path \
             (the rootfs and /proc of a container are its own)"
        );
    }
    let user = new.contains(&Namespace::User) || joined.iter().any(|(k, _)| *k == Namespace::User);
    ensure!(!user, "config.json: user namespaces come with step 9 (start keel in one instead)");
    Ok((new, joined))
}
// ANCHOR_END: namespaces

fn kind(typ: LinuxNamespaceType) -> Namespace {
    match typ {
        LinuxNamespaceType::Mount => Namespace::Mount,
        LinuxNamespaceType::Cgroup => Namespace::Cgroup,
        LinuxNamespaceType::Uts => Namespace::Uts,
        LinuxNamespaceType::Ipc => Namespace::Ipc,
        LinuxNamespaceType::User => Namespace::User,
        LinuxNamespaceType::Pid => Namespace::Pid,
        LinuxNamespaceType::Network => Namespace::Net,
        LinuxNamespaceType::Time => Namespace::Time,
    }
}

fn mounts(spec: &Spec, bundle: &Path) -> Result<Vec<Mount>> {
    let listed = spec.mounts().iter().flatten();
    listed
        .map(|mount| {
            let options = mount.options().iter().flatten().map(String::as_str);
            let kind = mount.typ().as_deref().unwrap_or("none");
            let target = mount.destination();
            ensure!(
                target.is_absolute(),
                "config.json: mount destination {} must begin with /",
                target.display()
            );
            let default = PathBuf::from(kind);
            let source = mount.source().as_ref().unwrap_or(&default);
            let mut line = Mount::new(kind, source, target, options)?;
            if line.is_bind() {
                // OCI config, "Mounts": a bind's relative source starts at the bundle.
                line.source = bundle.join(source);
            }
            Ok(line)
        })
        .collect()
}

/// All containers' cgroups are side by side: that of `/keel/web` is `web`.
fn cgroup_name(path: &Path) -> Result<String> {
    let name = path.strip_prefix("/keel").unwrap_or(path).to_string_lossy().into_owned();
    ensure!(
        !name.is_empty() && !name.contains('/'),
        "config.json: linux.cgroupsPath {} must be /keel/NAME",
        path.display()
    );
    Ok(name)
}

/// The config counts in what cgroup version 1 has; see [`Limits`].
fn limits(resources: &LinuxResources) -> Result<Limits> {
    // Zero or less is OCI's word for "no limit".
    let positive = |number: i64| u64::try_from(number).ok().filter(|&number| number > 0);
    let list = |text: &Option<String>| -> Result<Option<List>> {
        let list = text.as_deref().filter(|text| !text.is_empty()).map(str::parse).transpose();
        list.map_err(|error| anyhow!("config.json: linux.resources.cpu: {error}"))
    };
    let mut limits = Limits::default();
    if let Some(memory) = resources.memory() {
        limits.memory = memory.limit().and_then(positive).map(Bytes);
        limits.memory_swap = memory
            .swap()
            .filter(|&swap| swap != 0)
            .map(|swap| positive(swap).map_or(Max::Unlimited, |bytes| Max::At(Bytes(bytes))));
    }
    if let Some(cpu) = resources.cpu() {
        let period = cpu.period().unwrap_or(Cpus::PERIOD);
        limits.cpus = cpu.quota().and_then(positive).map(|quota| Cpus::from_quota(quota, period));
        limits.cpu_weight = cpu.shares().filter(|&shares| shares != 0).map(Weight::from_shares);
        limits.cpuset_cpus = list(cpu.cpus())?;
        limits.cpuset_mems = list(cpu.mems())?;
    }
    limits.pids = resources
        .pids()
        .map(|pids| positive(pids.limit()).map_or(Max::Unlimited, |n| Max::At(Count(n))));
    Ok(limits)
}

fn program(process: &Process) -> Result<Program> {
    let args = process.args().clone().unwrap_or_default();
    ensure!(!args.is_empty(), "config.json: process.args is empty: there is no command to run");
    let cwd = process.cwd().clone();
    if !cwd.is_absolute() {
        bail!("config.json: process.cwd {} must begin with /", cwd.display());
    }
    Ok(Program { args, env: process.env().clone().unwrap_or_default(), cwd })
}

fn who(process: &Process) -> Who {
    let user = process.user();
    match user.username() {
        Some(name) if !name.is_empty() => Who::Name(name.clone()),
        _ => Who::Numbers {
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().clone().unwrap_or_default(),
        },
    }
}

fn rlimits(process: &Process) -> Vec<(Resource, u64, u64)> {
    let listed = process.rlimits().iter().flatten();
    listed.map(|limit| (resource(limit.typ()), limit.soft(), limit.hard())).collect()
}

fn resource(typ: PosixRlimitType) -> Resource {
    use {PosixRlimitType as Named, Resource::*};
    match typ {
        Named::RlimitCpu => RLIMIT_CPU,
        Named::RlimitFsize => RLIMIT_FSIZE,
        Named::RlimitData => RLIMIT_DATA,
        Named::RlimitStack => RLIMIT_STACK,
        Named::RlimitCore => RLIMIT_CORE,
        Named::RlimitRss => RLIMIT_RSS,
        Named::RlimitNproc => RLIMIT_NPROC,
        Named::RlimitNofile => RLIMIT_NOFILE,
        Named::RlimitMemlock => RLIMIT_MEMLOCK,
        Named::RlimitAs => RLIMIT_AS,
        Named::RlimitLocks => RLIMIT_LOCKS,
        Named::RlimitSigpending => RLIMIT_SIGPENDING,
        Named::RlimitMsgqueue => RLIMIT_MSGQUEUE,
        Named::RlimitNice => RLIMIT_NICE,
        Named::RlimitRtprio => RLIMIT_RTPRIO,
        Named::RlimitRttime => RLIMIT_RTTIME,
    }
}
