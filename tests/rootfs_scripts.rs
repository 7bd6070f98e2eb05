//! rootfs-scripts: the same tree every time, and never half a one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use workshop::prepare::repository;

use crate::harness::{Test, function};

pub(crate) const TESTS: &[Test] = &[
    function("rootfs-scripts/busybox-is-the-same-every-time", same_every_time),
    function("rootfs-scripts/busybox-leaves-a-finished-tree-alone", finished_is_left_alone),
    function("rootfs-scripts/busybox-interrupted", interrupted),
    function("rootfs-scripts/alpine-refuses-a-wrong-checksum", wrong_checksum),
    function("rootfs-scripts/usage", usage),
];

fn script(name: &str) -> Command {
    let mut command = Command::new(repository().join("rootfs-scripts").join(name));
    command.stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn same_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let trees = ["one", "two words"].map(|name| {
        let tree = dir.path().join(name);
        let made = script("busybox.sh").arg(&tree).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        listing(&tree, &tree)
    });
    assert!(trees[0].len() > 100, "{:#?}", trees[0]);
    assert_eq!(trees[0], trees[1]);
}

fn finished_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("rootfs");
    assert!(script("busybox.sh").arg(&tree).status().unwrap().success());
    fs::write(tree.join("mine"), "kept").unwrap();
    let again = script("busybox.sh").arg(&tree).output().unwrap();
    assert!(
        again.status.success() && said(&again).contains("is there already"),
        "{}",
        said(&again)
    );
    assert_eq!(fs::read_to_string(tree.join("mine")).unwrap(), "kept");

    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine"), "kept").unwrap();
    let refused = script("busybox.sh").arg(&other).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert_eq!(listing(&other, &other).len(), 1);
}

fn interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = script("busybox.sh")
        .arg(dir.path().join("rootfs"))
        .process_group(0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // As soon as it has begun to write: its first folder is there.
    while fs::read_dir(dir.path()).unwrap().next().is_none() && run.try_wait().unwrap().is_none() {}
    let _ = killpg(Pid::from_raw(run.id() as i32), Signal::SIGINT);
    let status = run.wait().unwrap();
    let left = listing(dir.path(), dir.path());
    assert!(left.is_empty() || status.success(), "{status}: {left:#?}");
}

fn wrong_checksum() {
    let dir = tempfile::tempdir().unwrap();
    // Any answer of the mirror's is the wrong one: a file that is not the archive, or none at all.
    let refused = script("alpine.sh")
        .arg(dir.path().join("rootfs"))
        .env("ALPINE_MIRROR", format!("file://{}", dir.path().join("mirror").display()))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(listing(dir.path(), dir.path()).is_empty());
}

fn usage() {
    for name in ["busybox.sh", "debian.sh", "alpine.sh"] {
        let nothing = script(name).output().unwrap();
        assert_eq!(nothing.status.code(), Some(2), "{name}: {}", said(&nothing));
        let help = script(name).arg("--help").output().unwrap();
        assert!(help.status.success() && said(&help).starts_with("Usage: "), "{}", said(&help));
    }
}

/// Path, mode, and target or size of everything below `folder`, sorted.
fn listing(folder: &Path, root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let target = fs::read_link(&path).unwrap_or_default();
        let shown = path.strip_prefix(root).unwrap().display().to_string();
        let size = if metadata.is_file() { metadata.len() } else { 0 };
        lines.push(format!("{shown} {:o} {size} {}", metadata.mode(), target.display()));
        if metadata.is_dir() {
            lines.extend(listing(&path, root));
        }
    }
    lines.sort();
    lines
}
