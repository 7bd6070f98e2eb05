//! Step 2, the container so far: another root directory, own names.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use unshare::Namespace::{Cgroup, Ipc, Time, Uts};

/// Run a command with another root directory and its own hostname, IPC objects, cgroup view and clock.
///
/// Still the host's: its processes, mounts, users, network and devices.
#[derive(Parser)]
#[command(
    name = "step02-unshare",
    after_help = "Example: step02-unshare --hostname box rootfs hostname"
)]
struct Args {
    /// The container's own hostname
    #[arg(long, default_value = "container", value_name = "NAME")]
    hostname: String,
    /// The container's own NIS domain name
    #[arg(long, default_value = "(none)", value_name = "NAME")]
    domainname: String,
    /// Shift the time since boot, as `uptime` shows it
    #[arg(long, default_value_t = 0, value_name = "SECONDS", allow_hyphen_values = true)]
    boottime: i64,
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
    unshare::leave(&[Uts, Ipc, Cgroup, Time])?;
    unshare::set_hostname(&args.hostname)?;
    unshare::set_domainname(&args.domainname)?;
    unshare::set_time_offsets(0, args.boottime)?;
    unshare::enter_time()?;
    chroot::enter(&args.rootfs)?;
    match chroot::exec(&args.command)? {}
}
// ANCHOR_END: main
