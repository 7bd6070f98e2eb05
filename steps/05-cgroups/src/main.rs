//! Step 5, the container so far: own names, processes and mounts; now its use is counted and limited.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use cgroups::{Cgroup, Limits};
use clap::Parser;
use mount_ns::View;
use pid_ns::Exit;
use unshare::Namespace::{self, Ipc, Mount, Pid, Uts};

/// Run a command with limits, and tell what it has used.
///
/// Still the host's: its users and network.
#[derive(Parser)]
#[command(
    name = "step05-cgroups",
    after_help = "Example: step05-cgroups -m 64m --cpus 0.5 --pids-limit 20 rootfs sh"
)]
struct Args {
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

// ANCHOR: main
fn main() -> ExitCode {
    chroot::exit::report(limited(chroot::exit::parse()))
}

/// Makes the cgroup, and removes it again however the container's life goes.
fn limited(args: Args) -> Result<ExitCode> {
    let mut cgroup = Cgroup::create(&cgroups::unique_name()?)?;
    let ended = cgroup.limit(&args.limits).and_then(|()| container(args, &cgroup));
    cgroup.remove()?;
    Ok(ended?.into())
}

fn container(args: Args, cgroup: &Cgroup) -> Result<Exit> {
    let Args { hostname, init, view, rootfs, command, limits } = args;
    let view = View { cgroup: true, ..view };
    let birthplace = cgroup.birthplace()?;
    let born_in = birthplace.as_ref().map(AsFd::as_fd);
    let container = pid_ns::spawn_into(born_in, &[Uts, Ipc, Pid, Mount], || {
        cgroup.join()?;
        unshare::leave(&[Namespace::Cgroup])?; // after the join: this cgroup becomes its root
        unshare::set_hostname(&hostname)?;
        mount_ns::pivot_into(&rootfs, &view)?;
        if init {
            pid_ns::become_init()?;
        }
        chroot::exec(&command)
    })?;
    let exit = container.release()?.wait()?;

    let stats = cgroup.stats()?;
    eprintln!("{stats}");
    if let (137, 1.., Some(limit)) = (exit.code, stats.oom_kills, limits.memory) {
        eprintln!("killed by the kernel: out of memory (limit {limit})");
    }
    Ok(exit)
}
// ANCHOR_END: main
