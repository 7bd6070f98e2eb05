//! Leaves the namespaces of the kinds that are named, and says which of all eight are new.
//!
//! `leaves uts ipc` looks before any exec: since Linux 6.2 that would change one of them.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::unistd::Pid;
use unshare::Namespace;

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let named = |name: String| {
        let found = Namespace::ALL.into_iter().find(|kind| kind.name() == name);
        found.with_context(|| format!("there is no kind '{name}'"))
    };
    let kinds = env::args().skip(1).map(named).collect::<Result<Vec<_>>>()?;

    let inode = |kind: &Namespace| kind.inode(Pid::this());
    let before = Namespace::ALL.iter().map(inode).collect::<Result<Vec<_>>>()?;
    unshare::leave(&kinds)?;
    let after = Namespace::ALL.iter().map(inode).collect::<Result<Vec<_>>>()?;

    let is_new = |&index: &usize| before[index] != after[index];
    println!("new: {}", names((0..8).filter(is_new)));
    let is_new_for_children = |&index: &usize| {
        // Only these two kinds have such a link. As long as a pid namespace has no process, it leads nowhere.
        let link = format!("/proc/self/ns/{}_for_children", Namespace::ALL[index]);
        fs::symlink_metadata(&link).is_ok()
            && !fs::metadata(&link).is_ok_and(|file| file.ino() == after[index])
    };
    println!("new for its children: {}", names((0..8).filter(is_new_for_children)));
    Ok(ExitCode::SUCCESS)
}

/// Their names in the table's order.
fn names(indices: impl Iterator<Item = usize>) -> String {
    let names: Vec<_> = indices.map(|index| Namespace::ALL[index].name()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}
