//! `cargo workshop`: what stands around the steps for those who work through them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use workshop::{doctor, janitor, lab, prepare, tour};

/// Work through Keel: a lab to try things in, a tour of all steps, a doctor for your machine.
#[derive(Parser)]
#[command(name = "cargo workshop", bin_name = "cargo workshop")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Walk through all the steps: what each adds, shown by running it
    Tour {
        /// Wait for Enter between the steps
        #[arg(long)]
        pause: bool,
    },
    /// Open a shell in throw-away namespaces, or run one command there
    ///
    /// The lab has its own mounts, network, processes, hostname, IPC and cgroup, and for a user who isn't root a user
    /// namespace too. The host's files are visible but read-only; /lab is yours. When the shell ends, everything in it is gone.
    Lab {
        /// Don't build the steps first: use what is there
        #[arg(long, hide = true)]
        no_build: bool,
        /// The command, with its arguments (default: a shell)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Say what works on this machine, which chapters need what doesn't, and how to mend it
    Doctor {
        /// Print every probe as JSON
        #[arg(long)]
        json: bool,
    },
    /// Sweep up after a lab whose first process was killed
    #[command(hide = true)]
    Janitor {
        /// The lab's cgroup
        cgroup: String,
    },
}

fn main() -> ExitCode {
    chroot::exit::report(run(Args::parse().command))
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Tour { pause } => tour::walk(pause),
        Command::Lab { no_build, command } => {
            let rootfs: PathBuf = prepare::rootfs()?;
            if !no_build {
                prepare::build()?;
            }
            Ok(lab::Lab::new(rootfs, command).run()?.into())
        }
        Command::Doctor { json } => doctor::examine(json),
        Command::Janitor { cgroup } => janitor::sweep_when_left(&cgroup),
    }
}
