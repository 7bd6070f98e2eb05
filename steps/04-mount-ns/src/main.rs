//! Step 4, the container so far: own names, a process tree of its own, a mount table of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use mount_ns::View;
use unshare::Namespace::{Cgroup, Ipc, Mount, Pid, Uts};

/// Run a command with its own mount table: the host's files are not in it.
///
/// Still the host's: its users, network and resources.
#[derive(Parser)]
#[command(
    name = "step04-mount-ns",
    after_help = "Example: step04-mount-ns --read-only --tmpfs /tmp:size=1m -v .:/here:ro rootfs mount"
)]
struct Args {
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
    let Args { hostname, init, view, rootfs, command } = args;
    let container = pid_ns::spawn(&[Uts, Ipc, Cgroup, Pid, Mount], || {
        unshare::set_hostname(&hostname)?;
        mount_ns::pivot_into(&rootfs, &view)?;
        if init {
            pid_ns::become_init()?;
        }
        chroot::exec(&command)
    })?;
    Ok(container.release()?.wait()?.into())
}
// ANCHOR_END: main
