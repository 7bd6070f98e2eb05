//! The exercises: what `cargo workshop start`, `check` and their like do.
//!
//! [`catalogue`] says what there is, [`parts`] cuts the starter from the step's source, [`desk`] is the participant's folder,
//! [`build`] makes a program of what is in it, [`judge`] tries that in the lab, [`verdict`] says what came of it, and
//! [`progress`] remembers. The commands below put them together.

pub mod build;
pub mod catalogue;
pub mod desk;
pub mod engine;
pub mod judge;
pub mod manifest;
pub mod parts;
pub mod progress;
pub mod solution;
pub mod source;
pub mod tell;
pub mod verdict;
pub mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;

use crate::prepare;
use catalogue::Exercise;
use desk::Desk;
use judge::Verdict;
use progress::Progress;
use tell::say;

/// The exit code for "this machine can't tell": neither right nor wrong.
const BLOCKED: u8 = 3;

/// All exercises, and the participant's folder.
#[derive(Debug)]
pub struct Workshop {
    /// In the order of the steps.
    pub exercises: Vec<Exercise>,
    /// The participant's folder.
    pub desk: Desk,
}

/// What came of looking at a participant's crate.
#[derive(Debug)]
pub enum Attempt {
    /// It can't be compiled. Cargo has said why.
    Uncompiled,
    /// It was judged.
    Judged(Verdict),
}

impl Workshop {
    /// Reads every step's exercises.
    ///
    /// # Errors
    /// When one of the files is wrong.
    pub fn open() -> Result<Workshop> {
        Ok(Workshop { exercises: catalogue::all()?, desk: Desk::find() })
    }

    /// The exercise that is called `id`; without one, that which was started or checked last.
    ///
    /// # Errors
    /// When there is none.
    pub fn choose(&self, id: Option<&str>) -> Result<&Exercise> {
        let current = self.progress()?.current;
        let id = id.or(current.as_deref());
        catalogue::find(
            &self.exercises,
            id.context("name an exercise: 'cargo workshop list' shows them all")?,
        )
    }

