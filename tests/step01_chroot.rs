//! Step 1: another root directory.

use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
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
];
