//! A container with an init, in which three orphans end at the same moment, while init is stopped.
//!
//! So there is one SIGCHLD for all three, every time: signal(7), signals of one kind don't queue.

use std::convert::Infallible;
use std::io::{Read, pipe};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use unshare::Namespace;

fn main() -> ExitCode {
    chroot::exit::report(run())
}

/// What the container runs: three processes whose parent ends at once, each of which waits for the end of its input.
const SCRIPT: &str = "
    exec 3<&0
    (for orphan in 1 2 3; do { echo ready; read nothing <&3; } & done)
    exec sleep 1000
";

/// As a shell tells it: 128 and the signal's number.
const ENDED_BY_SIGTERM: u8 = 128 + Signal::SIGTERM as u8;

/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(2);

fn run() -> Result<ExitCode> {
    let (input, end) = pipe().context("make a pipe")?;
    let (mut ready, output) = pipe().context("make a pipe")?;
    let running = pid_ns::spawn(&[Namespace::Pid], || {
        pid_ns::become_init()?;
        // An exec keeps the mask, in which init's signals are.
        SigSet::all().thread_unblock().context("unblock signals")?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).stdin(input).stdout(output);
        Err::<Infallible, _>(shell.exec().into())
    })?
    .release()?;
    let init = running.pid();
    ready.read_exact(&mut [0; "ready\n".len() * 3]).context("wait for the orphans")?;

    running.signal(Signal::SIGSTOP)?;
    let stopped = wait_for(LONG, || state(init) == Some('T'));
    ensure!(stopped, "stop init: it goes on");
    drop(end);
    let ended = wait_for(LONG, || zombies(init) == 3);
    ensure!(ended, "end three orphans: init has {} zombies", zombies(init));
    running.signal(Signal::SIGCONT)?;
    // An init that doesn't reap them is given a moment to prove it.
    wait_for(Duration::from_millis(200), || zombies(init) == 0);
    let left = zombies(init);

    // Passed on, this ends the command, and init with it: unless an orphan has been taken for the command before.
    running.signal(Signal::SIGTERM)?;
    match running.wait()?.code {
        ENDED_BY_SIGTERM => println!("orphans that are still zombies: {left}"),
        _ => println!("init has ended before its child"),
    }
    Ok(ExitCode::SUCCESS)
}

/// How many of `parent`'s children have ended and not been waited for.
fn zombies(parent: Pid) -> usize {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| {
        stat(Pid::from_raw(pid)).is_some_and(|(state, of)| state == 'Z' && of == parent)
    })
    .count()
}

fn state(pid: Pid) -> Option<char> {
    stat(pid).map(|(state, _)| state)
}

/// A process's state and its parent: fields 3 and 4. See proc_pid_stat(5).
fn stat(pid: Pid) -> Option<(char, Pid)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, Pid::from_raw(fields.next()?.parse().ok()?)))
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