    /// What the participant has done.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn progress(&self) -> Result<Progress> {
        Progress::read(&self.desk.folder)
    }

    /// How many exercises are solved.
    ///
    /// # Errors
    /// When the progress can't be read.
    pub fn solved(&self) -> Result<usize> {
        let progress = self.progress()?;
        Ok(self.exercises.iter().filter(|e| progress.of(&e.id).solved.is_some()).count())
    }

    /// The first exercise after `exercise` that is not solved, and no expert's.
    ///
    /// # Errors
    /// When the progress can't be read.
    pub fn next(&self, exercise: &Exercise) -> Result<Option<&Exercise>> {
        let progress = self.progress()?;
        let open = |e: &&Exercise| {
            progress.of(&e.id).solved.is_none() && e.level != catalogue::Level::Expert
        };
        let here = self.exercises.iter().position(|e| e.id == exercise.id).unwrap_or(0);
        let mut around = self.exercises[here + 1..].iter().chain(&self.exercises[..here]);
        Ok(around.find(open))
    }

    /// Hands out an exercise and says what to do. One that was started already stays as it is.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn start(&self, exercise: &Exercise) -> Result<()> {
        let entry = self.progress()?.of(&exercise.id);
        let again = entry.started.is_some() && self.desk.has(exercise);
        if !again {
            self.desk.start(exercise)?;
        }
        let reference = desk::digest(exercise)?;
        Progress::change(&self.desk.folder, |progress| {
            progress.current = Some(exercise.id.clone());
            if !again {
                let entry = progress.exercises.entry(exercise.id.clone()).or_default();
                entry.started = Some(Timestamp::now());
                entry.reference = Some(reference);
            }
        })?;
        say(tell::task(self, exercise, again)?);
        Ok(())
    }

    /// Fails with what to do when an exercise was not handed out yet.
    ///
    /// # Errors
    /// Then; and when the progress can't be read.
    pub fn require_started(&self, exercise: &Exercise) -> Result<()> {
        ensure!(
            self.desk.has(exercise) && self.progress()?.of(&exercise.id).started.is_some(),
            "{} is not started yet: 'cargo workshop start {0}' hands it out",
            exercise.id
        );
        Ok(())
    }

    /// Builds and judges what the participant has, and remembers what came of it.
    ///
    /// # Errors
    /// When it was never started, or can't be judged at all.
    pub fn attempt(&self, exercise: &Exercise) -> Result<Attempt> {
        self.require_started(exercise)?;
        let built = build::build(exercise, &self.desk.crate_of(exercise))?;
        let attempt = match built {
            None => Attempt::Uncompiled,
            Some(programs) => Attempt::Judged(judge::judge(exercise, &programs)?),
        };
        Progress::change(&self.desk.folder, |progress| {
            progress.current = Some(exercise.id.clone());
            let entry = progress.exercises.entry(exercise.id.clone()).or_default();
            if entry.solved.is_none() {
                entry.checks += 1;
                if matches!(attempt, Attempt::Judged(Verdict::Solved(_))) {
                    entry.solved = Some(Timestamp::now());
                }
            }
        })?;
        Ok(attempt)
    }

    /// Builds what the participant has, whether it is right or not. Returns the folder of its program.
    ///
    /// # Errors
    /// When there is no such exercise, it was never started, or it can't be compiled.
    pub fn programs(&self, id: &str) -> Result<PathBuf> {
        let exercise = self.choose(Some(id))?;
        let folder = self.desk.crate_of(exercise);
        ensure!(
            self.desk.has(exercise),
            "{id} is not started yet: 'cargo workshop start {id}' hands it out"
        );
        build::build(exercise, &folder)?
            .with_context(|| format!("{} can't be compiled", tell::shown(&folder)))
    }

    /// Checks an exercise. The exit code is 0 if it is solved, 1 if it isn't, 3 if this machine can't tell.
    ///
    /// # Errors
    /// As [`Workshop::attempt`].
    pub fn check(&self, exercise: &Exercise, raw: bool) -> Result<ExitCode> {
        prepare::refresh()?;
        if let Some(note) = self.drift(exercise)? {
            eprintln!("{note}");
        }
        let Attempt::Judged(verdict) = self.attempt(exercise)? else {
            return Ok(ExitCode::FAILURE);
        };
        say(format!("\n{}", verdict::words(exercise, &verdict)));
        match verdict {
            Verdict::Solved(_) => {
                say("\n");
                say(tell::after(self, exercise)?);
                Ok(ExitCode::SUCCESS)
            }
            Verdict::Wrong(mistake) => {
                if raw {
                    say(format!("\n{}", verdict::raw(&mistake)));
                } else if mistake.given.is_some() {
                    say(format!(
                        "\n(check --raw shows what was prepared before; cargo workshop hint {} helps on)\n",
                        exercise.id
                    ));
                } else {
                    say(format!("\n(cargo workshop hint {} helps on)\n", exercise.id));
                }
                Ok(ExitCode::FAILURE)
            }
            Verdict::Unwritten(..) => {
                say(format!("\n(cargo workshop hint {} helps on)\n", exercise.id));
                Ok(ExitCode::FAILURE)
            }
            Verdict::Blocked(_) => Ok(BLOCKED.into()),
        }
    }

    /// A note if the step has changed since the exercise was started, as after `git pull`.
    fn drift(&self, exercise: &Exercise) -> Result<Option<String>> {
        let then = self.progress()?.of(&exercise.id).reference;
        let changed = then.is_some_and(|then| desk::digest(exercise).is_ok_and(|now| now != then));
        Ok(changed.then(|| {
            format!(
                "note: the step has changed since you started. Yours is as it was; should it no longer fit the others, \
                 'cargo workshop reset {}' keeps it aside and hands out the new one",
                exercise.id
            )
        }))
    }

    /// Shows the next hint; after the last, all of them.
    ///
    /// # Errors
    /// When the progress can't be written.
    pub fn hint(&self, exercise: &Exercise) -> Result<String> {
        let shown = self.progress()?.of(&exercise.id).hints;
        Progress::change(&self.desk.folder, |progress| {
            let entry = progress.exercises.entry(exercise.id.clone()).or_default();
            entry.hints = (shown + 1).min(exercise.hints.len());
        })?;
        Ok(tell::hint(exercise, shown))
    }

    /// Starts again. What was there is kept.
    ///
    /// # Errors
    /// When it was never started, or can't be kept.
    pub fn reset(&self, exercise: &Exercise) -> Result<()> {
        if !self.desk.has(exercise) {
            bail!("{} is not started yet: there is nothing to reset", exercise.id);
        }
        let kept = self.desk.reset(exercise)?;
        let reference = desk::digest(exercise)?;
        Progress::change(&self.desk.folder, |progress| {
            let entry = progress.exercises.entry(exercise.id.clone()).or_default();
            entry.started.get_or_insert_with(Timestamp::now);
            entry.reference = Some(reference);
        })?;
        say(format!("Your attempt is kept in {}\n", tell::shown(&kept)));
        say(format!("\n{}", tell::task(self, exercise, false)?));
        Ok(())
    }
}
