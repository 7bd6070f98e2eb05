//! Step 6, the container so far: own names, an own process tree, an own mount table, limits, and its
//! own changes to a rootfs that many containers share.

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

// ANCHOR: args
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
    let mut cgroup = Cgroup::create(&format!("step06-{}", process::id()))?;
    let ended = cgroup.limit(&args.limits).and_then(|()| container(args, Some(&cgroup), kept));
    cgroup.remove()?;
    ended
}

fn container(args: Args, cgroup: Option<&Cgroup>, kept: Option<&Overlay>) -> Result<Exit> {
    let Args { hostname, init, volumes, tmpfs, read_only, rootfs, command, .. } = args;
    let view = View { volumes, tmpfs, read_only, cgroup: cgroup.is_some(), ..View::default() };
    let container = pid_ns::spawn(&[Uts, Ipc, Pid, Mount], || {
        cgroup.map_or(Ok(()), Cgroup::join)?;
        unshare::leave(&[Namespace::Cgroup])?; // after the join: this cgroup becomes its root
        unshare::set_hostname(&hostname)?;

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
    let exit = container.release()?.wait()?;

    if let Some(cgroup) = cgroup {
        eprintln!("{}", cgroup.stats()?);
    }
    Ok(exit)
}
// ANCHOR_END: main
