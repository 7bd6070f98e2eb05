//! `xray PID`: draws what makes a process a container. `xray -- COMMAND` starts one to look at.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use nix::unistd::Pid;

/// Look at a process from outside: what it has for its own, and what is the host's.
///
/// Everything is read from /proc and /sys and compared with xray's own: what differs is the
/// process's. Your own processes need no root.
#[derive(Parser)]
#[command(
    name = "xray",
    after_help = "Examples: xray $$    looks at your shell\n          xray -- step03-pid-ns rootfs cat    looks at a container"
)]
struct Args {
    /// Print JSON, with every fact there is
    #[arg(long)]
    json: bool,
    /// Leave out what changes from run to run: pids, inodes, addresses, what is used
    #[arg(long, conflicts_with = "own")]
    normal: bool,
    /// Print only what is the process's own, in a few lines
    #[arg(long, conflicts_with = "json")]
    own: bool,
    /// The process to look at, as `ps` shows it here
    #[arg(value_name = "PID", required_unless_present = "command", conflicts_with = "command")]
    pid: Option<i32>,
    /// Start this and look at the container in it, whose own command must be `cat`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn main() -> ExitCode {
    chroot::exit::report(draw(Args::parse()))
}

fn draw(args: Args) -> Result<ExitCode> {
    let facts = match args.pid {
        Some(pid) => xray::observe(Pid::from_raw(pid))?,
        None => xray::watch(&args.command)?,
    };
    let text = match (args.json, args.normal, args.own) {
        (true, true, _) => json(&facts.normal())?,
        (true, false, _) => json(&facts)?,
        (false, true, _) => facts.normal().to_string(),
        (false, false, true) => facts.own().to_string(),
        (false, false, false) => facts.to_string(),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn json(facts: &impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(facts)? + "\n")
}

/// `xray 1 | head` closes the pipe early, and that is no error.
fn print(text: &str) -> Result<()> {
    use std::io::{ErrorKind::BrokenPipe, Write, stdout};
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != BrokenPipe => Err(error).context("write to the terminal"),
        _ => Ok(()),
    }
}
