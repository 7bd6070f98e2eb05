//! Step 3: a process tree of its own.

use crate::harness::needs::Need::Speed;
use crate::harness::{Test, function, transcript};
use crate::step01_chroot::in_one_lab;

pub(crate) const TESTS: &[Test] = &[
    function("03-pid-ns/in-one-lab", || in_one_lab("03-pid-ns.md")).needs(&[Speed]),
    transcript(
        "03-pid-ns/ps",
        "
        $ step03-pid-ns rootfs ps
    ",
    ),
    transcript(
        "03-pid-ns/init",
        "
        $ step03-pid-ns --init rootfs ps
    ",
    ),
    transcript(
        "03-pid-ns/pid-1-is-special",
        "
        $ step03-pid-ns rootfs sh -c 'kill -9 $$; echo still here'
        $ step03-pid-ns --init rootfs sh -c 'kill -9 $$; echo still here'
        $ echo $?
    ",
    ),
    transcript(
        "03-pid-ns/zombies",
        r#"
        $ touch rootfs/dev/null
        $ cat > rootfs/orphans.sh <<'END'
        > mkfifo /done
        > ((sleep 0 & sleep 0 & sleep 0 &); until ps | grep -c '[[]sleep' | grep 3; do :; done; : > /done) &
        > exec cat /done
        > END
        $ step03-pid-ns rootfs sh /orphans.sh
    "#,
    ),
    transcript(
        "03-pid-ns/no-zombies",
        r#"
        $ touch rootfs/dev/null
        $ cat > rootfs/orphans.sh <<'END'
        > mkfifo /end
        > ((sleep 0 & sleep 0 & sleep 0 &); until ps | grep -c '[s]leep' | grep 0; do :; done; : > /end) &
        > exec cat /end
        > END
        $ step03-pid-ns --init rootfs sh /orphans.sh
    "#,
    ),
    transcript(
        "03-pid-ns/kill-a-host-process",
        "
        $ sleep 1000 &
        $ victim=$!
        $ step02-unshare rootfs kill $victim
        $ wait $victim
        $ echo $?
        $ sleep 1000 &
        $ step03-pid-ns rootfs kill $!
        $ kill $!; wait $!
    ",
    ),
    transcript(
        "03-pid-ns/exit-codes",
        "
        $ step03-pid-ns rootfs sh -c 'exit 7'
        $ echo $?
        $ step03-pid-ns rootfs no-such-command
        $ echo $?
        $ step03-pid-ns rootfs /etc/passwd
        $ echo $?
    ",
    ),
    transcript(
        "03-pid-ns/help",
        "
        $ step03-pid-ns --help
    ",
    ),
    transcript(
        "03-pid-ns/xray",
        "
        $ xray --normal -- step03-pid-ns rootfs cat
    ",
    ),
    transcript(
        "03-pid-ns/before",
        "
        $ sleep 1000 &
        $ victim=$!
        $ step02-unshare rootfs kill $victim
        $ wait $victim
        $ echo $?
    ",
    ),
    transcript(
        "03-pid-ns/own",
        "
        $ xray --own -- step03-pid-ns rootfs cat
    ",
    ),
    transcript(
        "03-pid-ns/unshare-without-fork",
        "
        $ unshare --pid rootfs/bin/sh -c '(true); (true); echo end'
        $ unshare --pid --fork sh -c 'echo $$'
    ",
    ),
    transcript(
        "03-pid-ns/two-numbers",
        r#"
        $ step03-pid-ns rootfs sleep 1000 &
        $ until [ $sleeper ]; do sleeper=$(grep -slx sleep /proc/[0-9]*/comm | cut -d / -f 3); done
        $ awk '/NSpid/ { print NF - 1, "numbers, the last is", $NF }' /proc/$sleeper/status
        $ kill -TERM $sleeper
        $ kill -0 $sleeper && echo still there
        $ kill -KILL $sleeper; wait $!
        $ echo $?
    "#,
    ),
    transcript(
        "03-pid-ns/all-die-with-pid-1",
        "
        $ touch rootfs/dev/null
        $ step03-pid-ns rootfs sh -c 'sleep 1000 & echo the first process ends'
        $ grep -slx sleep /proc/[0-9]*/comm | wc -l
    ",
    ),
    transcript(
        "03-pid-ns/by-hand",
        "
        $ unshare --pid --fork cat /proc/1/comm
        $ unshare --pid --fork --mount-proc cat /proc/1/comm
    ",
    ),
    transcript(
        "03-pid-ns/real-time-signal",
        r#"
        $ touch rootfs/dev/null
        $ step03-pid-ns --init rootfs sh -c 'kill -40 $$'
        $ echo $?
        $ step03-pid-ns --init rootfs sh -c '(sh -c "kill -40 \$\$" &); sleep 0.3; echo init lives on'
    "#,
    ),
    transcript(
        "03-pid-ns/ignored-sigchld",
        "
        $ timeout -k 1 20 env --ignore-signal=CHLD step03-pid-ns --init rootfs sh -c 'exit 3'
        $ echo $?
        $ timeout -k 1 20 env --ignore-signal=CHLD step03-pid-ns rootfs sh -c 'exit 3'
        $ echo $?
    ",
    ),
    transcript(
        "03-pid-ns/the-hosts-proc-stays",
        "
        $ step03-pid-ns --hostname '' / true
        $ ls -d /proc/1
        $ step03-pid-ns / true
        $ ls -d /proc/1
        $ step03-pid-ns rootfs cat /proc/mounts | grep -c rootfs/proc
        $ grep -c rootfs/proc /proc/mounts
    ",
    ),
];
