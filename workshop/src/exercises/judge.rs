//! Judging a program: the checks, in order, each in a fresh lab.
//!
//! A check that goes wrong is tried with the reference as well. If that fails too, the machine is to blame and not the
//! participant.

use std::env;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::build;
use super::catalogue::{Attacked, Check, Compared, Exercise};
use crate::attacks::Attack;
use crate::doctor::{self, Finding};
use crate::session::{Ended, Session};

/// What there is to say about a program.
#[derive(Debug)]
pub enum Verdict {
    /// It does what it should.
    Solved(Won),
    /// A body is still empty: what its `todo!` says, and where it stands.
    Unwritten(String, String),
    /// It doesn't.
    Wrong(Mistake),
    /// This machine can't tell.
    Blocked(Obstacle),
}

/// What the participant's container has that the one before had not.
#[derive(Debug)]
pub struct Won {
    /// How many checks there were.
    pub checks: usize,
    /// Lines of xray's picture: what was, and what is.
    pub gained: Vec<(String, String)>,
    /// The attack that succeeded before, and now fails.
    pub attack: Option<String>,
}

/// What went wrong.
#[derive(Debug)]
pub struct Mistake {
    /// Which check it was, counted from 1, and how many there are.
    pub number: (usize, usize),
    /// What was typed before it, if anything.
    pub given: Option<String>,
    /// What was typed.
    pub run: String,
    /// What it should have printed.
    pub expected: String,
    /// What it printed.
    pub seen: String,
    /// What that means.
    pub says: String,
}

/// Why this machine can't tell.
#[derive(Debug)]
pub struct Obstacle {
    /// What was typed.
    pub run: String,
    /// What the reference printed.
    pub seen: String,
    /// What the doctor finds about the step.
    pub findings: Vec<Finding>,
}

/// How long a check may take, in seconds.
pub const PATIENCE: u64 = 5;

/// Judges the program in the folder `programs`.
///
/// # Errors
/// When no lab can be opened.
pub fn judge(exercise: &Exercise, programs: &Path) -> Result<Verdict> {
    // An emulated processor takes ten times as long.
    let slow = if env::var_os("KEEL_SLOW").is_some() { 20 } else { 1 };
    let limit = Duration::from_secs(PATIENCE * slow);
    let theirs = Session { programs: Some(programs.to_owned()), limited: true, limit };
    let total = exercise.checks.len();
    for (index, check) in exercise.checks.iter().enumerate() {
        if let Some(verdict) = failure(exercise, check, (index + 1, total), &theirs)? {
            return Ok(verdict);
        }
    }
    let attack = match &exercise.attack {
        None => None,
        Some(attacked) => match attack(attacked, &theirs)? {
            Attacks::Stopped => Some(attacked.name.clone()),
            Attacks::NeverWorked => None,
            Attacks::StillWorks => return Ok(Verdict::Wrong(still_works(attacked, total))),
        },
    };
    let gained = match &exercise.xray {
        Some(compared) => gained(compared, &theirs)?,
        None => vec![],
    };
    Ok(Verdict::Solved(Won { checks: total, gained, attack }))
}

/// What a check has against the program, if anything.
fn failure(
    exercise: &Exercise,
    check: &Check,
    number: (usize, usize),
    theirs: &Session,
) -> Result<Option<Verdict>> {
    let ended = theirs.run(&script(check))?;
    if let Some((todo, place)) = unwritten(output(&ended)) {
        return Ok(Some(Verdict::Unwritten(todo.to_owned(), place.to_owned())));
    }
    let Some(says) = mistake(check, &ended) else { return Ok(None) };
    let reference = Session { programs: build::reference(exercise)?, ..theirs.clone() };
    let controlled = reference.run(&script(check))?;
    let (run, seen) = (check.run.clone(), output(&ended).to_owned());
    if mistake(check, &controlled).is_some() {
        let (seen, findings) = (output(&controlled).to_owned(), findings(exercise)?);
        return Ok(Some(Verdict::Blocked(Obstacle { run, seen, findings })));
    }
    let (given, expected) = (check.given.clone(), expected(check));
    Ok(Some(Verdict::Wrong(Mistake { number, given, run, expected, seen, says })))
}

fn still_works(attacked: &Attacked, total: usize) -> Mistake {
    Mistake {
        number: (total, total),
        given: None,
        run: format!("{} …", attacked.after),
        expected: format!("the attack \"{}\" fails", attacked.name),
        seen: "it succeeds".to_owned(),
        says: "Every check passes, but whoever is in your container still gets out by the attack that the chapter \
               opens with."
            .to_owned(),
    }
}

