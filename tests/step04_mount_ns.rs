//! Step 4: a mount table of its own.

use crate::harness::needs::Need::Speed;
use crate::harness::{Test, function, transcript};
use crate::step01_chroot::in_one_lab;

pub(crate) const TESTS: &[Test] = &[
    function("04-mount-ns/in-one-lab", || in_one_lab("04-mount-ns.md")).needs(&[Speed]),
    transcript(
        "04-mount-ns/first-look",
        "
        $ step04-mount-ns --hostname box rootfs hostname
        $ step04-mount-ns --hostname box rootfs ps
        $ uname -r > kernel
        $ step04-mount-ns rootfs uname -r | cmp - kernel && echo the same kernel
    ",
    ),
    transcript(
        "04-mount-ns/mounts",
        "
        $ step04-mount-ns rootfs awk '$2 !~ /proc.|sys.|dev.[nzfrut]/ { print $3, $2 }' /proc/mounts
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
        $ rm rootfs/proc; mv rootfs/proc.real rootfs/proc
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
    transcript(
        "04-mount-ns/before-climb",
        "
        $ echo treasure > /lab/secret
        $ step03-pid-ns rootfs nsenter --mount=/proc/1/ns/mnt cat /lab/secret
    ",
    ),
    transcript(
        "04-mount-ns/before-leak",
        "
        $ step03-pid-ns rootfs mount -t tmpfs leak /mnt
        $ grep -c ^leak /proc/mounts
        $ umount rootfs/mnt
    ",
    ),
    transcript(
        "04-mount-ns/own",
        "
        $ xray --own -- step04-mount-ns rootfs cat
    ",
    ),
    transcript(
        "04-mount-ns/read-only-by-hand",
        "
        $ mkdir -p data/deeper view
        $ mount -t tmpfs deeper data/deeper
        $ mount --rbind data view
        $ mount -o remount,bind,ro view
        $ touch view/file
        $ touch view/deeper/file
        $ ls data/deeper
    ",
    ),
    transcript(
        "04-mount-ns/shared-by-hand",
        "
        $ mkdir stage
        $ mount -t tmpfs stage stage
        $ mount --make-shared stage
        $ findmnt -n -o PROPAGATION stage
        $ mkdir stage/a stage/b
        $ unshare --mount --propagation unchanged mount -t tmpfs leak stage/a
        $ grep -c ^leak /proc/mounts
        $ unshare --mount --propagation private mount -t tmpfs leak stage/b
        $ grep -c ^leak /proc/mounts
        $ umount -R stage
    ",
    ),
    transcript(
        "04-mount-ns/slave-by-hand",
        "
        $ mkdir -p stage
        $ mount -t tmpfs stage stage
        $ mount --make-shared stage
        $ mkdir stage/out stage/in
        $ mkfifo ready go
        $ inside='mount -t tmpfs out stage/out; echo > ready; read line < go; grep -c ^in /proc/mounts'
        $ unshare --mount --propagation slave sh -c \"$inside\" &
        $ read line < ready
        $ grep -c ^out /proc/mounts
        $ mount -t tmpfs in stage/in
        $ echo > go; wait $!
        $ umount -R stage
    ",
    ),
    transcript(
        "04-mount-ns/trap-by-name",
        "
        $ mkdir victim
        $ ln -s ../../../../lab/victim rootfs/trap
        $ mount -t tmpfs sprung rootfs/trap
        $ grep ^sprung /proc/mounts | cut -d ' ' -f 2
        $ umount victim; rm -r victim rootfs/trap
    ",
    ),
    transcript(
        "04-mount-ns/trap-in-root",
        "
        $ mkdir victim
        $ ln -s ../../../../lab/victim rootfs/trap
        $ step04-mount-ns --tmpfs /trap rootfs grep -o /lab/victim /proc/mounts
        $ grep -c victim /proc/mounts
        $ rm -r victim rootfs/trap
    ",
    ),
    transcript(
        "04-mount-ns/pivot-refused",
        "
        $ unshare --mount pivot_root rootfs rootfs/mnt 2>&1 | grep -o 'Invalid argument'
    ",
    ),
    transcript(
        "04-mount-ns/pivot-by-hand",
        r#"
        $ cat > pivot.sh <<'END'
        > mount --bind rootfs rootfs
        > cd rootfs
        > mount -t proc proc proc
        > mkdir old
        > pivot_root . old
        > cd /
        > umount -l /old
        > awk '{ print $3, $2 }' /proc/mounts
        > END
        $ unshare --mount sh pivot.sh
    "#,
    ),
];
