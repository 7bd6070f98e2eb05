//! Spawns a child and looks at it where the step's own binary has no time to: at the gate.
//!
//! `gate hold` lets it wait, then releases it; `gate close` closes the gate without a word; `gate panic` releases one whose
//! set-up panics, and looks at what is left of it.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs, mem, panic, thread};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use pid_ns::Held;
use unshare::Namespace;

/// What the child writes when its set-up runs.
const TRACE: &str = "trace-of-the-set-up";

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let doing = env::args().nth(1);
    match doing.as_deref() {
        Some("hold") => hold(spawn(set_up)?)?,
        Some("close") => close(spawn(set_up)?)?,
        Some("panic") => {
            // Its message would name a line of this file.
            panic::set_hook(Box::new(|_| {}));
            let running = spawn(|| panic!("on purpose"))?.release();
            println!("release: {}", if running.is_ok() { "all is well" } else { "an error" });
            drop(running);
            // wait(2): this flag finds children of every kind.
            let left = waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
            let left = if left == Err(Errno::ECHILD) { "nothing" } else { "a zombie" };
            println!("left of the child: {left}");
        }
        _ => bail!("usage: gate hold|close|panic"),
    }
    Ok(ExitCode::SUCCESS)
}

fn spawn(body: fn() -> Result<Infallible>) -> Result<Held> {
    pid_ns::spawn(&[Namespace::Pid], body)
}

/// The container's set-up: it leaves a trace, and becomes a program that waits.
fn set_up() -> Result<Infallible> {
    fs::write(TRACE, "").context("leave a trace")?;
    Err(Command::new("sleep").arg("1000").exec().into())
}

fn hold(held: Held) -> Result<()> {
    // What must not happen takes some time to be sure of.
    wait_for(Duration::from_millis(50), has_run);
    println!("before the release: the set-up {}", words());
    if has_run() {
        return Ok(());
    }
    let running = held.release()?;
    println!("after the release: the set-up {}", words());
    // Dropping it kills the child.
    drop(running);
    Ok(())
}

fn close(held: Held) -> Result<()> {
    let child = held.pid();
    // The pipes' ends are private, and what `held` does to the child when it is dropped is not wanted here.
    mem::forget(held);
    // SAFETY: nothing that runs after this uses a descriptor opened before it.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    let ended = || waitpid(child, Some(WaitPidFlag::WNOHANG)) != Ok(WaitStatus::StillAlive);
    let over = wait_for(Duration::from_secs(1), || has_run() || ended());
    println!(
        "after the gate has closed: the child {}",
        if over { "waits no longer" } else { "waits on" }
    );
    println!("after the gate has closed: the set-up {}", words());
    Ok(())
}

fn words() -> &'static str {
    if has_run() { "has run" } else { "has not run" }
}

fn has_run() -> bool {
    fs::exists(TRACE).unwrap_or(false)
}

/// Waits until `it` is so; false if it still isn't when the time is over.
fn wait_for(time: Duration, it: impl Fn() -> bool) -> bool {
    let end = Instant::now() + time;
    while !it() {
        if Instant::now() > end {
            return false;
        }
        thread::yield_now();
    }
    true
}