/// The script of a check: what it needs first, in silence, then what is typed.
pub fn script(check: &Check) -> String {
    let given = check.given.as_ref().map(|given| format!("{{ {given}\n}} > /dev/null 2>&1\n"));
    format!("exec 2>&1\n{}{}\n", given.unwrap_or_default(), check.run)
}

/// The sentence, if the output isn't what it should be.
fn mistake(check: &Check, ended: &Ended) -> Option<String> {
    let seen = output(ended);
    let fits = match (&check.expect, &check.matches) {
        (Some(expect), _) => expect.trim_end() == seen.trim_end(),
        (None, Some(pattern)) => pattern.is_match(seen),
        (None, None) => true,
    };
    match ended {
        Ended::Itself(_) if fits => None,
        Ended::Stopped(_) => Some(format!(
            "It had not ended after {PATIENCE} seconds, and was stopped. Something in it waits for what never comes: a \
             descriptor that nobody closes, a child that nobody starts or waits for, a loop without an end."
        )),
        Ended::Itself(_) => Some(said(check, seen)),
    }
}

fn said(check: &Check, seen: &str) -> String {
    let known =
        check.when.iter().find(|when| when.matches.as_ref().is_some_and(|m| m.is_match(seen)));
    match (known, panicked(seen)) {
        (Some(when), _) => when.says.trim().to_owned(),
        (None, Some(place)) => {
            format!("Your code panicked, at {place}: a container engine returns an error instead.")
        }
        (None, None) => check.says.trim().to_owned(),
    }
}

/// The message of a `todo!` that was reached, and where it stands.
fn unwritten(seen: &str) -> Option<(&str, &str)> {
    let (before, after) = seen.split_once("not yet implemented: ")?;
    Some((after.lines().next().unwrap_or_default(), panicked(before).unwrap_or_default()))
}

/// Where a panic happened, in the participant's own files: `src/lib.rs:25`.
fn panicked(seen: &str) -> Option<&str> {
    let line = seen.lines().rfind(|line| line.contains("panicked at "))?;
    let place = line.split_once("panicked at ")?.1.trim_end_matches(':');
    Some(place.rsplit_once(':').map_or(place, |(place, _column)| place))
}

fn expected(check: &Check) -> String {
    let text = check.expected.as_ref().or(check.expect.as_ref()).cloned();
    let text =
        text.or_else(|| check.matches.as_ref().map(|pattern| format!("something like {pattern}")));
    text.unwrap_or_default().trim_end().to_owned()
}

fn output(ended: &Ended) -> &str {
    match ended {
        Ended::Itself(output) | Ended::Stopped(output) => output,
    }
}

enum Attacks {
    Stopped,
    StillWorks,
    NeverWorked,
}

fn attack(attacked: &Attacked, theirs: &Session) -> Result<Attacks> {
    let attack = Attack::find(&attacked.name)
        .with_context(|| format!("there is no attack '{}'", attacked.name))?;
    Ok(match attack.succeeds(theirs, &attacked.after)? {
        true => Attacks::StillWorks,
        false if attack.succeeds(theirs, &attacked.before)? => Attacks::Stopped,
        false => Attacks::NeverWorked,
    })
}

/// The lines in which xray's normal form of the two containers differs.
fn gained(compared: &Compared, theirs: &Session) -> Result<Vec<(String, String)>> {
    let look = |container: &str| -> Result<Vec<String>> {
        let ended = theirs.run(&format!("xray --normal -- {container} < /dev/null 2>/dev/null"))?;
        Ok(output(&ended).lines().map(str::to_owned).collect())
    };
    let (before, after) = (look(&compared.before)?, look(&compared.after)?);
    let key = |line: &str| line.split_once(": ").map_or(line.to_owned(), |(key, _)| key.to_owned());
    let value = |line: &String| line.split_once(": ").map_or("", |(_, value)| value).to_owned();
    let was = |name: &str| before.iter().find(|line| key(line) == name).map(value);
    Ok(after
        .iter()
        .filter(|line| was(&key(line)).is_some_and(|was| was != value(line)))
        .map(|line| (was(&key(line)).unwrap_or_default(), line.clone()))
        .collect())
}

/// What the doctor has against the step's chapter, and those that it stands on.
fn findings(exercise: &Exercise) -> Result<Vec<Finding>> {
    let number: u32 = exercise.number().parse().unwrap_or(u32::MAX);
    let concerns = |finding: &Finding| {
        let mut chapters =
            finding.chapters.split([',', ' ']).filter_map(|word| word.parse::<u32>().ok());
        finding.chapters.starts_with("all") || chapters.any(|chapter| chapter <= number)
    };
    let fails = |finding: &Finding| {
        matches!(finding.verdict, doctor::Verdict::Fails | doctor::Verdict::Limited)
    };
    let found = doctor::ask()?;
    Ok(found.into_iter().filter(|finding| fails(finding) && concerns(finding)).collect())
}
