//! Who sweeps up when nobody else can.
//!
//! A lab's namespaces vanish with its last process; its cgroup does not. So a lab starts a janitor
//! beside it: a process that waits at a pipe. When the lab's first process ends, in whatever way, its
//! end of the pipe closes, and the janitor removes the cgroup.

use std::io::{Read, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use cgroups::Cgroup;

use crate::prepare;

/// A janitor at work. Dropping it lets it sweep, and waits until it has.
#[derive(Debug)]
pub struct Janitor(Child);

impl Janitor {
    /// Hires one for the cgroup `name`.
    ///
    /// # Errors
    /// When its process can't be started.
    pub fn hire(name: &str) -> Result<Self> {
        let child = Command::new(prepare::bin_dir()?.join("workshop"))
            .args(["janitor", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A group of its own: Ctrl-C at the lab's terminal must not reach it.
            .process_group(0)
            .spawn()
            .context("start the lab's janitor")?;
        Ok(Janitor(child))
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // What it has to say it says on stderr.
        let _ = self.0.wait();
    }
}

/// The janitor's own life: wait until the pipe on stdin closes, then remove the cgroup `name`.
///
/// # Errors
/// When the cgroup can't be removed.
pub fn sweep_when_left(name: &str) -> Result<ExitCode> {
    // Nothing is ever written; any end of the wait, an error too, is the time to sweep.
    let _ = stdin().read(&mut [0]);
    let mut swept = sweep(name);
    // On a busy machine hundreds of processes take longer to die than one removal waits for.
    for _ in 1..TRIES {
        if swept.is_ok() {
            break;
        }
        swept = sweep(name);
    }
    swept.map(|()| ExitCode::SUCCESS)
}

/// How often it sweeps: each waits for five seconds, see [`Cgroup::remove`].
const TRIES: u32 = 12;

fn sweep(name: &str) -> Result<()> {
    let cgroup = Cgroup::open(name)?;
    cgroup.kill()?;
    cgroup.remove()
}
