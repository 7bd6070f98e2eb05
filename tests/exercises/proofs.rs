//! Starters and wrong answers, all built at once.
//!
//! Each is a package of a workspace under the target folder, so one run of Cargo builds them side by side, and builds only
//! what has changed.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use toml::Table;
use workshop::exercises::catalogue::Exercise;
use workshop::exercises::parts::{self, Files};
use workshop::exercises::{build, desk};
use workshop::prepare;

/// The variant that is handed out.
pub(crate) const STARTER: &str = "starter";

/// The package of a variant.
pub(crate) fn package(exercise: &Exercise, variant: &str) -> String {
    format!("proof-{}-{variant}", exercise.id)
}

/// The folder of its programs.
pub(crate) fn programs(exercise: &Exercise, variant: &str) -> PathBuf {
    let package = package(exercise, variant);
    let names = [exercise.program()].into_iter().chain(exercise.probe_names());
    let binaries = names.map(|name| (name.clone(), format!("{package}-{name}")));
    build::programs("proofs", &package, binaries).expect("the folder can be made")
}

/// Builds all variants. Returns the warnings, by package.
///
/// # Errors
/// When one can't be written or compiled.
pub(crate) fn build(exercises: &[Exercise]) -> Result<BTreeMap<String, String>> {
    if env::var_os("KEEL_PREBUILT").is_some() {
        return Ok(BTreeMap::new());
    }
    let target = prepare::bin_dir()?;
    let target = target.parent().context("find the target folder")?;
    let folder = target.join("proofs");
    let mut workspace: Table = "workspace = { resolver = \"3\" }".parse()?;
    let mut members = Vec::new();
    for exercise in exercises {
        let mut variants = vec![(STARTER, parts::starter(exercise)?)];
        for wrong in &exercise.wrong {
            variants.push((&wrong.name, parts::wrong(exercise, wrong)?));
        }
        for (name, files) in variants {
            let package = package(exercise, name);
            let binary = |program: &str| format!("{package}-{program}");
            let home = folder.join(&package);
            let mut files = parts::complete(files, exercise, &home, &package, binary)?;
            let profile = make_a_member(&mut files)?;
            workspace.entry("profile").or_insert(profile);
            // Nobody debugs these.
            let dev = workspace["profile"]["dev"]["package"]
                .as_table_mut()
                .context("[profile.dev.package]")?;
            dev.insert(
                package.clone(),
                "debug = false\nincremental = false".parse::<Table>()?.into(),
            );
            files.iter().try_for_each(|(path, text)| desk::write(&home.join(path), text))?;
            members.push(package);
        }
    }
    workspace["workspace"]
        .as_table_mut()
        .context("a table")?
        .insert("members".into(), members.into());
    desk::write(&folder.join("Cargo.toml"), &toml::to_string(&workspace)?)?;
    let lock = prepare::repository().join("Cargo.lock");
    if !folder.join("Cargo.lock").exists() {
        std::fs::copy(&lock, folder.join("Cargo.lock")).context("copy Cargo.lock")?;
    }

    let mut cargo = prepare::cargo_build()?;
    cargo.args([
        "--bins",
        "--workspace",
        "--message-format=json-diagnostic-rendered-ansi",
        "--manifest-path",
    ]);
    cargo.arg(folder.join("Cargo.toml")).arg("--target-dir").arg(target);
    let built = cargo.stderr(Stdio::inherit()).output().context("start cargo")?;
    let messages = String::from_utf8_lossy(&built.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut warnings = BTreeMap::new();
    for message in messages.filter(|message| message["reason"] == "compiler-message") {
        let rendered = message["message"]["rendered"].as_str().unwrap_or_default();
        let package = message["package_id"].as_str().unwrap_or_default();
        let package = package.rsplit('/').next().unwrap_or_default();
        let package = package.split('#').next().unwrap_or_default();
        if message["message"]["level"] == "error" {
            eprintln!("{package}:\n{rendered}");
        }
        warnings.insert(package.to_owned(), rendered.to_owned());
    }
    ensure!(built.status.success(), "build the variants: cargo ended with {}", built.status);
    Ok(warnings)
}

/// Makes everything that the tests of exercises run: for another machine, which has no Cargo.
///
/// # Errors
/// When something can't be built.
#[allow(dead_code, reason = "used by tests/machines")]
pub(crate) fn prepare_all(exercises: &[Exercise]) -> Result<()> {
    build(exercises)?;
    for exercise in exercises {
        build::reference(exercise)?;
        programs(exercise, STARTER);
        exercise.wrong.iter().for_each(|wrong| drop(programs(exercise, &wrong.name)));
    }
    Ok(())
}

/// Takes from a crate what only the root of a workspace may have. Returns its profiles.
fn make_a_member(files: &mut Files) -> Result<toml::Value> {
    files.remove(&PathBuf::from("Cargo.lock"));
    let manifest = files.get_mut(&PathBuf::from("Cargo.toml")).context("the manifest")?;
    let mut table: Table = manifest.parse()?;
    table.remove("workspace");
    let profile = table.remove("profile").context("the profiles")?;
    *manifest = toml::to_string(&table)?;
    Ok(profile)
}
