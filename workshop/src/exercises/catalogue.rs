//! What exercises there are: each step's `exercises.toml`, read into types.
//!
//! The file says what a participant is to write, and how it is judged. It names functions of the step's own source: what is
//! handed out is cut from that, so it can't differ from what the book shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde::Deserialize;

use crate::prepare::repository;

/// One exercise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exercise {
    /// What people type: the step's number, and for all but the first of a step a word: `03`, `03-init`.
    pub id: String,
    /// What it is about, in a few words.
    pub title: String,
    /// How far it goes.
    pub level: Level,
    /// How long it takes a participant, roughly.
    pub minutes: u32,
    /// What is to be written, and what it must keep.
    pub task: String,
    /// The functions whose bodies the participant writes, as `src/lib.rs: enter` or `src/lib.rs: Overlay::mount`. With a file
    /// in `exercises/` it is a program of its own; else it is a part of the step.
    pub write: Vec<Function>,
    /// Small programs that the checks run besides, as `exercises/where.rs`: they call the participant's library directly, to
    /// show what the step's own binary would hide.
    #[serde(default)]
    pub probes: Vec<PathBuf>,
    /// What stands in the empty bodies: `todo!("…")`.
    pub todo: String,
    /// What not every machine offers: where it is missing, the tests pass the exercise over.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// From a nudge to almost the answer.
    pub hints: Vec<String>,
    /// What is run, in this order, each in a fresh lab. The first that goes wrong decides.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
    /// What the participant has won.
    pub solved: String,
    /// The attack that now fails.
    pub attack: Option<Attacked>,
    /// The container before and after, for xray.
    pub xray: Option<Compared>,
    /// Answers that are known to be wrong. The tests give them, and hold the feedback that each gets.
    #[serde(default)]
    pub wrong: Vec<Wrong>,
    /// The step's folder under `steps/`.
    #[serde(skip)]
    pub step: String,
}

/// Something that an exercise can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// A cgroup that the participant may make others in.
    Cgroup,
    /// The program nft(8).
    Nft,
    /// A filesystem in memory in which this user's overlays can keep their marks: root's, or Linux 6.6.
    Marks,
}

/// How far an exercise goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The heart of the step's feature.
    Core,
    /// What the feature needs besides.
    Deeper,
    /// Past what the step shows.
    Expert,
}

impl Level {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Core => "core",
            Level::Deeper => "deeper",
            Level::Expert => "expert",
        }
    }
}

/// A function in a file of the step: `src/root.rs: Root::pivot`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Function {
    /// The file, from the step's folder.
    pub file: PathBuf,
    /// Its name; a method's with its type before it.
    pub name: String,
}

impl TryFrom<String> for Function {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Function> {
        let (file, name) = text
            .split_once(": ")
            .with_context(|| format!("'{text}': must be like 'src/lib.rs: enter'"))?;
        Ok(Function { file: file.into(), name: name.to_owned() })
    }
}

/// Something that is typed in the lab, and what must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What the lab needs first. Its output is thrown away, and it is shown only on request.
    pub given: Option<String>,
    /// What is typed, as `sh` takes it.
    pub run: String,
    /// What it must print on both streams, but for blanks at the end.
    pub expect: Option<String>,
    /// Or a pattern that must be found in it.
    #[serde(default, deserialize_with = "pattern")]
    pub matches: Option<Regex>,
    /// In words, for a reader, what a pattern asks for.
    pub expected: Option<String>,
    /// What is wrong if it prints something else.
    pub says: String,
    /// The same for outputs by which a known mistake is told. The first that is found counts.
    #[serde(default)]
    pub when: Vec<When>,
}

/// What is wrong if the output is like this.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// A pattern that is found in the output.
    #[serde(deserialize_with = "some_pattern")]
    pub matches: Option<Regex>,
    /// The sentence.
    pub says: String,
}

/// An attack out of [`crate::attacks`], and the containers in which it succeeds and fails.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attacked {
    /// The attack's name.
    pub name: String,
    /// The words before the attacker's command, in the step before.
    pub before: String,
    /// The same in this step.
    pub after: String,
}

