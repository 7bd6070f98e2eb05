//! A script in a fresh lab, with everything that it prints, and an end to it.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::prepare;

/// A lab in which a script is to run.
#[derive(Debug, Clone)]
pub struct Session {
    /// Programs that come before the steps' own, each in this folder under its name.
    pub programs: Option<PathBuf>,
    /// Whether what it can use up is limited: for programs that nobody has looked at.
    pub limited: bool,
    /// After this it is stopped.
    pub limit: Duration,
}

/// How a script ended, and what it printed on both streams, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Itself(String),
    /// It was stopped when its time was over.
    Stopped(String),
}

/// More than this of what a script prints is thrown away.
const ENOUGH: usize = 1 << 20;

impl Session {
    /// Runs a shell script in a fresh lab, in its folder.
    ///
    /// # Errors
    /// When the lab can't be started.
    pub fn run(&self, script: &str) -> Result<Ended> {
        let workshop = prepare::bin_dir()?.join("workshop");
        let (mut reader, writer) = std::io::pipe().context("make a pipe")?;
        let mut lab = Command::new(workshop);
        lab.args(["lab", "--no-build"]);
        if self.limited {
            lab.arg("--limited");
        }
        if let Some(programs) = &self.programs {
            lab.args([OsStr::new("--programs"), programs.as_os_str()]);
        }
        let mut child = lab
            .args(["sh", "-c", script])
            .env("TERM", "dumb")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("copy a pipe's end")?)
            .stderr(writer)
            .spawn()
            .context("start the lab")?;
        // The command holds our copies of the pipe's end: without this its end would never be seen.
        drop(lab);

        let end = Instant::now() + self.limit;
        let mut output = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut fds, PollTimeout::try_from(left)?).context("wait for the lab")?;
            if ready == 0 || left.is_zero() {
                // SIGKILL to the lab's first process ends all of it.
                kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).context("stop the lab")?;
                child.wait().context("wait for the lab")?;
                return Ok(Ended::Stopped(text(&output)));
            }
            match reader.read(&mut buffer).context("read what the lab prints")? {
                // The lab's first shell may have closed its output, and go on.
                0 if ready_within(&child, left)? => break,
                0 => {}
                n if output.len() < ENOUGH => output.extend(&buffer[..n]),
                _ => {}
            }
        }
        child.wait().context("wait for the lab")?;
        Ok(Ended::Itself(text(&output)))
    }
}

/// Waits until the process has ended, or the time is over. True if it has ended. See pidfd_open(2).
fn ready_within(child: &Child, limit: Duration) -> Result<bool> {
    let pidfd = pidfd_open(rustix::process::Pid::from_child(child), PidfdFlags::empty())
        .context("watch the lab")?;
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, PollTimeout::try_from(limit)?).context("wait for the lab")? > 0)
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}
