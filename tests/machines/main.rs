//! The whole suite on other machines: virtual ones with other kernels and other cgroups, as root and as an ordinary user.
//!
//! `cargo test -p keel-tests --test machines` boots them, two at a time; a word after `--` chooses among them. The same
//! binary runs there as here, against the same snapshots. What each machine skipped, and why, is a snapshot itself, which
//! the book shows.

mod machine;
mod outcome;
#[path = "../exercises/proofs.rs"]
mod proofs;
#[path = "../harness/snapshot.rs"]
mod snapshot;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use machine::{MACHINES, Machine};
use outcome::Outcome;

/// What each machine told, in the order in which they ended.
type Outcomes = Arc<Mutex<Vec<(&'static Machine, Outcome)>>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each has one processor, which is emulated on one of the host's.
    arguments.test_threads.get_or_insert(2);
    let suite = match machine::prepare() {
        Ok(suite) => Arc::from(suite),
        Err(error) => {
            eprintln!("prepare the machines: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let outcomes = Outcomes::default();
    let trials = MACHINES.iter().map(|machine| trial(machine, &suite, &outcomes)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);

    // A mistyped name would otherwise look like success.
    if conclusion.num_filtered_out == MACHINES.len() as u64 {
        let names: Vec<&str> = MACHINES.iter().map(|machine| machine.name).collect();
        eprintln!("no machine was chosen: there are {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let outcomes = outcomes.lock().expect("no trial panics while it holds the lock");
    print!("{}", table::counts(&outcomes));
    conclusion.exit_code()
}

fn trial(machine: &'static Machine, suite: &Arc<Path>, outcomes: &Outcomes) -> Trial {
    let (suite, outcomes) = (Arc::clone(suite), Arc::clone(outcomes));
    Trial::test(machine.name, move || {
        let outcome = machine.run(&suite)?;
        outcomes.lock().expect("as above").push((machine, outcome.clone()));
        outcome.verdict().map_err(Failed::from)?;
        table::hold(machine, &outcome);
        Ok(())
    })
}
