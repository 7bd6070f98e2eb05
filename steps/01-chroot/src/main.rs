//! Step 1, the container so far: another root directory, and nothing else.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

// ANCHOR: args
/// Run a command with another root directory.
///
/// All else is still the host's: its processes, hostname, users, network and devices. Exit codes are Docker's:
/// the command's own, 126 if it can't be executed, 127 if it isn't there, 125 if this program itself failed.
#[derive(Parser)]
#[command(name = "step01-chroot", after_help = "Example: step01-chroot rootfs ls /")]
struct Args {
    /// The folder that becomes / (make one with rootfs-scripts/busybox.sh rootfs)
    rootfs: PathBuf,
    /// The command to run inside, with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}
// ANCHOR_END: args

// ANCHOR: main
fn main() -> ExitCode {
    chroot::exit::report(container(chroot::exit::parse()))
}

fn container(Args { rootfs, command }: Args) -> Result<ExitCode> {
    chroot::enter(&rootfs)?;
    match chroot::exec(&command)? {}
}
// ANCHOR_END: main
