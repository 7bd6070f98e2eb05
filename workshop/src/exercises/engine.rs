//! The participant's own engine: `keel`, linked with the steps that they have solved.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::catalogue::Exercise;
use super::{Workshop, build};
use crate::prepare::{bin_dir, cargo_build, refresh, repository};

/// An engine that was built.
#[derive(Debug)]
pub struct Engine {
    /// The folder of the programs: `keel`, and the binaries of the participant's steps.
    pub programs: PathBuf,
    /// Each step, and the ids of its exercises that the participant has solved.
    pub steps: Vec<(String, Vec<String>)>,
}

/// Builds it.
///
/// # Errors
/// When nothing is solved yet, or the participant's code no longer compiles.
pub fn build(workshop: &Workshop) -> Result<Engine> {
    let progress = workshop.progress()?;
    let is_solved = |e: &&Exercise| {
        !e.is_program() && progress.of(&e.id).solved.is_some() && workshop.desk.has(e)
    };
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    for exercise in &workshop.exercises {
        if steps.last().is_none_or(|(step, _)| *step != exercise.step) {
            steps.push((exercise.step.clone(), Vec::new()));
        }
    }
    let solved: Vec<&Exercise> = workshop.exercises.iter().filter(is_solved).collect();
    for exercise in &solved {
        let step = steps.iter_mut().find(|(step, _)| *step == exercise.step);
        step.context("find the step")?.1.push(exercise.id.clone());
    }
    ensure!(
        !solved.is_empty(),
        "no step is solved yet: 'cargo workshop list' shows where to begin"
    );

    refresh()?;
    for exercise in &solved {
        let built = build::build(exercise, &workshop.desk.crate_of(exercise))?;
        ensure!(built.is_some(), "build your keel: {} no longer compiles", exercise.step);
    }
    let crates = steps.iter().filter(|(_, ids)| !ids.is_empty());
    let crates: Vec<String> =
        crates.map(|(step, _)| workshop.desk.folder.join(step).display().to_string()).collect();
    let mut cargo = cargo_build()?;
    // Cargo's `paths`: these crates stand in for those of the same name, wherever they occur.
    cargo.args(["--package", "keel", "--config"]).arg(format!("paths={crates:?}"));
    let status = cargo.status().context("start cargo")?;
    let programs = folder(workshop)?;
    fs::create_dir_all(&programs).with_context(|| format!("make {}", programs.display()))?;
    if status.success() {
        let keel = bin_dir()?.join("keel");
        // A new file: the old one may be running.
        let new = programs.join(".keel.new");
        fs::copy(keel, &new)
            .and_then(|_| fs::rename(&new, programs.join("keel")))
            .context("keep your keel")?;
    }
    // Cargo has put it where the reference's belongs.
    let mut cargo = cargo_build()?;
    cargo.args(["--package", "keel", "--quiet"]).status().context("start cargo")?;
    ensure!(status.success(), "build your keel: cargo ended with {status}");

    for exercise in solved {
        let program = programs.join(exercise.program());
        let _ = fs::remove_file(&program);
        let binary = bin_dir()?.join(build::binary(&exercise.program()));
        std::os::unix::fs::symlink(binary, program).context("keep your step")?;
    }
    Ok(Engine { programs, steps })
}

/// Below the binaries' own folder, which the lab shows wherever the repository lies.
fn folder(workshop: &Workshop) -> Result<PathBuf> {
    Ok(bin_dir()?.join("exercises/engine").join(workshop.desk.name()))
}

/// Where the participant's engine is, once it was built.
///
/// # Errors
/// When it never was.
pub fn programs(workshop: &Workshop) -> Result<PathBuf> {
    let programs = folder(workshop)?;
    let there = programs.join("keel").exists();
    ensure!(there, "there is no keel of yours yet: 'cargo workshop engine' builds it");
    Ok(programs)
}

/// What it is made of, in words.
pub fn words(engine: &Engine) -> String {
    let mut text = "Your keel is built. It is made of:\n\n".to_owned();
    for (step, ids) in &engine.steps {
        let whose = if ids.is_empty() {
            "the reference's".to_owned()
        } else {
            format!("yours ({})", ids.join(", "))
        };
        text += &format!("  {step:<16} {whose}\n");
    }
    let program = engine.programs.join("keel");
    let program = program.strip_prefix(repository()).map_or(program.as_path(), Path::new);
    text + &format!("\n{}\ntry it: cargo workshop lab --mine\n", program.display())
}
