//! Looking at a container that is started for that purpose.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;

use crate::{Facts, observe};

// ANCHOR: watch
/// Starts `command`, which must end in a container's `cat`, and looks at that `cat`.
///
/// The word that is sent through it and comes back proves that the container's process has become
/// its command: nothing is left to time. Closing its standard input then ends it.
///
/// # Errors
/// When the command can't be started, or ends without passing the word on.
pub fn watch(command: &[String]) -> Result<Facts> {
    let shown = command.join(" ");
    let (program, args) = command.split_first().context("no command to look at")?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program}"))?;

    let mut stdin = child.stdin.take().context("the command's standard input")?;
    let stdout = child.stdout.take().context("the command's standard output")?;
    let mut answer = String::new();
    // A command that has ended can't read; that it hasn't answered says enough.
    let _ = stdin.write_all(b"here\n");
    BufReader::new(stdout).read_line(&mut answer).context("read from the command")?;
    let facts = if answer == "here\n" { Some(observe(innermost(child.id()))) } else { None };

    drop(stdin);
    let status = child.wait().context("wait for the command")?;
    ensure!(facts.is_some(), "'{shown}' must end in 'cat', and pass on what it reads ({status})");
    facts.expect("checked above").with_context(|| format!("look at '{shown}'"))
}
// ANCHOR_END: watch

/// The last in the line of first-born children from `pid` on.
fn innermost(pid: u32) -> Pid {
    let mut pid = pid as i32;
    while let Some(child) = first_child(pid) {
        pid = child;
    }
    Pid::from_raw(pid)
}

/// proc_pid_task(5), `children`.
fn first_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
