//! Step 6, the container so far: own names, a process tree of its own, a mount table of its own, limits, and its
//! own changes to a rootfs that many containers share.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cgroups::{Limits, Scope};
use clap::Parser;
use mount_ns::View;
use overlayfs::Overlay;
use unshare::Namespace::{self, Ipc, Mount, Pid, Uts};

/// Run a command on a rootfs that stays as it is: what the command writes goes to a layer of its own.
///
/// Still the host's: its users and network.
#[derive(Parser)]
#[command(
    name = "step06-overlayfs",
    after_help = "Example: step06-overlayfs --upper mine --diff rootfs sh -c 'rm /etc/group; touch /new'"
)]
struct Args {
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

// ANCHOR: main
fn main() -> ExitCode {
    chroot::exit::report(container(chroot::exit::parse()))
}

fn container(args: Args) -> Result<ExitCode> {
    let Args { upper, diff, limits, hostname, init, view, rootfs, command } = args;
    chroot::require_rootfs(&rootfs)?;
    // An absolute path, because `.` names what is below a mount made on it, not the mount.
    let rootfs = rootfs.canonicalize().context("open the rootfs")?;
    let layers = [rootfs.clone()];
    let kept = upper.map(|folder| Overlay::in_folder(&layers, &folder)).transpose()?;
    let cgroup = Scope::new(&limits)?;
    let view = View { cgroup: cgroup.exists(), ..view };

    let birthplace = cgroup.birthplace()?;
    let born_in = birthplace.as_ref().map(AsFd::as_fd);
    let container = pid_ns::spawn_into(born_in, &[Uts, Ipc, Pid, Mount], || {
        cgroup.join()?;
        unshare::leave(&[Namespace::Cgroup])?;
        unshare::set_hostname(&hostname)?;
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
    let exit = container.release()?.wait()?;

    if let (Some(overlay), true) = (kept, diff) {
        for change in overlayfs::changes(&overlay.lowers, &overlay.upper)? {
            println!("{change}");
        }
    }
    Ok(exit.into())
}
// ANCHOR_END: main
