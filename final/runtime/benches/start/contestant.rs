//! Something that starts a container, and how long it takes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::floor::Floor;
use crate::hybrid::World;

/// One of those that are measured.
pub struct Contestant {
    /// What the table calls it.
    pub name: &'static str,
    /// Whether its container has a cgroup, where that can be chosen.
    pub cgroup: Option<bool>,
    /// What is run.
    pub start: Start,
}

/// How a contestant is run.
pub enum Start {
    /// As a program.
    Program(Call),
    /// By this process itself.
    Here(Floor),
}

/// A program with its arguments.
pub struct Call {
    /// The words of the command line.
    pub words: Vec<String>,
    /// The working directory.
    pub folder: PathBuf,
    /// Another mount namespace to be run in.
    pub world: Option<Arc<World>>,
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// From before its start until after its end.
    pub wall: Duration,
    /// The time for which it, and the processes that it waited for, had a processor.
    pub cpu: Duration,
}

impl Contestant {
    /// Its name, also as one of two.
    pub fn title(&self) -> String {
        match self.cgroup {
            None => self.name.trim().to_owned(),
            Some(true) => format!("{} with a cgroup", self.name),
            Some(false) => format!("{} without a cgroup", self.name),
        }
    }

    /// Runs it once.
    ///
    /// # Errors
    /// When it fails: with what it has to say.
    pub fn run(&self) -> Result<Sample> {
        match &self.start {
            Start::Program(call) => match &call.world {
                Some(world) => world.within(|| call.run()),
                None => call.run(),
            },
            // It leaves the namespaces that it is in, which a thread can do alone.
            Start::Here(floor) => measure(|| in_thread(|| floor.run())),
        }
    }
}

impl Call {
    fn run(&self) -> Result<Sample> {
        let [program, args @ ..] = self.words.as_slice() else { bail!("nothing to run") };
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder);
        // What it says goes to a pipe that is read once it has ended: it is a line at most.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        measure(|| {
            let output = command.output().with_context(|| format!("start {program}"))?;
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} ({})", said.lines().last().unwrap_or("it fails").trim(), output.status)
        })
    }
}

/// Runs `work` in a thread of its own.
pub fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn measure(work: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let (cpu, clock) = (cpu_time()?, Instant::now());
    work()?;
    Ok(Sample { wall: clock.elapsed(), cpu: cpu_time()?.saturating_sub(cpu) })
}

/// What this process and its descendants, as far as they have been waited for, have used. See getrusage(2).
fn cpu_time() -> Result<Duration> {
    let time = |time: TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
    let sum = |usage: Usage| time(usage.user_time()) + time(usage.system_time());
    let own = getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?;
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    Ok(sum(own) + sum(children))
}
