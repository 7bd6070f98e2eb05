//! Step 7, the container so far: own names, processes, mounts, limits and layers; and now its own
//! network, wired to others.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::slice;

use anyhow::{Context, Result};
use cgroups::{Cgroup, Limits};
use clap::Parser;
use mount_ns::{Tmpfs, View, Volume};
use overlayfs::Overlay;
use pid_ns::Exit;
use unshare::Namespace::{self, Ipc, Mount, Pid, Uts};
use veth_bridge::files::Files;
use veth_bridge::{Bridge, Network, Port};

// ANCHOR: args
/// Run a command in its own network.
///
/// Still the host's: its users.
#[derive(Parser)]
#[command(
    name = "step07-veth-bridge",
    after_help = "Example: step07-veth-bridge -p 8080:80 rootfs httpd -f -p 80"
)]
struct Args {
    /// The network: bridge, none, host, or container:PID to share that of another container
    #[arg(long, default_value = "bridge", value_name = "NETWORK")]
    network: Network,
    /// Open a port of the host that leads to one of the container's
    #[arg(short, long, value_name = "[ADDRESS:]HOST:CONTAINER[/udp]")]
    publish: Vec<Port>,
    /// Keep what the command writes in this folder; without it, in memory until the command ends
    #[arg(long, value_name = "FOLDER")]
    upper: Option<PathBuf>,
    /// Afterwards, list what was added (A), changed (C) and deleted (D)
    #[arg(long, requires = "upper")]
    diff: bool,
    #[command(flatten)]
    limits: Limits,
    /// The container's own hostname
    #[arg(long, default_value = "container", value_name = "NAME")]
    hostname: String,
    /// Put a small init in front of the command: it reaps orphans and passes signals on
    #[arg(long)]
    init: bool,
    /// Show a file or folder of the host inside; :ro makes it read-only, with all mounts below it
    #[arg(short, long = "volume", value_name = "SOURCE:TARGET[:ro]")]
    volumes: Vec<Volume>,
    /// Put a filesystem in memory there, with options such as size=64m,mode=1777
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<Tmpfs>,
    /// Make the rootfs read-only; volumes, tmpfs, /proc and /dev keep their own modes
    #[arg(long)]
    read_only: bool,
    /// The folder that becomes / (make one with rootfs-scripts/busybox.sh rootfs)
    rootfs: PathBuf,
    /// The command to run inside, with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}
// ANCHOR_END: args

// ANCHOR: main
fn main() -> ExitCode {
    chroot::exit::report(layered(Args::parse()))
}

/// Makes the layer that is to be kept, if any, and tells afterwards what is in it.
fn layered(mut args: Args) -> Result<ExitCode> {
    chroot::require_rootfs(&args.rootfs)?;
    // An absolute path, because `.` names what is below a mount made on it, not the mount.
    args.rootfs = args.rootfs.canonicalize().context("open the rootfs")?;
    let layers = [args.rootfs.clone()];
    let upper = args.upper.as_ref();
    let kept = upper.map(|folder| Overlay::in_folder(&layers, folder)).transpose()?;
    let diff = args.diff;
    let ended = limited(args, kept.as_ref())?;
    if let (Some(overlay), true) = (kept, diff) {
        for change in overlayfs::changes(&overlay.lowers, &overlay.upper)? {
            writeln!(stdout(), "{change}").context("print the changes")?;
        }
    }
    Ok(ended.into())
}

/// Makes the cgroup, and removes it again however the container's life goes. Only where there is
/// something to limit: an ordinary user may often make none.
fn limited(args: Args, kept: Option<&Overlay>) -> Result<Exit> {
    if args.limits.is_none() {
        return container(args, None, kept);
    }
    let mut cgroup = Cgroup::create(&format!("step07-{}", process::id()))?;
    let ended = cgroup.limit(&args.limits).and_then(|()| container(args, Some(&cgroup), kept));
    cgroup.remove()?;
    ended
}

fn container(args: Args, cgroup: Option<&Cgroup>, kept: Option<&Overlay>) -> Result<Exit> {
    let Args { network, publish, hostname, init, tmpfs, read_only, rootfs, command, .. } = args;
    let folder = tempfile::tempdir().context("make a folder for the container's /etc/hosts")?;
    let files = Files::create(folder.path())?;
    let volumes = [files.volumes(), args.volumes].concat();
    let view = View { volumes, tmpfs, read_only, cgroup: cgroup.is_some(), ..View::default() };

    let namespaces = [Uts, Ipc, Pid, Mount].into_iter().chain(network.namespace());
    let container = pid_ns::spawn(&namespaces.collect::<Vec<_>>(), || {
        cgroup.map_or(Ok(()), Cgroup::join)?;
        unshare::leave(&[Namespace::Cgroup])?; // after the join: this cgroup becomes its root
        unshare::set_hostname(&hostname)?;
        network.join()?;

        // On top of the rootfs itself: covered in here, and outside as it was.
        mount_ns::make_private()?;
        match kept {
            Some(overlay) => overlay.mount(&rootfs)?,
            None => overlayfs::mount_in_memory(slice::from_ref(&rootfs), &rootfs)?,
        }
        mount_ns::pivot_into(&rootfs, &view)?;
        if init {
            pid_ns::become_init()?;
        }
        chroot::exec(&command)
    })?;

    // The child waits. Its cable can only be plugged in from here, and its address is known only now.
    let (pid, bridge) = (container.pid(), Bridge::standard()?);
    let attached = network.wire(&bridge, pid, &pid.to_string(), &publish)?;
    if let Some(warning) = attached.as_ref().and_then(|attached| attached.warning.as_ref()) {
        eprintln!("{warning}");
    }
    files.fill(&hostname, &network, attached.as_ref().map(|attached| attached.address))?;
    let exit = container.release()?.wait()?;

    if let Some(cgroup) = cgroup {
        eprintln!("{}", cgroup.stats()?);
    }
    Ok(exit)
}
// ANCHOR_END: main
