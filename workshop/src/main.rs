//! `cargo workshop`: what stands around the steps for those who work through them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use workshop::doctor::{self, Tell};
#[cfg(target_os = "linux")]
use workshop::exercises::{self, Workshop};
#[cfg(target_os = "linux")]
use workshop::{guest, janitor, lab, prepare, tour};

/// Work through Keel: a lab to try things in, a tour of all steps, exercises, a doctor for your machine.
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
        /// Limit memory, processes and files, for a program that may run wild
        #[arg(long, hide = true)]
        limited: bool,
        /// Programs that come before the steps' own
        #[arg(long, hide = true, value_name = "FOLDER")]
        programs: Option<PathBuf>,
        /// With your own program of this exercise in place of the reference's
        #[arg(long, value_name = "ID", conflicts_with_all = ["mine", "vm"])]
        exercise: Option<String>,
        /// With your own keel and steps: 'cargo workshop engine' builds them
        #[arg(long, conflicts_with = "vm")]
        mine: bool,
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
    /// Show all exercises, and what is solved
    List,
    /// Hand out an exercise: a crate in exercises/ with a body to write. What is there is never overwritten
    Start {
        /// Like 03 or 03-init
        id: String,
    },
    /// Build and judge an exercise. The exit code is 0 if it is solved, 1 if not, 3 if this machine can't tell
    Check {
        /// Like 03 or 03-init (default: the last one)
        id: Option<String>,
        /// Show all that was typed, and what was printed as a diff to what was expected
        #[arg(long)]
        raw: bool,
    },
    /// Check at every save
    Watch {
        /// Like 03 or 03-init (default: the last one)
        id: Option<String>,
    },
    /// Show the next hint
    Hint {
        /// Like 03 or 03-init (default: the last one)
        id: Option<String>,
    },
    /// Show the reference as a diff to yours; asks first if yours isn't solved
    Solution {
        /// Like 03 or 03-init (default: the last one)
        id: Option<String>,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Start an exercise again. The old attempt is kept in exercises/old/
    Reset {
        /// Like 03 or 03-init (default: the last one)
        id: Option<String>,
    },
    /// Build keel with every step that you have solved in place of the reference
    Engine,
    /// Show what is solved
    Progress {
        /// As JSON, for an instructor's wall
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
        Command::Lab { no_build, vm, limited, programs, exercise, mine, command } => {
            let programs = match (exercise, mine) {
                (Some(id), _) => Some(Workshop::open()?.programs(&id)?),
                (None, true) => Some(exercises::engine::programs(&Workshop::open()?)?),
                (None, false) => programs,
            };
            if !no_build {
                prepare::build()?;
            }
            if vm {
                return guest::lab(&command);
            }
            let lab = lab::Lab::new(prepare::rootfs()?, command);
            Ok(lab.with_programs(programs).limited(limited).run()?.into())
        }
        Command::List | Command::Progress { json: false } => {
            exercises::tell::say(exercises::tell::list(&Workshop::open()?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Progress { json: true } => {
            exercises::tell::say(exercises::tell::json(&Workshop::open()?)? + "\n");
            Ok(ExitCode::SUCCESS)
        }
        Command::Start { id } => {
            let workshop = Workshop::open()?;
            workshop.start(workshop.choose(Some(&id))?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { id, raw } => {
            let workshop = Workshop::open()?;
            workshop.check(workshop.choose(id.as_deref())?, raw)
        }
        Command::Watch { id } => {
            let workshop = Workshop::open()?;
            exercises::watch::watch(&workshop, workshop.choose(id.as_deref())?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Hint { id } => {
            let workshop = Workshop::open()?;
            exercises::tell::say(workshop.hint(workshop.choose(id.as_deref())?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Solution { id, yes } => {
            let workshop = Workshop::open()?;
            let exercise = workshop.choose(id.as_deref())?;
            exercises::tell::say(exercises::solution::show(&workshop, exercise, yes)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Reset { id } => {
            let workshop = Workshop::open()?;
            workshop.reset(workshop.choose(id.as_deref())?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Engine => {
            let engine = exercises::engine::build(&Workshop::open()?)?;
            exercises::tell::say(exercises::engine::words(&engine));
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { report, json } => doctor::examine(tell(report, json)),
        Command::Janitor { cgroup } => janitor::sweep_when_left(&cgroup),
    }
}
