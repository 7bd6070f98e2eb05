//! Step 1: another root directory.

use std::fs;

use regex::{Captures, Regex};
use workshop::prepare::repository;

use crate::harness::needs::Need::Speed;
use crate::harness::{Test, function, lab, snapshot, transcript};

pub(crate) const TESTS: &[Test] = &[
    function("01-chroot/in-one-lab", || in_one_lab("01-chroot.md")).needs(&[Speed]),
    transcript(
        "01-chroot/ls",
        "
        $ step01-chroot rootfs ls /
    ",
    ),
    transcript(
        "01-chroot/environment",
        "
        $ SECRET=hunter2 step01-chroot rootfs env
    ",
    ),
    transcript(
        "01-chroot/still-the-hosts",
        "
        $ hostname
        $ step01-chroot rootfs hostname
        $ step01-chroot rootfs id -u
    ",
    ),
    transcript(
        "01-chroot/exit-codes",
        "
        $ step01-chroot rootfs sh -c 'exit 7'
        $ echo $?
        $ step01-chroot rootfs no-such-command
        $ echo $?
        $ step01-chroot rootfs /etc/passwd
        $ echo $?
        $ step01-chroot rootfs sh -c 'kill -TERM $$'
        $ echo $?
    ",
    ),
    transcript(
        "01-chroot/no-rootfs",
        "
        $ step01-chroot nowhere sh
        $ echo $?
        $ mkdir empty
        $ step01-chroot empty sh
        $ echo $?
    ",
    ),
    transcript(
        "01-chroot/help",
        "
        $ step01-chroot --help
    ",
    ),
    transcript(
        "01-chroot/closed-descriptors",
        "
        $ exec 9</
        $ step01-chroot rootfs sh -c 'cat <&9' 2>&1 | cut -d: -f2-
    ",
    ),
    transcript(
        "01-chroot/xray",
        "
        $ xray --normal -- step01-chroot rootfs cat
    ",
    ),
    transcript(
        "01-chroot/no-container",
        "
        $ echo treasure > secret
        $ export SECRET=hunter2
        $ sh -c 'cat /lab/secret; echo SECRET=$SECRET'
    ",
    ),
    transcript(
        "01-chroot/attack-stopped",
        "
        $ echo treasure > secret
        $ export SECRET=hunter2
        $ step01-chroot rootfs sh -c 'cat /lab/secret; echo SECRET=$SECRET'
    ",
    ),
    transcript(
        "01-chroot/own",
        "
        $ xray --own -- step01-chroot rootfs cat
    ",
    ),
    transcript(
        "01-chroot/by-hand",
        "
        $ mkfifo rootfs/ready
        $ chroot rootfs sh -c 'echo > /ready; exec sleep 1000' &
        $ read line < rootfs/ready
        $ readlink /proc/$!/root
    ",
    ),
    transcript(
        "01-chroot/left-open",
        "
        $ echo treasure > secret
        $ exec 9< secret
        $ chroot rootfs sh -c 'cat <&9'
    ",
    ),
    transcript(
        "01-chroot/dot-dot",
        "
        $ step01-chroot rootfs sh -c 'cd /../../..; pwd; ls -d /lab'
    ",
    ),
    transcript(
        "01-chroot/one-folder",
        "
        $ step01-chroot rootfs sh -c 'echo mine > /tmp/note'
        $ step01-chroot rootfs cat /tmp/note
        $ cat rootfs/tmp/note
    ",
    ),
    transcript(
        "01-chroot/smallest",
        "
        $ mkdir -p tiny/bin
        $ cp rootfs/bin/busybox tiny/bin/
        $ step01-chroot tiny busybox ls -F /
        $ step01-chroot tiny ls
    ",
    ),
    transcript(
        "01-chroot/no-interpreter",
        "
        $ echo '#!/bin/python3' > rootfs/script
        $ chmod +x rootfs/script
        $ step01-chroot rootfs /script
        $ echo $?
    ",
    ),
];

/// A reader may type a chapter from its first line to its last without leaving the lab: no transcript
/// spoils a later one.
pub(crate) fn in_one_lab(page: &str) {
    let page = fs::read_to_string(repository().join("book/src").join(page)).unwrap();
    let include =
        Regex::new(r"```console\n\{\{#include [./]+tests/snapshots/([\w/-]+\.snap):4:").unwrap();
    let includes: Vec<Captures> = include.captures_iter(&page).collect();
    assert!(!includes.is_empty(), "nothing to type");
    assert_eq!(includes.len(), page.matches("```console").count(), "these can't be all");
    // These need a machine with cgroup version 2, and a fresh lab each, as the page says.
    let is_typed = |include: &&Captures| !include[1].starts_with("cgroup-v2/");
    let transcript = |include: &Captures| {
        let snapshot = snapshot::folder_of_all().join(&include[1]);
        let text = fs::read_to_string(snapshot).unwrap();
        text.splitn(4, '\n').nth(3).unwrap().to_owned()
    };
    let transcripts: Vec<String> = includes.iter().filter(is_typed).map(transcript).collect();

    let each_in_its_own = transcripts.concat();
    let typed = |line: &&str| line.starts_with("$ ") || line.starts_with("> ");
    let lines: Vec<&str> = each_in_its_own.lines().filter(typed).collect();
    let all_in_one = lab::transcript(&lines.join("\n")).unwrap();
    expect_same(&each_in_its_own, &all_in_one);
}

/// Line by line, but for empty lines: a snapshot keeps none at its end.
fn expect_same(expected: &str, seen: &str) {
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let (expected, seen) = (lines(expected), lines(seen));
    for (expected, seen) in expected.iter().zip(&seen) {
        assert_eq!(expected, seen, "when it is typed in one lab");
    }
    assert_eq!(expected.len(), seen.len());
}
