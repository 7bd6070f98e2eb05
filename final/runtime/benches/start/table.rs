//! The result, as a table.

use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::contestant::Sample;
use crate::race::Timing;
use crate::{floor, keel};

/// The machine: its kernel, its processors, and how busy they are. A benchmark on a busy machine says
/// little.
pub fn conditions() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let processors = available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("Linux {}, {processors} processors, load {load} before the first round", kernel.trim())
}

/// Prints it.
pub fn print(conditions: &str, rounds: u32, timings: &[Timing], left_out: &[(String, String)]) {
    println!(
        "From start to end of a container that runs /bin/true. Rounds: {rounds}. {conditions}.\n"
    );
    println!(
        "{:<44} {:>6} {:>9} {:>9} {:>9} {:>7}",
        "", "cgroup", "median", "p90", "cpu", "x floor"
    );
    let median_of = |name| {
        let timing = timings.iter().find(|timing| timing.contestant.name == name)?;
        Some(timing.percentile(50, |sample| sample.wall))
    };
    let floor = median_of(floor::NAME);
    for timing in timings {
        let cgroup = match timing.contestant.cgroup {
            None => "",
            Some(true) => "yes",
            Some(false) => "no",
        };
        let median = timing.percentile(50, |sample| sample.wall);
        println!(
            "{:<44} {cgroup:>6} {:>9} {:>9} {:>9} {:>7}",
            timing.contestant.name,
            shown(median),
            shown(timing.percentile(90, |sample| sample.wall)),
            shown(timing.percentile(50, |sample| sample.cpu)),
            floor.map_or(String::new(), |floor| ratio(median, floor)),
        );
    }
    println!("\ncpu: the median of what its processes had of the processors, all together");
    if let (Some(step), Some(own)) = (median_of(keel::STEP_4), median_of(floor::NAME_OF_STEP_4)) {
        println!(
            "{} takes {} times its own floor, with the same mounts",
            keel::STEP_4,
            ratio(step, own)
        );
    }
    for (name, reason) in left_out {
        println!("left out: {name}: {reason}");
    }
}

impl Timing {
    fn percentile(&self, percent: usize, of: impl Fn(&Sample) -> Duration) -> Duration {
        let mut values: Vec<_> = self.samples.iter().map(of).collect();
        values.sort();
        let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
        values.get(index).copied().unwrap_or_default()
    }
}

fn shown(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

fn ratio(duration: Duration, floor: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() / floor.as_secs_f64())
}
