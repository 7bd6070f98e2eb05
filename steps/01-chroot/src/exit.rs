//! How a container's program ends: exit codes as Docker's, and an error as one sentence.

use std::fmt;
use std::io;
use std::process::ExitCode;

use anyhow::{Error, Result};
use nix::errno::Errno;
use nix::unistd::geteuid;

/// The engine itself failed; the command was never reached.
pub const ENGINE_FAILED: u8 = 125;
/// The command was found but can't be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
pub const NOT_FOUND: u8 = 127;

// ANCHOR: coded
/// An error that decides the exit code.
#[derive(Debug, Clone)]
pub struct Coded {
    /// The exit code: 125, 126 or 127.
    pub code: u8,
    /// The whole error, as a sentence.
    pub message: String,
}
// ANCHOR_END: coded

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Coded {}

// ANCHOR: parse
/// Reads the command line. A mistake in it ends the program with 125, as `docker run` does; help that
/// was asked for, with 0.
pub fn parse<Args: clap::Parser>() -> Args {
    Args::try_parse().unwrap_or_else(|error| {
        // With its output closed there is nothing better to do than to end.
        let _ = error.print();
        std::process::exit(if error.use_stderr() { ENGINE_FAILED.into() } else { 0 })
    })
}
// ANCHOR_END: parse

// ANCHOR: report
/// Ends a binary's `main`: prints an error on stderr, after the program's name, and turns it into
/// its exit code.
pub fn report(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("{}: {}", program_name(), sentence(&error));
        ExitCode::from(code(&error))
    })
}
// ANCHOR_END: report

/// The exit code for `error`: the one that a [`Coded`] in its chain names, else 125.
pub fn code(error: &Error) -> u8 {
    error.chain().find_map(|cause| cause.downcast_ref::<Coded>()).map_or(ENGINE_FAILED, |c| c.code)
}

/// `error` and its causes as one line: "mount /proc: Operation not permitted (needs root: …)".
pub fn sentence(error: &Error) -> String {
    let parts: Vec<String> = error.chain().map(cause_text).collect();
    let needs_root =
        error.chain().any(|cause| errno(cause) == Some(Errno::EPERM)) && !geteuid().is_root();
    let hint =
        if needs_root { " (needs root: run it in 'cargo workshop lab', or with sudo)" } else { "" };
    parts.join(": ") + hint
}

/// The system's errors print as their plain description, without a number or a symbol.
fn cause_text(cause: &(dyn std::error::Error + 'static)) -> String {
    errno(cause).map_or_else(|| cause.to_string(), |errno| errno.desc().to_owned())
}

fn errno(cause: &(dyn std::error::Error + 'static)) -> Option<Errno> {
    let from_io = || cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw);
    cause.downcast_ref::<Errno>().copied().or_else(from_io)
}

fn program_name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_chain_reads_as_a_sentence() {
        let error =
            Err::<(), _>(Errno::ENOENT).context("mount /proc").context("start web").unwrap_err();
        assert_eq!(sentence(&error), "start web: mount /proc: No such file or directory");

        let error =
            Err::<(), _>(io::Error::from_raw_os_error(20)).context("open rootfs").unwrap_err();
        assert_eq!(sentence(&error), "open rootfs: Not a directory");
    }

    #[test]
    fn a_coded_error_keeps_its_code_under_any_context() {
        let coded = Coded { code: NOT_FOUND, message: "nope: no such command".to_owned() };
        assert_eq!(code(&Error::from(coded).context("start web")), 127);
        assert_eq!(code(&anyhow::anyhow!("anything else")), 125);
    }
}
