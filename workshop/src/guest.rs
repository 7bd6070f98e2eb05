//! The guest: a throw-away virtual machine in which the lab always works, for who can't have one on the machine itself.
//!
//! rootfs-scripts/vm-run.sh makes it and boots it. It sees the repository at its own path, so the programs that were
//! built here run there, on another kernel, with all of its cgroups, and nothing that happens in it stays.

use std::io::{IsTerminal, stdin, stdout};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::prepare::{self, repository};

/// A machine to boot.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// The Debian release whose kernel it runs: `VM_KERNEL` of rootfs-scripts/vm-build.sh.
    pub kernel: &'static str,
    /// How cgroups are mounted: `v2`, `v1` or `hybrid`.
    pub cgroups: &'static str,
    /// Whether the command runs as an ordinary user, with a cgroup of its own, instead of root.
    pub ordinary_user: bool,
    /// The time after which it is stopped.
    pub seconds: u32,
    /// Whether the command has this process's terminal; otherwise it has no input.
    pub terminal: bool,
}

impl Default for Guest {
    fn default() -> Self {
        Guest {
            kernel: "trixie",
            cgroups: "v2",
            ordinary_user: false,
            seconds: 24 * 3600,
            terminal: false,
        }
    }
}

impl Guest {
    /// What boots it and runs `words` in it. The exit status is theirs; others are vm-run.sh's, see its `--help`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(repository().join("rootfs-scripts/vm-run.sh"));
        command.args(["-k", self.kernel, "-c", self.cgroups, "-t", &self.seconds.to_string()]);
        if self.ordinary_user {
            command.arg("-u");
        }
        if self.terminal {
            command.arg("-i");
        }
        command.arg("--").args(words);
        // There is no Cargo in there.
        command.env("KEEL_PREBUILT", "1").env_remove("RUST_BACKTRACE");
        command
    }
}

/// A lab in a guest: runs `command` in it, a shell if that is empty.
///
/// # Errors
/// As [`run`]; and when there is no terminal for the shell.
pub fn lab(command: &[String]) -> Result<ExitCode> {
    ensure!(
        !command.is_empty() || has_terminal(),
        "a shell in the virtual machine needs a terminal: name a command"
    );
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    run(&[&["lab", "--no-build", "--"], command.as_slice()].concat())
}

/// Boots a guest and runs this program in it with the arguments `words`, at this terminal if there is one.
///
/// # Errors
/// When this program stands where the guest doesn't see it, or there is no root filesystem.
pub fn run(words: &[&str]) -> Result<ExitCode> {
    let bin = prepare::bin_dir()?;
    ensure!(
        bin.starts_with(repository()),
        "the virtual machine sees {} only, and this program is in {}: unset CARGO_TARGET_DIR",
        repository().display(),
        bin.display()
    );
    prepare::rootfs()?;
    let program = bin.join("workshop").display().to_string();
    let words = [&[program.as_str()], words].concat();
    let status = Guest { terminal: has_terminal(), ..Guest::default() }.command(&words).status();
    let status = status.context("start rootfs-scripts/vm-run.sh")?;
    Ok(ExitCode::from(status.code().map_or(1, |code| code as u8)))
}

/// Whether somebody sits there: a shell needs both ends.
fn has_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}
