//! keel: the command that people type.

mod args;
mod commands;
mod format;

use std::io;
use std::process::ExitCode;

use anyhow::{Error, Result};
use chroot::exit::{self, Coded};

use args::{Command, Keel};

// ANCHOR: main
fn main() -> ExitCode {
    let Keel { command } = exit::parse();
    // Only for `run` is 125 "keel itself failed": the other codes are the container's. As Docker.
    let is_run = matches!(command, Command::Run(_));
    let outcome = commands::execute(command);
    exit::report(if is_run { outcome } else { outcome.or_else(plain_failure) })
}
// ANCHOR_END: main

fn plain_failure(error: Error) -> Result<ExitCode> {
    // `keel images | head -1` is no failure.
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(closed) {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Coded { code: 1, message: exit::sentence(&error) }.into())
}
