//! Step 6: layers and copy-on-write.

use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "06-overlayfs/diff",
        "
        $ step06-overlayfs --upper mine --diff rootfs sh -c 'echo hi > /hello; rm /etc/group; chmod 700 /mnt'
        $ ls rootfs/hello rootfs/etc/group
        $ ls mine/upper mine/upper/etc
    ",
    ),
    transcript(
        "06-overlayfs/kept",
        "
        $ step06-overlayfs --upper mine rootfs sh -c 'echo hi > /hello'
        $ step06-overlayfs --upper mine rootfs cat /hello
        $ step06-overlayfs rootfs cat /hello
    ",
    ),
    transcript(
        "06-overlayfs/whiteout",
        "
        $ step06-overlayfs --upper mine rootfs rm /etc/group
        $ stat -c '%F %t:%T' mine/upper/etc/group
    ",
    ),
    transcript(
        "06-overlayfs/neighbours",
        "
        $ step04-mount-ns rootfs touch /evil
        $ step04-mount-ns rootfs ls /evil
        $ rm rootfs/evil
        $ step06-overlayfs rootfs touch /evil
        $ step06-overlayfs rootfs ls /evil
    ",
    ),
    transcript(
        "06-overlayfs/read-only",
        "
        $ step06-overlayfs --read-only rootfs touch /file
    ",
    ),
    transcript(
        "06-overlayfs/overlay-on-overlay",
        "
        $ mkdir lower upper work merged
        $ mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged
        $ step06-overlayfs --upper merged/mine rootfs true
        $ echo $?
    ",
    ),
    transcript(
        "06-overlayfs/no-rootfs",
        "
        $ step06-overlayfs nowhere true
        $ echo $?
        $ step06-overlayfs --diff rootfs true 2>&1 | head -3
    ",
    ),
    transcript(
        "06-overlayfs/help",
        "
        $ step06-overlayfs --help
    ",
    ),
    transcript(
        "06-overlayfs/xray",
        "
        $ xray --normal -- step06-overlayfs rootfs cat
    ",
    ),
];
