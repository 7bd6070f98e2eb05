//! Runs lines in a fresh lab, as a reader would type them there.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use workshop::prepare;
use workshop::session::{Ended, Session};

use super::needs;
use super::redact::redact;

/// A transcript that takes longer hangs.
fn limit() -> Duration {
    Duration::from_secs(if needs::is_slow() { 300 } else { 60 })
}

/// Builds the binaries and makes the root filesystem.
pub(crate) fn prepare() -> Result<()> {
    prepare::build()?;
    prepare::rootfs()?;
    Ok(())
}

/// Runs `lines` in a fresh lab and returns them with what each printed, as a terminal would show it.
pub(crate) fn transcript(lines: &str) -> Result<String> {
    let commands = commands(lines);
    let output = sh(&driver(&commands))?;
    let mut shown = String::new();
    for (index, command) in commands.iter().enumerate() {
        let printed = between(&output, &marker(index), &marker(index + 1))
            .with_context(|| format!("the lab ended before '{command}':\n{output}"))?;
        shown += &format!("$ {command}\n{printed}");
        if !printed.is_empty() && !printed.ends_with('\n') {
            shown.push('\n');
        }
    }
    Ok(redact(&shown))
}

/// Runs a shell script in a fresh lab. Returns what it printed on both streams, in order.
pub(crate) fn sh(script: &str) -> Result<String> {
    match session().run(script)? {
        Ended::Itself(output) => Ok(output),
        Ended::Stopped(output) => bail!("hangs; so far:\n{output}"),
    }
}

/// A lab as tests use it.
pub(crate) fn session() -> Session {
    Session { programs: None, limited: false, limit: limit() }
}

/// The commands in a transcript: each starts with `$ `, and goes on in lines that start with `> `.
fn commands(lines: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match (line.strip_prefix("$ "), line.strip_prefix("> "), commands.last_mut()) {
            (Some(command), _, _) => commands.push(command.to_owned()),
            (None, Some(more), Some(last)) => *last += &format!("\n> {more}"),
            _ => panic!("a transcript's line starts with '$ ' or '> ': {line}"),
        }
    }
    commands
}

/// A script that runs the commands in one shell, with a marker before each; `$?` carries over.
fn driver(commands: &[String]) -> String {
    let mut script = String::from("exec 2>&1\n__status=0\n");
    for (index, command) in commands.iter().enumerate() {
        let command = command.replace("\n> ", "\n").replace('\'', "'\\''");
        script += &format!(
            "printf '%s' '{}'\n(exit $__status)\neval '{command}'\n__status=$?\n",
            marker(index)
        );
    }
    script + &format!("printf '%s' '{}'\n", marker(commands.len()))
}

/// Something that no command prints.
fn marker(index: usize) -> String {
    format!("\u{1}{index}\u{1}")
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let start = text.find(from)? + from.len();
    let length = text[start..].find(to)?;
    Some(&text[start..start + length])
}
