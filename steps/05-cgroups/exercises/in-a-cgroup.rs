//! Runs a command in a cgroup that it joins by itself. On version 2 the step's own container is born there, which hides what
//! `join` does.
//!
//! `in-a-cgroup [--gone] COMMAND…`; with `--gone` the cgroup is removed before the command can join it.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cgroups::{Cgroup, Count, Limits, Max};
use pid_ns::Exit;

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let mut command: Vec<String> = env::args().skip(1).collect();
    let gone = command.first().is_some_and(|word| word == "--gone");
    if gone {
        command.remove(0);
    }
    command.first().context("usage: in-a-cgroup [--gone] COMMAND…")?;

    let name = cgroups::unique_name()?;
    let mut cgroup = Cgroup::create(&name)?;
    let ended = limited(&mut cgroup, &command, gone.then_some(&name));
    cgroup.remove()?;
    Ok(ended?.into())
}

fn limited(cgroup: &mut Cgroup, command: &[String], removed: Option<&String>) -> Result<Exit> {
    cgroup.limit(&Limits { pids: Some(Max::At(Count(20))), ..Limits::default() })?;
    let held = pid_ns::spawn(&[], || {
        cgroup.join()?;
        chroot::exec(command)
    })?;
    if let Some(name) = removed {
        Cgroup::open(name)?.remove()?;
    }
    held.release()?.wait()
}
