//! A participant, with a folder of their own, who types commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use workshop::exercises::catalogue::Exercise;
use workshop::exercises::desk::Desk;
use workshop::exercises::{parts, source};
use workshop::prepare::{bin_dir, repository};

use crate::harness::redact::redact;

/// Somebody who solves exercises.
pub(super) struct Participant {
    desk: Desk,
}

impl Participant {
    /// One who has not started yet. The folder has the test's name, so that what was compiled for it is there next time. It is
    /// not in the target folder, whose files Cargo doesn't take for sources.
    pub(super) fn new(name: &str) -> Participant {
        let folder = repository().join("tests/participants").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Participant { desk: Desk { folder } }
    }

    /// `cargo workshop` with these words, as it will be run.
    pub(super) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(bin_dir().unwrap().join("workshop"));
        command.args(words.split(' ')).current_dir(repository());
        command.env("KEEL_EXERCISES", &self.desk.folder).env("TERM", "dumb").stdin(Stdio::null());
        command.env_remove("CI").env_remove("RUST_BACKTRACE");
        command
    }

    /// Types it. Returns what is shown, with the line itself.
    pub(super) fn types(&self, words: &str) -> String {
        let output = self.command(words).output().unwrap();
        format!("$ cargo workshop {words}\n{}", redact(&self.shown(&output)))
    }

    /// What both streams have, with the folder under the name that it has for real.
    pub(super) fn shown(&self, output: &Output) -> String {
        let both = [&output.stderr[..], &output.stdout[..]].concat();
        let folder = self.desk.folder.strip_prefix(repository()).unwrap().display().to_string();
        String::from_utf8_lossy(&both).replace(&folder, "exercises")
    }

    /// The file in which a function is to be written.
    pub(super) fn file(&self, exercise: &Exercise) -> PathBuf {
        self.desk.crate_of(exercise).join(exercise.own_file(&exercise.write[0]))
    }

    /// Writes the body of the exercise's first function.
    pub(super) fn writes(&self, exercise: &Exercise, body: &str) {
        let file = self.file(exercise);
        let text = fs::read_to_string(&file).unwrap();
        let text = source::with_body(&text, &exercise.write[0].name, body).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Writes what the reference has.
    pub(super) fn solves(&self, exercise: &Exercise) {
        let reference = parts::reference(exercise).unwrap();
        let folder = self.desk.crate_of(exercise);
        for function in &exercise.write {
            let (file, name) = (exercise.own_file(function), &function.name);
            let theirs = fs::read_to_string(folder.join(&file)).unwrap();
            let ours = &reference[&file];
            let body = &ours[source::find(ours, name).unwrap().body];
            fs::write(folder.join(&file), source::with_body(&theirs, name, body).unwrap()).unwrap();
        }
    }

    /// A path in the participant's folder.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.desk.folder.join(Path::new(path))
    }
}