/// Two containers for xray to look at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// The container of the step before.
    pub before: String,
    /// This step's.
    pub after: String,
}

/// An answer that is known to be wrong: the reference with some of its text replaced.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// The mistake, in a few words with hyphens.
    pub name: String,
    /// Text that occurs once in the files to write, and what stands in its place.
    pub edits: Vec<(String, String)>,
}

fn pattern<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Regex>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| Regex::new(&text).map_err(serde::de::Error::custom)).transpose()
}

fn some_pattern<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Regex>, D::Error> {
    pattern(from)
}

/// A file `exercises.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    exercise: Vec<Exercise>,
}

/// Every exercise, in the order of the steps.
///
/// # Errors
/// When a file can't be read, or says nothing clear.
pub fn all() -> Result<Vec<Exercise>> {
    let steps = repository().join("steps");
    let folders = fs::read_dir(&steps).with_context(|| format!("read {}", steps.display()))?;
    let mut names: Vec<_> =
        folders.flatten().filter_map(|folder| folder.file_name().into_string().ok()).collect();
    names.sort();
    let mut exercises = Vec::new();
    for step in names {
        let file = steps.join(&step).join("exercises.toml");
        if file.exists() {
            exercises
                .extend(read(&file, &step).with_context(|| format!("read {}", file.display()))?);
        }
    }
    Ok(exercises)
}

fn read(file: &Path, step: &str) -> Result<Vec<Exercise>> {
    let File { exercise } = toml::from_str(&fs::read_to_string(file)?)?;
    let number = step.split('-').next().unwrap_or_default();
    exercise
        .into_iter()
        .map(|exercise| {
            ensure!(
                exercise.id.starts_with(number),
                "exercise {} is not step {number}'s",
                exercise.id
            );
            ensure!(!exercise.write.is_empty(), "exercise {} asks for nothing", exercise.id);
            Ok(Exercise { step: step.to_owned(), ..exercise })
        })
        .collect()
}

/// The exercise that is called `id`. A step's number may be typed without its zero, and its folder's name will do.
///
/// # Errors
/// When there is no such exercise.
pub fn find<'a>(exercises: &'a [Exercise], id: &str) -> Result<&'a Exercise> {
    let digits = id.chars().take_while(char::is_ascii_digit).count();
    let full = format!("{:0>2}{}", &id[..digits], &id[digits..]);
    let called = |exercise: &&Exercise| {
        exercise.id == full || exercise.step == full && exercise.level == Level::Core
    };
    let found = exercises.iter().find(called);
    found.with_context(|| {
        format!("there is no exercise '{id}': 'cargo workshop list' shows them all")
    })
}

impl Exercise {
    /// Whether it is a program of its own, rather than a part of the step.
    pub fn is_program(&self) -> bool {
        self.write[0].file.starts_with("exercises")
    }

    /// The program that is judged: the step's binary, or the exercise's own.
    pub fn program(&self) -> String {
        match self.is_program() {
            true => name_of(&self.write[0].file),
            false => format!("step{}", self.step),
        }
    }

    /// The names of its probes.
    pub fn probe_names(&self) -> impl Iterator<Item = String> {
        self.probes.iter().map(|file| name_of(file))
    }

    /// Where a function stands in the participant's crate.
    pub fn own_file(&self, function: &Function) -> PathBuf {
        if self.is_program() { "src/main.rs".into() } else { function.file.clone() }
    }

    /// The folder of the reference.
    pub fn reference(&self) -> PathBuf {
        repository().join("steps").join(&self.step)
    }

    /// The chapter that explains it, from the repository's root.
    pub fn chapter(&self) -> String {
        format!("book/src/{}.md", self.step)
    }

    /// The step's number, as in `3`.
    pub fn number(&self) -> &str {
        self.step.split('-').next().unwrap_or_default().trim_start_matches('0')
    }
}

/// The probes of all of a step's exercises, each once.
///
/// # Errors
/// As [`all`].
pub fn probes_of(step: &str) -> Result<BTreeSet<PathBuf>> {
    Ok(all()?.into_iter().filter(|e| e.step == step).flat_map(|e| e.probes).collect())
}

/// The program that a file is compiled to.
pub(super) fn name_of(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
