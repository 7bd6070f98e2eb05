//! Step 5: limits, accounting, freezing.

use crate::harness::needs::Need::{Cgroup, Cpuset, Speed};
use crate::harness::{Test, function, transcript};
use crate::step01_chroot::in_one_lab;

pub(crate) const TESTS: &[Test] = &[
    function("05-cgroups/in-one-lab", || in_one_lab("05-cgroups.md")).needs(&[Speed, Cgroup]),
    transcript(
        "05-cgroups/stats",
        "
        $ step05-cgroups --memory 64m --pids-limit 32 rootfs true
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/out-of-memory",
        "
        $ step05-cgroups --memory 16m rootfs tail -c 64m /dev/zero
        $ echo $?
        $ step05-cgroups --memory 16m --init rootfs sh -c 'kill -9 $$'
        $ echo $?
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/fork-bomb",
        "
        $ bomb='for i in $(seq 100); do sleep 1 & done'
        $ step05-cgroups --pids-limit 20 rootfs sh -c \"$bomb\" 2>&1 | grep -o \"can't fork.*\"
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/own-view",
        "
        $ step05-cgroups --memory 64m rootfs sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u'
        $ step05-cgroups --memory 64m rootfs sh -c 'mkdir /sys/fs/cgroup/mine'
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/cleaned-up",
        "
        $ step05-cgroups --memory 64m rootfs sh -c 'exit 3' 2> /dev/null
        $ echo $?
        $ find /sys/fs/cgroup -path '*/keel/*'
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/bad-limits",
        "
        $ step05-cgroups --memory 1m rootfs true
        $ echo $?
        $ step05-cgroups --memory lots rootfs true 2>&1 | head -1
        $ step05-cgroups --cpus 0.001 rootfs true 2>&1 | head -1
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/no-such-cpu",
        "
        $ step05-cgroups --cpuset-cpus 4000 rootfs true
        $ echo $?
    ",
    )
    .needs(&[Cgroup, Cpuset]),
    transcript(
        "05-cgroups/help",
        "
        $ step05-cgroups --help
    ",
    ),
    transcript(
        "05-cgroups/xray",
        "
        $ xray --normal -- step05-cgroups --memory 64m --cpus 0.5 --pids-limit 32 rootfs cat 2> /dev/null
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/before",
        "
        $ step04-mount-ns rootfs sh -c 'for i in $(seq 100); do sleep 1 & done; echo all started'
        $ step04-mount-ns rootfs dd if=/dev/zero of=/dev/null bs=64M count=1 2>&1 | grep in
    ",
    ),
    transcript(
        "05-cgroups/after",
        "
        $ step05-cgroups -m 64m --pids-limit 20 rootfs sh -c 'for i in $(seq 100); do sleep 1 & done; echo all started'
        $ step05-cgroups -m 16m rootfs dd if=/dev/zero of=/dev/null bs=64M count=1
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/meminfo",
        "
        $ grep MemTotal /proc/meminfo > outside
        $ step05-cgroups -m 16m rootfs grep MemTotal /proc/meminfo 2> /dev/null | cmp - outside && echo the same
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/by-hand",
        r#"
        $ cat > by-hand.sh <<'END'
        > here=/sys/fs/cgroup
        > if [ -e $here/cgroup.controllers ]; then     # version 2
        >     mkdir -p $here/rest
        >     for pid in $(cat $here/cgroup.procs); do echo $pid > $here/rest/cgroup.procs; done 2> /dev/null
        >     echo +pids > $here/cgroup.subtree_control
        > else                                         # version 1
        >     here=$here/pids
        > fi
        > mkdir $here/box
        > echo 1 > $here/box/pids.max
        > rootfs/bin/busybox sh -c "echo 0 > $here/box/cgroup.procs; sleep 1 & echo two processes; wait"
        > cat $here/box/pids.events
        > rmdir $here/box
        > END
        $ sh by-hand.sh
    "#,
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/by-hand-memory",
        r#"
        $ cat > memory.sh <<'END'
        > here=/sys/fs/cgroup
        > if [ -e $here/cgroup.controllers ]; then     # version 2
        >     mkdir -p $here/rest
        >     for pid in $(cat $here/cgroup.procs); do echo $pid > $here/rest/cgroup.procs; done 2> /dev/null
        >     echo +memory > $here/cgroup.subtree_control
        >     limit=memory.max  swap=memory.swap.max  most=0  kills=memory.events
        > else                                         # version 1
        >     here=$here/memory
        >     limit=memory.limit_in_bytes  swap=memory.memsw.limit_in_bytes  most=16M  kills=memory.oom_control
        > fi
        > mkdir $here/box
        > echo 16M > $here/box/$limit
        > [ ! -e $here/box/$swap ] || echo $most > $here/box/$swap
        > rootfs/bin/busybox sh -c "echo 0 > $here/box/cgroup.procs; exec tail -c 64m /dev/zero"
        > echo "exit code $?"
        > grep 'oom_kill ' $here/box/$kills
        > rmdir $here/box
        > END
        $ sh memory.sh
    "#,
    )
    .needs(&[Cgroup]),
    transcript(
        "05-cgroups/own",
        "
        $ xray --normal -- step05-cgroups -m 64m --cpus 0.5 --pids-limit 32 rootfs cat 2> /dev/null | grep -E 'own:|cgroup|[ys] limit'
    ",
    )
    .needs(&[Cgroup]),
];
