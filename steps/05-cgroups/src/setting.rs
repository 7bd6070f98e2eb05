//! A limit as the kernel takes it: a text, written to a file of the cgroup.

use std::fmt::Display;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};

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
        // v2 would take CPUs that there aren't, and then let the container run on all the others.
        if let Some(there) = there_are(file, folder)
            && !within(value, &there)
        {
            bail!("set {file} to {value}: out of range (there are {there})");
        }
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
            other => other.with_context(|| format!("set {file} to {value}")),
        }
    }
}

/// For a list of CPUs or memory nodes: those that the cgroup could have, the ones of its parent.
fn there_are(file: &str, folder: &Path) -> Option<String> {
    let effective = match file {
        "cpuset.cpus" => ["cpuset.cpus.effective", "cpuset.effective_cpus"],
        "cpuset.mems" => ["cpuset.mems.effective", "cpuset.effective_mems"],
        _ => return None,
    };
    let parent = folder.parent()?;
    effective.iter().find_map(|file| files::text(&parent.join(file)).ok()?)
}

/// Whether all that the first list names is in the second, which is the kernel's: ranges that touch
/// are one there.
fn within(list: &str, there: &str) -> bool {
    let ranges = |list: &str| -> Vec<(u32, u32)> {
        let ends = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        list.split(',').filter_map(ends).collect()
    };
    let there = ranges(there);
    let is_there =
        |&(first, last): &(u32, u32)| there.iter().any(|&(f, l)| f <= first && last <= l);
    ranges(list).iter().all(is_there)
}

/// The settings for a cpuset: these files are the same in both versions.
pub(crate) fn cpuset(limits: &Limits) -> Vec<Setting> {
    let lists = [("cpuset.cpus", &limits.cpuset_cpus), ("cpuset.mems", &limits.cpuset_mems)];
    let lists = lists.into_iter().filter_map(|(file, list)| Some((file, list.as_ref()?)));
    lists.map(|(file, list)| Setting::new(file, list)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_that_there_are() {
        for (list, there) in [("0", "0"), ("1-2", "0-3"), ("0,2-3", "0-3"), ("0,7", "0-1,6-7")] {
            assert!(within(list, there), "{list} of {there}");
        }
        for (list, there) in [("1", "0"), ("2-4", "0-3"), ("0,4", "0-3"), ("1-6", "0-1,6-7")] {
            assert!(!within(list, there), "{list} of {there}");
        }
    }
}
