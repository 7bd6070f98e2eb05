//! Step 7, the container so far: own names, processes, mounts, limits and layers; and now its own
//! network, wired to others.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cgroups::{Limits, Scope};
use clap::Parser;
use mount_ns::View;
use overlayfs::Overlay;
use unshare::Namespace::{self, Ipc, Mount, Pid, Uts};
use veth_bridge::files::Files;
use veth_bridge::{Bridge, Network, Port};

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
    #[command(flatten)]
    view: View,
    /// The folder that becomes / (make one with rootfs-scripts/busybox.sh rootfs)
    rootfs: PathBuf,
    /// The command to run inside, with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    chroot::exit::report(container(chroot::exit::parse()))
}

fn container(args: Args) -> Result<ExitCode> {
    let Args { network, publish, upper, diff, limits, hostname, init, mut view, .. } = args;
    let Args { rootfs, command, .. } = args;
    chroot::require_rootfs(&rootfs)?;
    // An absolute path, because `.` names what is below a mount made on it, not the mount.
    let rootfs = rootfs.canonicalize().context("open the rootfs")?;
    let layers = [rootfs.clone()];
    let kept = upper.map(|folder| Overlay::in_folder(&layers, &folder)).transpose()?;
    let cgroup = Scope::new(&limits)?;
    view.cgroup = cgroup.exists();
    let files = Files::temporary()?; // /etc/hosts, /etc/hostname, /etc/resolv.conf
    view.volumes.splice(..0, files.volumes());

    // ANCHOR: main
    let namespaces: Vec<_> =
        [Uts, Ipc, Pid, Mount].into_iter().chain(network.namespace()).collect();
    let birthplace = cgroup.birthplace()?;
    let born_in = birthplace.as_ref().map(AsFd::as_fd);
    let container = pid_ns::spawn_into(born_in, &namespaces, || {
        cgroup.join()?;
        unshare::leave(&[Namespace::Cgroup])?;
        unshare::set_hostname(&hostname)?;
        network.join()?;
        // On top of the rootfs itself: covered in here, and outside as it was.
        mount_ns::make_private()?;
        match &kept {
            Some(overlay) => overlay.mount(&rootfs)?,
            None => overlayfs::mount_in_memory(&layers, &rootfs)?,
        }
        mount_ns::pivot_into(&rootfs, &view)?;
        if init {
            pid_ns::become_init()?;
        }
        chroot::exec(&command)
    })?;

    // The child waits. Only from here can its cable be plugged in, and its address is known only now.
    let pid = container.pid();
    let attached = network.wire(&Bridge::standard()?, pid, &pid.to_string(), &publish)?;
    if let Some(warning) = attached.as_ref().and_then(|attached| attached.warning.as_ref()) {
        eprintln!("{warning}");
    }
    files.fill(&hostname, &network, attached.as_ref().map(|attached| attached.address))?;
    let exit = container.release()?.wait()?;
    // ANCHOR_END: main

    if let (Some(overlay), true) = (kept, diff) {
        for change in overlayfs::changes(&overlay.lowers, &overlay.upper)? {
            println!("{change}");
        }
    }
    Ok(exit.into())
}
