//! The participant's own folder, `exercises/`: a crate for each step that was started, and one for each program.
//!
//! Nothing in it is ever overwritten: what gives way is moved to `exercises/old/` first.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::catalogue::Exercise;
use super::parts::{self, Files};
use super::{build, source};
use crate::prepare::repository;

/// The folder.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Where it is.
    pub folder: PathBuf,
}

impl Desk {
    /// `exercises/` in the repository; `KEEL_EXERCISES` names another.
    pub fn find() -> Desk {
        let folder = env::var_os("KEEL_EXERCISES");
        Desk { folder: folder.map_or_else(|| repository().join("exercises"), PathBuf::from) }
    }

    /// Its name among those of others: the last part of its path.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The crate in which an exercise is solved: the step's, or the program's own.
    pub fn crate_of(&self, exercise: &Exercise) -> PathBuf {
        self.folder.join(if exercise.is_program() { &exercise.id } else { &exercise.step })
    }

    /// Whether the crate is there.
    pub fn has(&self, exercise: &Exercise) -> bool {
        self.crate_of(exercise).join("Cargo.toml").exists()
    }

    /// Hands out the starter. In a crate that is there already only bodies that are still the reference's are emptied.
    ///
    /// # Errors
    /// When a file can't be read or written, or a body was changed already.
    pub fn start(&self, exercise: &Exercise) -> Result<()> {
        let folder = self.crate_of(exercise);
        if !self.has(exercise) {
            return self.write(exercise, parts::starter(exercise)?);
        }
        let (reference, mut own) = (parts::reference(exercise)?, self.files(exercise)?);
        for function in &exercise.write {
            let file = exercise.own_file(function);
            let shown = folder.join(&file);
            let text =
                own.get(&file).with_context(|| format!("there is no {}", shown.display()))?;
            let theirs = source::find(text, &function.name)
                .with_context(|| format!("look into {}", shown.display()))?;
            let ours = &reference[&file];
            if text[theirs.body] != ours[source::find(ours, &function.name)?.body] {
                bail!(
                    "{} in {} is no longer as it was handed out, so it is left as it is \
                     ('cargo workshop reset {}' keeps it aside and empties it)",
                    function.name,
                    shown.display(),
                    exercise.id
                );
            }
        }
        parts::cut(exercise, &mut own)?;
        self.save(exercise, &own)
    }

    /// Keeps the crate aside and empties the bodies of this exercise. Other exercises in the crate stay as they are, unless
    /// the file is no longer Rust. Returns where the old crate is.
    ///
    /// # Errors
    /// When it was never started, or can't be copied.
    pub fn reset(&self, exercise: &Exercise) -> Result<PathBuf> {
        let kept = self.keep_aside(exercise)?;
        let mut own = self.files(exercise)?;
        if parts::cut(exercise, &mut own).is_err() {
            own = parts::starter(exercise)?;
        }
        self.save(exercise, &own)?;
        Ok(kept)
    }

    fn keep_aside(&self, exercise: &Exercise) -> Result<PathBuf> {
        let (old, name) = (self.folder.join("old"), self.crate_of(exercise));
        let name = name.file_name().context("name the crate")?.to_string_lossy().into_owned();
        let free = (1..).map(|n| old.join(format!("{name}.{n}"))).find(|path| !path.exists());
        let kept = free.context("name the old crate")?;
        for (path, text) in self.files(exercise)? {
            write(&kept.join(path), &text)?;
        }
        Ok(kept)
    }

    /// The crate's files in `src/`.
    ///
    /// # Errors
    /// When it isn't there.
    pub fn files(&self, exercise: &Exercise) -> Result<Files> {
        parts::read_crate(&self.crate_of(exercise))
    }

    fn write(&self, exercise: &Exercise, files: Files) -> Result<()> {
        let package = match exercise.is_program() {
            true => exercise.program(),
            false => format!("step{}", exercise.step),
        };
        let files =
            parts::complete(files, exercise, &self.crate_of(exercise), &package, build::binary)?;
        self.save(exercise, &files)?;
        // An assistant that is opened in here reads this one.
        write(&self.folder.join("AGENTS.md"), include_str!("agents.md"))
    }

    fn save(&self, exercise: &Exercise, files: &Files) -> Result<()> {
        let folder = self.crate_of(exercise);
        files.iter().try_for_each(|(path, text)| write(&folder.join(path), text))
    }
}

/// The digest of a step's source: it tells whether the step has changed since.
///
/// # Errors
/// When the step can't be read.
pub fn digest(exercise: &Exercise) -> Result<String> {
    let mut hasher = Sha256::new();
    for (path, text) in parts::reference(exercise)? {
        hasher.update(path.display().to_string());
        hasher.update(text);
    }
    Ok(hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file if that changes it: what is as it was needn't be compiled again.
///
/// # Errors
/// When it can't be written.
pub fn write(file: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let doing = || format!("write {}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(doing)?;
    }
    fs::write(file, text).with_context(doing)
}
