//! Sets the offsets of a new time namespace, enters it, and says how far that moves the process's clocks.
//!
//! `clocks MONOTONIC BOOTTIME` looks before any fork or exec: a child, or since Linux 6.2 a program, would be in the namespace
//! in any case. With `--threads` before the numbers the process has a second thread when it asks to enter.

use std::env;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use unshare::Namespace::Time;

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let mut words: Vec<String> = env::args().skip(1).collect();
    let threads = words.first().is_some_and(|word| word == "--threads");
    if threads {
        words.remove(0);
    }
    let [monotonic, boottime] = words.as_slice() else {
        anyhow::bail!("usage: clocks [--threads] MONOTONIC BOOTTIME");
    };

    if threads {
        // It lives until the process ends. Linux 6.1 starts none between unshare and setns.
        thread::spawn(thread::park);
    }
    let before = Clocks::now()?;
    unshare::leave(&[Time])?;
    unshare::set_time_offsets(monotonic.parse()?, boottime.parse()?)?;
    unshare::enter_time()?;
    let after = Clocks::now()?;

    // What has passed meanwhile is no shift.
    let passed = after.real - before.real;
    let shift = |before: f64, after: f64| (after - before - passed).round() as i64;
    println!("monotonic clock: shifted by {} s", shift(before.monotonic, after.monotonic));
    println!("boot-time clock: shifted by {} s", shift(before.boottime, after.boottime));
    Ok(ExitCode::SUCCESS)
}

/// What the calling process's clocks say, in seconds.
struct Clocks {
    real: f64,
    monotonic: f64,
    boottime: f64,
}

impl Clocks {
    fn now() -> Result<Clocks> {
        let read = |clock| -> Result<f64> {
            let time = clock_gettime(clock).context("read a clock")?;
            Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
        };
        Ok(Clocks {
            real: read(ClockId::CLOCK_REALTIME)?,
            monotonic: read(ClockId::CLOCK_MONOTONIC)?,
            boottime: read(ClockId::CLOCK_BOOTTIME)?,
        })
    }
}
