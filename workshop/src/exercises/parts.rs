//! The files of a participant's crate: the step's own, with some bodies empty or different.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::catalogue::{self, Exercise, Wrong};
use super::{manifest, source};
use crate::prepare::repository;

/// A crate as text: the path of each file in its folder, and what is in it.
pub type Files = BTreeMap<PathBuf, String>;

/// The reference as a crate: nothing is left to write.
///
/// # Errors
/// When the step can't be read.
pub fn reference(exercise: &Exercise) -> Result<Files> {
    let mut files = Files::new();
    if exercise.is_program() {
        let file = exercise.reference().join(&exercise.write[0].file);
        files.insert("src/main.rs".into(), read(&file)?);
    } else {
        return read_crate(&exercise.reference());
    }
    Ok(files)
}

/// What is handed out: the reference without the bodies that are to be written.
///
/// # Errors
/// When the step has no such function.
pub fn starter(exercise: &Exercise) -> Result<Files> {
    let mut files = reference(exercise)?;
    cut(exercise, &mut files)?;
    Ok(files)
}

/// Empties the bodies that `exercise` asks for.
///
/// # Errors
/// When a file has no such function, or is not Rust.
pub fn cut(exercise: &Exercise, files: &mut Files) -> Result<()> {
    for function in &exercise.write {
        let file = exercise.own_file(function);
        let text =
            files.get_mut(&file).with_context(|| format!("there is no {}", file.display()))?;
        *text = source::cut(text, &function.name, &exercise.todo)
            .with_context(|| format!("cut {}", file.display()))?;
    }
    Ok(())
}

/// An answer that is known to be wrong.
///
/// # Errors
/// When what it replaces isn't there exactly once.
pub fn wrong(exercise: &Exercise, wrong: &Wrong) -> Result<Files> {
    let mut files = reference(exercise)?;
    for (old, new) in &wrong.edits {
        let has_it = |text: &&mut String| text.contains(old.as_str());
        let mut written: Vec<PathBuf> =
            exercise.write.iter().map(|f| exercise.own_file(f)).collect();
        written.dedup();
        let mut found: Vec<&mut String> = files
            .iter_mut()
            .filter_map(|(path, text)| written.contains(path).then_some(text))
            .filter(has_it)
            .collect();
        ensure!(
            found.len() == 1 && found[0].matches(old.as_str()).count() == 1,
            "{} of {}: '{old}' must be there once",
            wrong.name,
            exercise.id
        );
        *found[0] = found[0].replace(old.as_str(), new);
    }
    Ok(files)
}

/// Makes a whole crate of them, to stand in `folder`: adds the manifest, the versions that the repository has settled on, and
/// the probes. Its package is called `package`, and each program by `binary`.
///
/// # Errors
/// When one of these can't be read.
pub fn complete(
    mut files: Files,
    exercise: &Exercise,
    folder: &Path,
    package: &str,
    binary: impl Fn(&str) -> String,
) -> Result<Files> {
    // The probes of all the step's exercises: they share the crate.
    let mut programs = vec![(binary(&exercise.program()), PathBuf::from("src/main.rs"))];
    if !exercise.is_program() {
        for file in catalogue::probes_of(&exercise.step)? {
            let own = Path::new("probes").join(file.file_name().context("name a probe")?);
            files.insert(own.clone(), read(&exercise.reference().join(&file))?);
            programs.push((binary(&catalogue::name_of(&file)), own));
        }
    }
    files.insert("Cargo.toml".into(), manifest::of(exercise, folder, package, &programs)?);
    files.insert("Cargo.lock".into(), read(&repository().join("Cargo.lock"))?);
    Ok(files)
}

/// The files in `src/` of a crate.
///
/// # Errors
/// When they can't be read.
pub fn read_crate(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    add(folder, Path::new("src"), &mut files)?;
    Ok(files)
}

/// Adds the files in `below`, a path in `folder`.
fn add(folder: &Path, below: &Path, files: &mut Files) -> Result<()> {
    let dir = folder.join(below);
    let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", dir.display()))?;
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            add(folder, &path, files)?;
        } else {
            files.insert(path, read(&entry.path())?);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}
