//! The outcomes: with numbers, for who ran it, and without what changes with every new test, for the book.

use std::collections::BTreeMap;
use std::fmt::Write;

use textwrap::{Options, WordSplitter, fill};

use crate::machine::{MACHINES, Machine};
use crate::outcome::Outcome;
use crate::snapshot;

/// Machine, tests passed, failed and skipped, and the time, in a line each.
pub(crate) fn counts(outcomes: &[(&'static Machine, Outcome)]) -> String {
    let mut text = format!(
        "{:24} {:18} {:>6} {:>6} {:>7}  time\n",
        "machine", "Linux", "passed", "failed", "skipped"
    );
    for machine in MACHINES {
        let of = outcomes.iter().find(|(of, _)| of.name == machine.name);
        let Some((_, outcome)) = of else { continue };
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

/// Holds what a machine that failed nothing has skipped, with the reasons, against its snapshot.
///
/// # Panics
/// When it differs.
pub(crate) fn hold(machine: &Machine, outcome: &Outcome) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, why) in &outcome.skipped {
        reasons.entry(why).or_default().push(name);
    }
    let mut text = "passed: all but\n".to_owned();
    for (why, names) in reasons {
        text += &(indented(&format!("{why}:"), "  ") + "\n");
        text += &(indented(&names.join(", "), "    ") + "\n");
    }
    snapshot::hold(&format!("machines/{}", machine.name), &text);
}

fn indented(text: &str, by: &str) -> String {
    let options = Options::new(100).initial_indent(by).subsequent_indent(by);
    fill(text, options.break_words(false).word_splitter(WordSplitter::NoHyphenation))
}
