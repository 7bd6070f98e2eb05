//! What the commands print besides verdicts.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::catalogue::{Exercise, Level};
use super::progress::Entry;
use super::verdict::paragraphs;
use super::{Workshop, source};

/// Prints. Whoever reads only the beginning, as head(1), is not troubled with an error.
pub fn say(text: impl AsRef<str>) {
    let _ = stdout().write_all(text.as_ref().as_bytes());
}

/// A path as people type it: from the working directory, if it lies there.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// What is to be done in an exercise, and where.
///
/// # Errors
/// When the participant's files can't be read.
pub fn task(workshop: &Workshop, exercise: &Exercise, again: bool) -> Result<String> {
    let Exercise { id, title, level, minutes, .. } = exercise;
    let mut text = format!("{id}  {title} ({}, about {minutes} minutes)\n\n", level.name());
    if again {
        text += "It is started already, and stays as it is.\n\n";
    }
    text += &paragraphs(&exercise.task);
    text.push('\n');
    let folder = workshop.desk.crate_of(exercise);
    let files = workshop.desk.files(exercise)?;
    for (index, function) in exercise.write.iter().enumerate() {
        let file = exercise.own_file(function);
        let line = files.get(&file).and_then(|text| source::find(text, &function.name).ok());
        let line = line.map_or_else(String::new, |place| format!(":{}", place.line));
        let label = if index == 0 { "write" } else { "" };
        let _ =
            writeln!(text, "{label:<7} {}{line}  fn {}", shown(&folder.join(file)), function.name);
    }
    let _ = writeln!(text, "read    {}", exercise.chapter());
    let _ = writeln!(text, "try     cargo workshop lab --exercise {id}");
    let _ = writeln!(text, "check   cargo workshop check {id}");
    let _ = writeln!(text, "watch   cargo workshop watch {id}    (a check at every save)");
    let _ = writeln!(text, "help    cargo workshop hint {id}");
    text += "\nIt is red at first: the check says so until it is written.\n";
    Ok(text)
}

/// What comes after a solved exercise.
///
/// # Errors
/// When the progress can't be read.
pub fn after(workshop: &Workshop, exercise: &Exercise) -> Result<String> {
    let mut text = String::new();
    if let Some(next) = workshop.next(exercise)? {
        let _ = writeln!(text, "next       cargo workshop start {:<12} {}", next.id, next.title);
    }
    let _ = writeln!(text, "compare    cargo workshop solution {}", exercise.id);
    if !exercise.is_program() {
        let _ = writeln!(text, "your keel  cargo workshop engine");
    }
    Ok(text)
}

/// The hint after `shown` others.
pub fn hint(exercise: &Exercise, shown: usize) -> String {
    let total = exercise.hints.len();
    let mut text = String::new();
    let these = if shown < total { shown..shown + 1 } else { 0..total };
    if shown >= total {
        text += "These were all:\n\n";
    }
    for index in these {
        let _ =
            write!(text, "Hint {} of {total}\n{}", index + 1, paragraphs(&exercise.hints[index]));
        text.push('\n');
    }
    if shown + 1 >= total {
        let _ = writeln!(text, "The chapter tells the rest: {}, \"Build it\".", exercise.chapter());
    } else {
        let _ = writeln!(text, "The next one says more: cargo workshop hint {}", exercise.id);
    }
    text
}

/// All exercises, with what the participant has done.
///
/// # Errors
/// When the progress can't be read.
pub fn list(workshop: &Workshop) -> Result<String> {
    let progress = workshop.progress()?;
    let (mut text, mut step) = (String::new(), "");
    for exercise in &workshop.exercises {
        if exercise.step != step {
            step = &exercise.step;
            let name = step.split_once('-').map_or(step, |(_, name)| name);
            let blank = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{blank}Step {}: {name}", exercise.number());
        }
        let line = format!(
            "  {:<13} {:<7} {:>2} min  {:<37} {}",
            exercise.id,
            exercise.level.name(),
            exercise.minutes,
            exercise.title,
            state(&progress.of(&exercise.id))
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let solved = workshop.solved()?;
    let _ = writeln!(text, "\n{solved} of {} solved", workshop.exercises.len());
    let open = |e: &&Exercise| progress.of(&e.id).solved.is_none() && e.level == Level::Core;
    if let Some(next) = workshop.exercises.iter().find(open) {
        let verb = if progress.of(&next.id).started.is_some() { "check" } else { "start" };
        let _ = writeln!(text, "next: cargo workshop {verb} {}", next.id);
    }
    Ok(text)
}

fn state(entry: &Entry) -> &'static str {
    match (entry.started, entry.solved) {
        (_, Some(_)) => "solved",
        (Some(_), None) => "started",
        (None, None) => "",
    }
}

/// One exercise, for an instructor's wall.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    step: &'a str,
    title: &'a str,
    level: Level,
    minutes: u32,
    state: &'a str,
    #[serde(flatten)]
    entry: Entry,
}

/// The progress as JSON: every exercise, in order.
///
/// # Errors
/// When it can't be read.
pub fn json(workshop: &Workshop) -> Result<String> {
    let progress = workshop.progress()?;
    let row = |exercise: &'_ Exercise| {
        let entry = progress.of(&exercise.id);
        let state = match state(&entry) {
            "" => "open",
            state => state,
        };
        serde_json::to_value(Row {
            id: &exercise.id,
            step: &exercise.step,
            title: &exercise.title,
            level: exercise.level,
            minutes: exercise.minutes,
            state,
            entry,
        })
    };
    let rows: Vec<_> = workshop.exercises.iter().map(row).collect::<Result<_, _>>()?;
    let all = serde_json::json!({
        "solved": workshop.solved()?,
        "of": workshop.exercises.len(),
        "current": progress.current,
        "exercises": rows,
    });
    Ok(serde_json::to_string_pretty(&all)?)
}
