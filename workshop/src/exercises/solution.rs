//! The reference beside what the participant wrote.

use std::io::{IsTerminal, Write, stdin, stdout};

use anyhow::{Context, Result, bail};
use similar::TextDiff;

use super::catalogue::{Exercise, Function};
use super::parts::Files;
use super::progress::Progress;
use super::{Workshop, parts, source};

/// The reference as a diff to the participant's functions. One that isn't solved yet is asked about first, unless `sure`.
///
/// # Errors
/// When nobody can be asked, or says no.
pub fn show(workshop: &Workshop, exercise: &Exercise, sure: bool) -> Result<String> {
    let solved = workshop.progress()?.of(&exercise.id).solved.is_some();
    if !solved && !sure {
        ask(exercise)?;
    }
    if !solved {
        Progress::change(&workshop.desk.folder, |progress| {
            progress.exercises.entry(exercise.id.clone()).or_default().solution_seen = true;
        })?;
    }
    let reference = parts::reference(exercise)?;
    let own = match workshop.desk.has(exercise) {
        true => workshop.desk.files(exercise)?,
        false => parts::starter(exercise)?,
    };
    let diffs = exercise.write.iter().map(|function| diff(exercise, function, &own, &reference));
    let text = diffs.collect::<Result<String>>()?;
    Ok(if text.is_empty() {
        "Yours is the reference, letter for letter.\n".to_owned()
    } else {
        text
    })
}

fn ask(exercise: &Exercise) -> Result<()> {
    let id = &exercise.id;
    if !stdin().is_terminal() {
        bail!(
            "{id} is not solved yet: 'cargo workshop hint {id}' helps on; --yes shows the solution all the same"
        );
    }
    print!("{id} is not solved yet, and a hint gives less away. Show the solution? [y/N] ");
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).context("read your answer")?;
    if !answer.trim().eq_ignore_ascii_case("y") {
        bail!("not shown: 'cargo workshop hint {id}' helps on");
    }
    Ok(())
}

/// One function, theirs and ours. A file that is no longer Rust is compared as a whole.
fn diff(
    exercise: &Exercise,
    function: &Function,
    own: &Files,
    reference: &Files,
) -> Result<String> {
    let file = exercise.own_file(function);
    let theirs = own.get(&file).map_or("", String::as_str);
    let ours = reference.get(&file).with_context(|| format!("there is no {}", file.display()))?;
    let (theirs, ours) = match source::find(theirs, &function.name) {
        Ok(place) => (&theirs[place.item], &ours[source::find(ours, &function.name)?.item]),
        Err(_) => (theirs, ours.as_str()),
    };
    // A diff wants its last line ended.
    let (theirs, ours) = (format!("{theirs}\n"), format!("{ours}\n"));
    let diff = TextDiff::from_lines(&theirs, &ours);
    let names = (format!("yours/{}", file.display()), format!("reference/{}", file.display()));
    Ok(diff.unified_diff().context_radius(100).header(&names.0, &names.1).to_string())
}
