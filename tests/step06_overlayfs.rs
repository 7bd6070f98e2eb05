//! Step 6: layers and copy-on-write.

use crate::harness::needs::Need::Speed;
use crate::harness::{Test, function, transcript};
use crate::step01_chroot::in_one_lab;

pub(crate) const TESTS: &[Test] = &[
    function("06-overlayfs/in-one-lab", || in_one_lab("06-overlayfs.md")).needs(&[Speed]),
    transcript(
        "06-overlayfs/diff",
        "
        $ step06-overlayfs --upper mine --diff rootfs sh -c 'echo hi > /hello; rm /etc/group; chmod 700 /mnt'
        $ ls rootfs/hello rootfs/etc/group
        $ ls mine/upper mine/upper/etc
        $ rm -r mine
    ",
    ),
    transcript(
        "06-overlayfs/kept",
        "
        $ step06-overlayfs --upper mine rootfs sh -c 'echo hi > /hello'
        $ step06-overlayfs --upper mine rootfs cat /hello
        $ step06-overlayfs rootfs cat /hello
        $ rm -r mine
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
        $ umount merged; rm -r lower upper work merged
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
    transcript(
        "06-overlayfs/before",
        r##"
        $ step04-mount-ns rootfs sh -c 'rm /bin/ls; printf "#!/bin/sh\necho evil\n" > /bin/ls; chmod +x /bin/ls'
        $ step04-mount-ns rootfs ls
        $ ln -sf busybox rootfs/bin/ls
    "##,
    ),
    transcript(
        "06-overlayfs/after",
        r##"
        $ step06-overlayfs rootfs sh -c 'rm /bin/ls; printf "#!/bin/sh\necho evil\n" > /bin/ls; chmod +x /bin/ls; /bin/ls'
        $ step06-overlayfs rootfs ls -d /home
    "##,
    ),
    transcript(
        "06-overlayfs/copy-up",
        "
        $ head -c 8M /dev/zero > rootfs/big
        $ step06-overlayfs --upper mine rootfs sh -c 'echo >> /big'
        $ stat -c '%s bytes' mine/upper/big
        $ step06-overlayfs --upper other rootfs chmod 600 /big
        $ stat -c '%s bytes' other/upper/big
        $ rm -r rootfs/big mine other
    ",
    ),
    transcript(
        "06-overlayfs/by-hand",
        "
        $ mkdir lower upper work merged
        $ echo one > lower/a
        $ echo two > lower/b
        $ mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
        $ echo three >> merged/a
        $ rm merged/b
        $ ls merged
        $ cat lower/a lower/b
        $ cat upper/a
        $ stat -c '%F' upper/b
        $ umount merged; rm -r lower upper work merged
    ",
    ),
    transcript(
        "06-overlayfs/three-ways",
        "
        $ mkdir base upper work merged
        $ head -c 8M /dev/zero > base/big
        $ for n in $(seq 1000); do echo $n > base/$n; done
        $ cp -r base copied
        $ cp -rl base linked
        $ mount -t overlay overlay -o lowerdir=base,upperdir=upper,workdir=work merged
        $ for way in copied linked merged; do ls $way | wc -l; done
        $ du -s --inodes base copied linked upper
        $ echo hello >> copied/1
        $ echo hello >> merged/1
        $ cat base/1
        $ echo hello >> linked/1
        $ cat base/1
        $ umount merged; rm -r base copied linked upper work merged
    ",
    ),
    transcript(
        "06-overlayfs/two-lowers",
        "
        $ mkdir one two upper work merged
        $ echo from one | tee one/both one/only-one > /dev/null
        $ echo from two | tee two/both two/only-two > /dev/null
        $ mount -t overlay overlay -o lowerdir=two:one,upperdir=upper,workdir=work merged
        $ grep -r . merged | sort
        $ rm merged/both
        $ grep -r . merged | sort
        $ find upper one two -name both -exec stat -c '%n: %F' {} +
        $ umount merged; rm -r one two upper work merged
    ",
    ),
    transcript(
        "06-overlayfs/own",
        "
        $ xray --own -- step06-overlayfs rootfs cat
    ",
    ),
];
