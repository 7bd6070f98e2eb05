//! The Cargo.toml of a participant's crate: the step's own, made to stand alone.
//!
//! It is a workspace of its own, so that the repository's never sees it, but names the same versions and profiles: what was
//! compiled for the one serves the other.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::catalogue::Exercise;
use crate::prepare::repository;

/// What an unfinished program may have: a starter uses less than it will.
const ALLOWED: [&str; 5] =
    ["dead_code", "missing_docs", "unused_imports", "unused_mut", "unused_variables"];

/// Writes the manifest of `exercise` for a crate in `folder`. The package is called `package`; each program has a name and a
/// file.
///
/// # Errors
/// When the step's manifest can't be read.
pub fn of(
    exercise: &Exercise,
    folder: &Path,
    package: &str,
    programs: &[(String, PathBuf)],
) -> Result<String> {
    let workspace = read(&repository().join("Cargo.toml"))?;
    let step = read(&exercise.reference().join("Cargo.toml"))?;
    let shared = table(&workspace, "workspace")?;
    let versions = table(shared, "dependencies")?;
    let at_home = folder.parent().and_then(Path::parent) == Some(repository());
    // Relative, so that the repository may be moved.
    let up = if at_home { Path::new("../..") } else { repository() };

    let library = table(&step, "lib")?["name"].clone();
    let with_versions = |names: Vec<&str>| -> Result<Table> {
        let version = |name: &str| {
            let version = versions.get(name);
            let version = version.with_context(|| format!("there is no version of {name}"))?;
            Ok((name.to_owned(), from(version.clone(), up)))
        };
        names.into_iter().map(version).collect()
    };
    let mut names: Vec<&str> = table(&step, "dependencies")?.keys().map(String::as_str).collect();
    if exercise.is_program() {
        names.push(library.as_str().context("the library's name")?);
    }
    let dependencies = with_versions(names)?;

    let mut manifest = Table::new();
    manifest.insert("workspace".into(), Table::new().into());
    let mut about = Table::new();
    about.insert("name".into(), package.into());
    for key in ["version", "edition", "rust-version", "publish"] {
        about.insert(key.into(), table(shared, "package")?[key].clone());
    }
    if !at_home {
        // Cargo tells crates in one target folder apart by name and version, not by where they lie.
        let version = about["version"].as_str().unwrap_or_default();
        about.insert("version".into(), format!("{version}+{}", mark(folder)).into());
    }
    manifest.insert("package".into(), about.into());
    if !exercise.is_program() {
        manifest.insert("lib".into(), Table::from_iter([("name".to_owned(), library)]).into());
    }
    let bin = |(name, file): &(String, PathBuf)| {
        let path = file.display().to_string();
        Value::from(Table::from_iter(
            [("name", name.clone()), ("path", path)].map(|(k, v)| (k.to_owned(), v.into())),
        ))
    };
    manifest.insert("bin".into(), programs.iter().map(bin).collect::<Vec<_>>().into());
    manifest.insert("dependencies".into(), dependencies.into());
    // Nothing here needs them, but a crate that stands in for the step must have the same, or Cargo warns.
    if let (false, Some(tests)) = (exercise.is_program(), step.get("dev-dependencies")) {
        let names = tests.as_table().context("the dev-dependencies")?.keys().map(String::as_str);
        manifest.insert("dev-dependencies".into(), with_versions(names.collect())?.into());
    }
    manifest.insert("lints".into(), lints(table(shared, "lints")?)?.into());
    manifest.insert("profile".into(), workspace["profile"].clone());
    toml::to_string(&manifest).context("write a manifest")
}

/// Something short that no other folder has.
fn mark(folder: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

/// A dependency with its path, if it has one, from elsewhere.
fn from(mut dependency: Value, up: &Path) -> Value {
    if let Some(path) = dependency.get_mut("path") {
        *path = up.join(path.as_str().unwrap_or_default()).display().to_string().into();
    }
    dependency
}

fn lints(shared: &Table) -> Result<Table> {
    let mut lints = shared.clone();
    let rust = lints.get_mut("rust").and_then(Value::as_table_mut).context("there are no lints")?;
    rust.extend(ALLOWED.map(|lint| (lint.to_owned(), "allow".into())));
    Ok(lints)
}

fn read(file: &Path) -> Result<Table> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    text.parse().with_context(|| format!("read {}", file.display()))
}

fn table<'a>(from: &'a Table, key: &str) -> Result<&'a Table> {
    from.get(key).and_then(Value::as_table).with_context(|| format!("there is no [{key}]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exercises::catalogue;

    #[test]
    fn a_crate_that_stands_in_for_a_step_has_its_dependencies() {
        for exercise in catalogue::all().unwrap().iter().filter(|e| !e.is_program()) {
            let folder = repository().join("exercises").join(&exercise.step);
            let text = of(exercise, &folder, &exercise.program(), &[]).unwrap();
            let (own, step) = (text.parse::<Table>().unwrap(), exercise.reference());
            let step = read(&step.join("Cargo.toml")).unwrap();
            for kind in ["dependencies", "dev-dependencies"] {
                let names = |manifest: &Table| -> Vec<String> {
                    let table = manifest.get(kind).and_then(Value::as_table);
                    let mut names: Vec<_> = table.into_iter().flat_map(Table::keys).collect();
                    names.sort();
                    names.into_iter().cloned().collect()
                };
                assert_eq!(names(&own), names(&step), "{}: {kind}", exercise.id);
            }
        }
    }
}
