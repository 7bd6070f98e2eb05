//! Snapshots: three header lines, then the text, so that the book includes one from its line 4.

use std::path::{Path, PathBuf};

/// Holds `text` against the snapshot `name` (`folder/name`).
///
/// # Panics
/// When they differ; insta shows how.
pub(crate) fn hold(name: &str, text: &str) {
    let (folder, name) = name.split_once('/').expect("a snapshot is named folder/name");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder_of_all().join(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Holds `text` against the beginning of the snapshot `name`.
///
/// # Panics
/// When they differ.
#[allow(dead_code, reason = "tests/machines doesn't use it")]
pub(crate) fn hold_start(name: &str, text: &str) {
    let file = folder_of_all().join(format!("{name}.snap"));
    let snapshot = std::fs::read_to_string(&file).expect("a snapshot");
    let (_header, held) = snapshot.split_once("\n---\n").expect("three header lines");
    assert!(held.starts_with(text.trim_end()), "{} begins otherwise:\n{text}", file.display());
}

/// The folder of all snapshots.
pub(crate) fn folder_of_all() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots")
}
