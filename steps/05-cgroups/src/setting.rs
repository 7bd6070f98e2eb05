//! A limit as the kernel takes it: a text, written to a file of the cgroup.

use std::fmt::Display;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use crate::files;
use crate::limits::Limits;

/// One value for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub file: String,
    pub value: String,
    required: bool,
}

impl Setting {
    pub fn new(file: &str, value: impl Display) -> Setting {
        Setting { file: file.to_owned(), value: value.to_string(), required: true }
    }

    /// Whether it is an error that this kernel has no such file.
    pub fn required(self, required: bool) -> Setting {
        Setting { required, ..self }
    }

    /// Writes the value, to its file in `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let Setting { file, value, required } = self;
        match files::write(&folder.join(file), value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder.is_dir() => {
                match required {
                    true if file.contains("sw") => {
                        bail!("this kernel doesn't count swap (boot it with swapaccount=1)")
                    }
                    true => bail!("this kernel has no {file}"),
                    false => Ok(()),
                }
            }
            // A number that no CPU or memory node of this kernel could have.
            Err(error) if error.raw_os_error() == Some(Errno::ERANGE as i32) => {
                bail!("set {file} to {value}: out of range{}", there_are(file, folder))
            }
            other => {
                other.with_context(|| format!("set {file} to {value}{}", there_are(file, folder)))
            }
        }
    }
}

/// For a list of CPUs or memory nodes that was refused: the ones there are.
fn there_are(file: &str, folder: &Path) -> String {
    let effective = match file {
        "cpuset.cpus" => ["cpuset.cpus.effective", "cpuset.effective_cpus"],
        "cpuset.mems" => ["cpuset.mems.effective", "cpuset.effective_mems"],
        _ => return String::new(),
    };
    let list = effective.iter().find_map(|file| files::text(&folder.join(file)).ok()?);
    list.map(|list| format!(" (there are {list})")).unwrap_or_default()
}

/// The settings for a cpuset: these files are the same in both versions.
pub(crate) fn cpuset(limits: &Limits) -> Vec<Setting> {
    let lists = [("cpuset.cpus", &limits.cpuset_cpus), ("cpuset.mems", &limits.cpuset_mems)];
    let lists = lists.into_iter().filter_map(|(file, list)| Some((file, list.as_ref()?)));
    lists.map(|(file, list)| Setting::new(file, list)).collect()
}
