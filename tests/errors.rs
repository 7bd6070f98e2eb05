//! The errors of the gallery in the book that no chapter shows, each made on purpose.

use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "errors/not-permitted",
        "
        $ setpriv --bounding-set=-sys_chroot chroot rootfs true
        $ setpriv --bounding-set=-sys_admin unshare --uts true
        $ setpriv --bounding-set=-sys_admin mount -t tmpfs none /mnt 2>&1 | head -1
    ",
    ),
    transcript(
        "errors/proc-is-hidden",
        "
        $ unshare --user --map-root-user --mount --pid --fork mount -t proc none /proc 2>&1 | head -1
    ",
    ),
    transcript(
        "errors/busy",
        "
        $ mkdir mnt
        $ mount -t tmpfs none mnt
        $ cd mnt
        $ umount /lab/mnt
        $ cd /lab
        $ umount /lab/mnt
    ",
    ),
    transcript(
        "errors/exists",
        "
        $ ip link add br0 type bridge
        $ ip link add br0 type bridge
    ",
    ),
    transcript(
        "errors/cross-device",
        "
        $ mkdir view
        $ mount --bind rootfs view
        $ ln rootfs/etc/passwd view/etc/copy
    ",
    ),
    transcript(
        "errors/no-way",
        "
        $ ip route add default via 192.0.2.1
    ",
    ),
    transcript(
        "errors/no-such-namespace",
        "
        $ nsenter --target 999999 --uts true
    ",
    ),
];
