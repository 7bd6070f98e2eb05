//! Step 2: own names.

use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "02-unshare/hostname",
        "
        $ step02-unshare --hostname box rootfs hostname
        $ hostname
    ",
    ),
    transcript(
        "02-unshare/evil-hostname",
        "
        $ step01-chroot rootfs hostname evil
        $ hostname
        $ hostname lab
        $ step02-unshare rootfs hostname evil
        $ hostname
    ",
    ),
    transcript(
        "02-unshare/domainname",
        "
        $ show='mount -t proc proc /proc; cat /proc/sys/kernel/domainname; umount /proc'
        $ step02-unshare --domainname example.test rootfs sh -c \"$show\"
        $ cat /proc/sys/kernel/domainname
    ",
    ),
    transcript(
        "02-unshare/ipc",
        "
        $ ipcmk --shmem 4096 > /dev/null
        $ count='mount -t proc proc /proc; grep -c 4096 /proc/sysvipc/shm; umount /proc'
        $ step01-chroot rootfs sh -c \"$count\"
        $ step02-unshare rootfs sh -c \"$count\"
    ",
    ),
    transcript(
        "02-unshare/clock",
        "
        $ step02-unshare --boottime 8640000 rootfs uptime | grep -o 'up 10[0-9] days'
    ",
    ),
    transcript(
        "02-unshare/bad-hostname",
        "
        $ step02-unshare --hostname '' rootfs true
        $ echo $?
    ",
    ),
    transcript(
        "02-unshare/help",
        "
        $ step02-unshare --help
    ",
    ),
    transcript(
        "02-unshare/xray",
        "
        $ xray --normal -- step02-unshare rootfs cat
    ",
    ),
    transcript(
        "02-unshare/before",
        "
        $ step01-chroot rootfs hostname evil
        $ hostname
    ",
    ),
    transcript(
        "02-unshare/copy-or-empty",
        "
        $ ipcmk --shmem 4096 > /dev/null
        $ grep -c 4096 /proc/sysvipc/shm
        $ unshare --uts hostname
        $ unshare --ipc grep -c 4096 /proc/sysvipc/shm
    ",
    ),
    transcript(
        "02-unshare/own",
        "
        $ xray --own -- step02-unshare rootfs cat
    ",
    ),
    transcript(
        "02-unshare/by-hand",
        r#"
        $ cat > compare.sh <<'END'
        > for kind in uts ipc pid; do
        >     mine=$(readlink /proc/$$/ns/$kind)
        >     parents=$(readlink /proc/$PPID/ns/$kind)
        >     if [ $mine = $parents ]; then echo "$kind: shared"; else echo "$kind: own"; fi
        > done
        > END
        $ unshare --uts sh compare.sh
    "#,
    ),
    transcript(
        "02-unshare/kept-by-a-file",
        "
        $ touch box
        $ unshare --uts=box hostname box
        $ nsenter --uts=box hostname
        $ hostname
        $ umount box
    ",
    ),
];
