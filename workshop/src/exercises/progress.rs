//! What a participant has done: `exercises/progress.json`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// The exercise that commands mean when they name none: the one that was started or checked last.
    pub current: Option<String>,
    /// By the exercise's id.
    pub exercises: BTreeMap<String, Entry>,
}

/// One exercise.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it was solved for the first time.
    pub solved: Option<Timestamp>,
    /// How often it was checked until then.
    pub checks: u32,
    /// How many hints were shown.
    pub hints: usize,
    /// Whether the solution was shown before it was solved.
    pub solution_seen: bool,
    /// What the step's source was at the start, by its digest.
    pub reference: Option<String>,
}

impl Progress {
    /// Reads it. Who has none has done nothing yet.
    ///
    /// # Errors
    /// When the file can't be read, or holds something else.
    pub fn read(folder: &Path) -> Result<Progress> {
        let file = path(folder);
        match fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Progress::default()),
            read => {
                let text = read.with_context(|| format!("read {}", file.display()))?;
                serde_json::from_str(&text).with_context(|| {
                    format!("read {} (mend it, or move it away to begin anew)", file.display())
                })
            }
        }
    }

    /// Changes it. A `watch` and another command may do so at once: each waits for the other.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn change(folder: &Path, change: impl FnOnce(&mut Progress)) -> Result<Progress> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let lock = folder.join(".lock");
        let lock = File::create(&lock).with_context(|| format!("make {}", lock.display()))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)
            .context("lock the progress")?;
        let mut progress = Progress::read(folder)?;
        change(&mut progress);
        // rename(2): whoever looks sees the old file or the new one, and a full disk costs neither.
        let (file, new) = (path(folder), folder.join(".progress.json.new"));
        let text = serde_json::to_string_pretty(&progress).context("write the progress")?;
        fs::write(&new, text + "\n").with_context(|| format!("write {}", new.display()))?;
        fs::rename(&new, &file).with_context(|| format!("write {}", file.display()))?;
        Ok(progress)
    }

    /// The entry of `id`; an empty one if there is none.
    pub fn of(&self, id: &str) -> Entry {
        self.exercises.get(id).cloned().unwrap_or_default()
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("progress.json")
}
