//! The outcomes as tables: one for who ran it, with numbers, and one for the book, without what changes
//! with every new test.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::machine::{MACHINES, Machine};
use crate::outcome::Outcome;
use crate::snapshot;

/// Machine, tests passed, failed and skipped, and the time, in a line each.
pub(crate) fn counts(outcomes: &[(&'static Machine, Outcome)]) -> String {
    let mut text = format!(
        "{:24} {:18} {:>6} {:>6} {:>7}  time\n",
        "machine", "Linux", "passed", "failed", "skipped"
    );
    for (machine, outcome) in in_order(outcomes) {
        let Outcome { kernel, passed, failed, skipped, took, .. } = outcome;
        let (failed, skipped, took) = (failed.len(), skipped.len(), took.as_secs());
        writeln!(
            text,
            "{:24} {kernel:18} {passed:>6} {failed:>6} {skipped:>7}  {took} s",
            machine.name
        )
        .expect("a string takes everything");
    }
    text
}

/// Holds what failed and what was skipped, with the reasons, against the snapshot.
///
/// # Panics
/// When it differs.
pub(crate) fn hold(outcomes: &[(&'static Machine, Outcome)]) {
    let mut text = String::new();
    for (machine, outcome) in in_order(outcomes) {
        let failed = if outcome.failed.is_empty() { "none" } else { "some" };
        writeln!(text, "{}: failed {failed}, passed all but", machine.name)
            .expect("a string takes everything");
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, why) in &outcome.skipped {
            reasons.entry(why).or_default().push(name);
        }
        for (why, names) in reasons {
            writeln!(text, "  {why}: {}", names.join(", ")).expect("a string takes everything");
        }
    }
    snapshot::hold("machines/suite", &text);
}

fn in_order<'a>(
    outcomes: &'a [(&'static Machine, Outcome)],
) -> impl Iterator<Item = &'a (&'static Machine, Outcome)> {
    MACHINES.iter().filter_map(|machine| outcomes.iter().find(|(of, _)| of.name == machine.name))
}
