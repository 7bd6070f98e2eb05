//! `cargo workshop`: what stands around the steps for those who work through them.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use workshop::doctor::{self, Tell};
#[cfg(target_os = "linux")]
use workshop::{guest, janitor, lab, prepare, tour};

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
        /// Do it in a throw-away virtual machine (needs QEMU, not root)
        #[arg(long)]
        vm: bool,
    },
    /// Open a shell in throw-away namespaces, or run one command there
    ///
    /// The lab has its own mounts, network, processes, hostname, IPC and cgroup, and for a user who isn't root a user
    /// namespace too. The host's files are visible but read-only; /lab is yours. When the shell ends, everything in it is gone.
    Lab {
        /// Don't build the steps first: use what is there
        #[arg(long, hide = true)]
        no_build: bool,
        /// Open it in a throw-away virtual machine (needs QEMU, not root)
        #[arg(long)]
        vm: bool,
        /// The command, with its arguments (default: a shell)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Say what works on this machine, which chapters need what doesn't, and how to mend it
    ///
    /// It tries, in throw-away namespaces, what the chapters will do. The exit code is 0 if all that is needed works, else 1.
    Doctor {
        /// Print one line that can be pasted into a question: no host's, user's or folder's name is in it
        #[arg(long)]
        report: bool,
        /// Print everything that was seen and found as JSON
        #[arg(long, conflicts_with = "report")]
        json: bool,
    },
    /// Sweep up after a lab whose first process was killed
    #[command(hide = true)]
    Janitor {
        /// The lab's cgroup
        cgroup: String,
    },
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    chroot::exit::report(run(Args::parse().command))
}

/// On another system: the doctor says what to do, and so does every other command.
#[cfg(not(target_os = "linux"))]
fn main() -> Result<ExitCode> {
    match Args::parse().command {
        Command::Doctor { report, json } => doctor::examine(tell(report, json)),
        _ => anyhow::bail!("this needs Linux: 'cargo workshop doctor' tells how to get one"),
    }
}

fn tell(report: bool, json: bool) -> Tell {
    match (report, json) {
        (true, _) => Tell::Report,
        (_, true) => Tell::Json,
        _ => Tell::People,
    }
}

#[cfg(target_os = "linux")]
fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Tour { pause, vm } => {
            prepare::build()?;
            match (vm, pause) {
                (false, _) => tour::walk(pause),
                (true, false) => guest::run(&["tour"]),
                (true, true) => guest::run(&["tour", "--pause"]),
            }
        }
        Command::Lab { no_build, vm, command } => {
            if !no_build {
                prepare::build()?;
            }
            if vm {
                return guest::lab(&command);
            }
            Ok(lab::Lab::new(prepare::rootfs()?, command).run()?.into())
        }
        Command::Doctor { report, json } => doctor::examine(tell(report, json)),
        Command::Janitor { cgroup } => janitor::sweep_when_left(&cgroup),
    }
}
