//! A verdict, for people.

use std::fmt::Write;

use similar::TextDiff;
use textwrap::{Options, fill};

use super::catalogue::Exercise;
use super::judge::{Mistake, Obstacle, Verdict, Won};
use crate::doctor::mend::Mend;

/// Where a line of text ends.
pub const WIDTH: usize = 78;
/// More lines than this of what was seen are left out.
const ENOUGH: usize = 12;

/// The verdict in words: the command, what was expected, what was seen, and what that means.
pub fn words(exercise: &Exercise, verdict: &Verdict) -> String {
    let (word, rest) = match verdict {
        Verdict::Solved(won) => ("solved", solved(exercise, won)),
        Verdict::Unwritten(todo, place) => ("not yet", unwritten(exercise, todo, place)),
        Verdict::Wrong(mistake) => ("not yet", wrong(mistake)),
        Verdict::Blocked(obstacle) => ("this machine can't tell", blocked(obstacle)),
    };
    format!("{}  {}: {word}\n\n{rest}", exercise.id, exercise.title)
}

fn solved(exercise: &Exercise, won: &Won) -> String {
    let mut text = match won.checks {
        1 => "The check passes.\n".to_owned(),
        checks => format!("All {checks} checks pass.\n"),
    };
    if let (false, Some(compared)) = (won.gained.is_empty(), &exercise.xray) {
        let _ = writeln!(text, "\nWhat xray sees now of  {}", compared.after);
        for (was, is) in &won.gained {
            let is =
                fill(is, Options::new(WIDTH - 4).initial_indent("  ").subsequent_indent("    "));
            let was = fill(
                was,
                Options::new(WIDTH).initial_indent("      was: ").subsequent_indent("      "),
            );
            let _ = writeln!(text, "{is}\n{was}");
        }
    }
    if let Some(attack) = &won.attack {
        let _ = writeln!(text, "\nThe attack \"{attack}\" succeeded before. Now it fails.");
    }
    text + "\n" + &paragraphs(&exercise.solved)
}

fn unwritten(exercise: &Exercise, todo: &str, place: &str) -> String {
    let text = match todo == exercise.todo {
        true => format!("Not written yet: {todo} ({place})."),
        false => format!(
            "This one stands on another exercise of its step, and that is not written yet: {todo}."
        ),
    };
    paragraphs(&text)
}

fn wrong(mistake: &Mistake) -> String {
    let Mistake { number: (number, total), given: _, run, expected, seen, says } = mistake;
    let passed = match number - 1 {
        0 => String::new(),
        1 => "The first check passes. This one doesn't:\n\n".to_owned(),
        passed => format!("{passed} of {total} checks pass. This one doesn't:\n\n"),
    };
    format!(
        "{passed}{}{}{}\n{}",
        command(run),
        labelled("expected", expected),
        labelled("seen", &shown(seen)),
        paragraphs(says)
    )
}

fn blocked(obstacle: &Obstacle) -> String {
    let Obstacle { run, seen, findings } = obstacle;
    let mut text = command(run);
    text += &labelled("seen", &shown(seen));
    text +=
        &format!("\n{}", paragraphs("The reference does no better here, so it isn't your code."));
    for finding in findings {
        let _ = writeln!(text, "\n  {}: {}", finding.what, finding.seen);
        for mend in &finding.mend {
            match mend {
                Mend::Say(words) => {
                    let indent =
                        Options::new(WIDTH).initial_indent("    ").subsequent_indent("    ");
                    let _ = writeln!(text, "{}", fill(words, indent));
                }
                Mend::Run(command) => {
                    let _ = writeln!(text, "    $ {command}");
                }
            }
        }
    }
    text + "\n"
        + &paragraphs(
            "'cargo workshop doctor' tells more. In a virtual machine it works anywhere: 'cargo workshop lab --vm'.",
        )
}

/// All of it: the whole script, and how what came out differs from what was expected, unabridged.
pub fn raw(mistake: &Mistake) -> String {
    let given = mistake.given.as_ref().map_or("nothing", |given| given.trim());
    // A diff wants its last line ended.
    let [expected, seen] =
        [&mistake.expected, &mistake.seen].map(|text| text.trim_end().to_owned() + "\n");
    let diff = TextDiff::from_lines(&expected, &seen);
    let diff = match expected == seen {
        true => format!("--- expected, and seen\n{seen}"),
        false => diff.unified_diff().context_radius(1000).header("expected", "seen").to_string(),
    };
    format!("--- prepared\n{given}\n--- run\n{}\n{diff}", mistake.run.trim())
}

fn command(run: &str) -> String {
    let lines: Vec<&str> = run.trim().lines().collect();
    format!("  $ {}\n", lines.join("\n    "))
}

/// A text beside its label, line below line.
fn labelled(label: &str, text: &str) -> String {
    let text = if text.trim().is_empty() { "nothing" } else { text.trim_end() };
    let mut shown = String::new();
    for (index, line) in text.lines().enumerate() {
        let label = if index == 0 { label } else { "" };
        let _ = writeln!(shown, "  {label:<10} {line}");
    }
    shown
}

/// As much of an output as a screen has room for.
fn shown(seen: &str) -> String {
    let lines: Vec<&str> = seen.trim_end().lines().collect();
    match lines.len() {
        0..=ENOUGH => lines.join("\n"),
        more => format!(
            "{}\n… and {} lines more ('check --raw' shows them)",
            lines[..ENOUGH - 2].join("\n"),
            more + 2 - ENOUGH
        ),
    }
}

/// Text in lines that fit; an empty line begins a new paragraph.
pub fn paragraphs(text: &str) -> String {
    let paragraphs = text.trim().split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        fill(&words.join(" "), WIDTH) + "\n"
    });
    paragraphs.collect::<Vec<_>>().join("\n")
}
