//! `xray PID`: draws what makes a process a container.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use nix::unistd::Pid;

/// Look at a process from outside: what it has for its own, and what is the host's.
///
/// Everything is read from /proc and /sys and compared with xray's own: what differs is the
/// process's. Your own processes need no root.
#[derive(Parser)]
#[command(name = "xray", after_help = "Example: xray $$    looks at your shell")]
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
    #[arg(value_name = "PID")]
    pid: i32,
}

fn main() -> ExitCode {
    chroot::exit::report(draw(Args::parse()))
}

fn draw(args: Args) -> Result<ExitCode> {
    let facts = xray::observe(Pid::from_raw(args.pid))?;
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
