//! Runs a command in a cgroup, which it may leave in any state, and removes that cgroup.
//!
//! `leave-behind [--twice] COMMAND…`; with `--twice` somebody else has removed it already.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cgroups::Cgroup;

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let mut command: Vec<String> = env::args().skip(1).collect();
    let twice = command.first().is_some_and(|word| word == "--twice");
    if twice {
        command.remove(0);
    }
    command.first().context("usage: leave-behind [--twice] COMMAND…")?;

    let name = cgroups::unique_name()?;
    let cgroup = Cgroup::create(&name)?;
    let held = pid_ns::spawn(&[], || {
        cgroup.join()?;
        chroot::exec(&command)
    })?;
    held.release()?.wait()?;
    if twice {
        Cgroup::open(&name)?.remove()?;
    }
    match cgroup.remove() {
        Ok(()) => println!("removed"),
        // Without the folder, which is another one on each machine.
        Err(error) => println!("not removed: {}", error.root_cause()),
    }
    Ok(ExitCode::SUCCESS)
}
