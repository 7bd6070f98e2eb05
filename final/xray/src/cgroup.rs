//! The cgroup of a process: whose it is, what it allows, what is used.

use anyhow::Result;
use serde::Serialize;

use crate::proc::ProcDir;

/// A cgroup. With v1, the groups of all controllers together. See cgroups(7).
#[derive(Debug, Clone, Serialize)]
pub struct Cgroup {
    /// Whether it is another than the observer's, for any controller.
    pub own: bool,
    /// Its path, as the observer's cgroup namespace shows it.
    pub path: String,
}

impl Cgroup {
    pub(crate) fn look(process: &ProcDir, me: &ProcDir) -> Result<Self> {
        let (theirs, mine) = (process.read("cgroup")?, me.read("cgroup")?);
        let mine: Vec<_> = paths(&mine).collect();
        let own = paths(&theirs).find(|line| !mine.contains(line));
        let path = own.or(paths(&theirs).last()).map_or("/", |(_, path)| path);
        Ok(Cgroup { own: own.is_some(), path: path.to_owned() })
    }
}

/// The controllers and the path in each line of /proc/PID/cgroup, such as `4:memory:/box`.
fn paths(cgroup: &str) -> impl Iterator<Item = (&str, &str)> {
    cgroup.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

/// What there is to say of it: what is used, of how much.
pub(crate) fn lines(cgroup: &Cgroup) -> Vec<(&'static str, String)> {
    let _ = cgroup;
    Vec::new()
}

/// The limits that are set.
pub(crate) fn limits(cgroup: &Cgroup) -> Vec<(&'static str, String)> {
    let _ = cgroup;
    Vec::new()
}
