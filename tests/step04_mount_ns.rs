//! Step 4: an own mount table.

use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "04-mount-ns/mounts",
        "
        $ step04-mount-ns rootfs awk '$2 !~ /proc.|sys./ { print $3, $2 }' /proc/mounts
    ",
    ),
    transcript(
        "04-mount-ns/climb-out",
        "
        $ echo treasure > /lab/secret
        $ step03-pid-ns rootfs nsenter --mount=/proc/1/ns/mnt cat /lab/secret
        $ step04-mount-ns rootfs nsenter --mount=/proc/1/ns/mnt cat /lab/secret
    ",
    ),
    transcript(
        "04-mount-ns/leak",
        "
        $ step03-pid-ns rootfs mount -t tmpfs leak /mnt
        $ grep -c ^leak /proc/mounts
        $ umount rootfs/mnt
        $ step04-mount-ns rootfs mount -t tmpfs leak /mnt
        $ grep -c ^leak /proc/mounts
    ",
    ),
    transcript(
        "04-mount-ns/volume",
        "
        $ mkdir data
        $ step04-mount-ns -v ./data:/data rootfs sh -c 'echo kept > /data/file'
        $ cat data/file
        $ step04-mount-ns -v ./data:/data:ro rootfs touch /data/file
    ",
    ),
    transcript(
        "04-mount-ns/volume-below",
        "
        $ mkdir -p data/deeper
        $ mount -t tmpfs deeper data/deeper
        $ step04-mount-ns -v ./data:/data:ro rootfs touch /data/deeper/file
    ",
    ),
    transcript(
        "04-mount-ns/read-only",
        "
        $ step04-mount-ns --read-only --tmpfs /run rootfs sh -c 'touch /run/fine; touch /file'
    ",
    ),
    transcript(
        "04-mount-ns/masks",
        "
        $ step04-mount-ns rootfs sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
        $ step04-mount-ns rootfs wc -c /proc/keys
    ",
    ),
    transcript(
        "04-mount-ns/evil-symlink",
        "
        $ mv rootfs/proc rootfs/proc.real
        $ mkdir victim
        $ ln -s ../../../../lab/victim rootfs/proc
        $ step04-mount-ns rootfs true
        $ ls victim
    ",
    ),
    transcript(
        "04-mount-ns/devices",
        "
        $ step04-mount-ns rootfs sh -c 'cd /dev; ls'
        $ step04-mount-ns rootfs sh -c 'head -c 3 /dev/zero | od -c'
    ",
    ),
    transcript(
        "04-mount-ns/bad-volume",
        "
        $ step04-mount-ns -v /nowhere:/data rootfs true
        $ echo $?
        $ step04-mount-ns -v data rootfs true 2>&1 | head -1
    ",
    ),
    transcript(
        "04-mount-ns/help",
        "
        $ step04-mount-ns --help
    ",
    ),
    transcript(
        "04-mount-ns/xray",
        "
        $ xray --normal -- step04-mount-ns rootfs cat
    ",
    ),
];
