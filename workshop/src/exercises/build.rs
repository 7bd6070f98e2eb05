//! From a crate to a program that the lab can run.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::catalogue::Exercise;
use crate::prepare::{self, cargo_build};

/// A participant's program is called this way among those of the repository.
pub fn binary(program: &str) -> String {
    format!("my-{program}")
}

/// Builds the crate in `folder`. Returns the folder of programs for a [`crate::session::Session`]; `None` if it can't be
/// compiled: Cargo has said why.
///
/// # Errors
/// When Cargo can't be started.
pub fn build(exercise: &Exercise, folder: &Path) -> Result<Option<PathBuf>> {
    let target = prepare::bin_dir()?;
    let target = target.parent().context("find the target folder")?;
    let mut cargo = cargo_build()?;
    cargo.args(["--quiet", "--bins", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target);
    if !cargo.status().context("start cargo")?.success() {
        return Ok(None);
    }
    let names = [exercise.program()].into_iter().chain(exercise.probe_names());
    programs("mine", &exercise.id, names.map(|name| (name.clone(), binary(&name)))).map(Some)
}

/// The reference: its own programs, if it has any. A step's binary is in every lab.
///
/// # Errors
/// When they can't be built.
pub fn reference(exercise: &Exercise) -> Result<Option<PathBuf>> {
    let program = exercise.is_program().then(|| exercise.program());
    let examples: Vec<String> = program.into_iter().chain(exercise.probe_names()).collect();
    if examples.is_empty() {
        return Ok(None);
    }
    if std::env::var_os("KEEL_PREBUILT").is_none() {
        let mut cargo = cargo_build()?;
        cargo.args(["--quiet", "--package", &format!("step{}", exercise.step)]);
        cargo.args(examples.iter().flat_map(|name| ["--example", name]));
        let status = cargo.status().context("start cargo")?;
        ensure!(
            status.success(),
            "build the reference of {}: cargo ended with {status}",
            exercise.id
        );
    }
    let binaries = examples.iter().map(|name| (name.clone(), format!("examples/{name}")));
    programs("reference", &exercise.id, binaries).map(Some)
}

/// A folder with programs under the names that an exercise knows; each is found at a path below that of all binaries.
///
/// # Errors
/// When it can't be made.
pub fn programs(
    whose: &str,
    id: &str,
    binaries: impl Iterator<Item = (String, String)>,
) -> Result<PathBuf> {
    // Below the binaries' own folder, which the lab shows wherever the repository lies.
    let bin = prepare::bin_dir()?;
    let folder = bin.join("exercises").join(whose).join(id);
    let doing = || format!("make {}", folder.display());
    fs::create_dir_all(&folder).with_context(doing)?;
    for (name, binary) in binaries {
        match symlink(bin.join(binary), folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.with_context(doing)?,
        }
    }
    Ok(folder)
}
