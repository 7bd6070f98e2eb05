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
