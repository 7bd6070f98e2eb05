//! Step 3, the container so far: another root directory, own names, a process tree of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use unshare::Namespace::{Cgroup, Ipc, Pid, Uts};

/// Run a command in its own process tree, with another root directory and its own hostname and IPC.
///
/// Still the host's: its mounts, users, network and devices.
#[derive(Parser)]
#[command(name = "step03-pid-ns", after_help = "Example: step03-pid-ns rootfs ps")]
struct Args {
    /// The container's own hostname
    #[arg(long, default_value = "container", value_name = "NAME")]
    hostname: String,
    /// Put a small init in front of the command: it reaps orphans and passes signals on
    #[arg(long)]
    init: bool,
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

fn container(Args { hostname, init, rootfs, command }: Args) -> Result<ExitCode> {
    let container = pid_ns::spawn(&[Uts, Ipc, Cgroup, Pid], || {
        unshare::set_hostname(&hostname)?;
        pid_ns::mount_proc(&rootfs)?;
        chroot::enter(&rootfs)?;
        if init {
            pid_ns::become_init()?;
        }
        chroot::exec(&command)
    })?;
    let exit = container.release().and_then(|running| running.wait());
    pid_ns::unmount_proc(&rootfs);
    Ok(exit?.into())
}
// ANCHOR_END: main
