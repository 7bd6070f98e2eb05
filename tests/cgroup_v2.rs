//! What only cgroup version 2 can do, and what it asks for: born in a cgroup, killed as a group, held
//! back without being killed, shares, disks, pressure, delegation.
//!
//! Most of it is done by hand in the lab's own cgroup, as a reader would. What is a matter of numbers
//! is measured, and the margins are wide enough for an emulated processor.

use crate::harness::lab;
use crate::harness::needs::Need::{CgroupV2, Cpuset, Disk, NsDelegate, Pressure, Users};
use crate::harness::{Test, function, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        // A group that may hold one process has no room for a child, and the kernel says so. It has
        // nothing to say against a child that is born elsewhere: CLONE_INTO_CGROUP in clone(2).
        "cgroup-v2/born-inside",
        "
        $ step05-cgroups rootfs true 2> /dev/null
        $ mkdir /sys/fs/cgroup/full
        $ echo 1 > /sys/fs/cgroup/full/pids.max
        $ printf '%s\\n' 'echo 0 > /sys/fs/cgroup/full/cgroup.procs' 'exec \"$@\"' > in-full.sh
        $ sh in-full.sh step04-mount-ns rootfs echo born here
        $ sh in-full.sh step05-cgroups rootfs echo born elsewhere 2> /dev/null
    ",
    )
    .needs(&[CgroupV2]),
    transcript(
        "cgroup-v2/oom-group",
        "
        $ step05-cgroups -m 16m rootfs sh -c 'sleep 60 & tail /dev/zero; echo still here'
        $ echo $?
        $ mkfifo up go
        $ step05-cgroups -m 16m rootfs sh -c 'echo up; read go; tail /dev/zero; echo still here' < go > up & run=$!
        $ exec 3> go 4< up
        $ read up <&4
        $ echo 0 > \"$(echo /sys/fs/cgroup/keel/*/memory.oom.group)\"
        $ echo go >&3
        $ cat <&4
        $ wait $run
        $ echo $?
    ",
    )
    .needs(&[CgroupV2]),
    transcript(
        "cgroup-v2/memory-high",
        "
        $ step05-cgroups rootfs true 2> /dev/null
        $ mkdir /sys/fs/cgroup/box
        $ echo 8M > /sys/fs/cgroup/box/memory.high
        $ echo 0 > /sys/fs/cgroup/box/memory.swap.max
        $ printf '%s\\n' 'echo 0 > /sys/fs/cgroup/box/cgroup.procs' 'exec \"$@\"' > in-box.sh
        $ sh in-box.sh rootfs/bin/busybox dd if=/dev/zero of=/dev/null bs=8500k count=1 2>&1 | grep in
        $ grep -E '^(max|oom|oom_kill) ' /sys/fs/cgroup/box/memory.events
        $ awk '$1 == \"high\" { print ($2 > 0 ? \"was above memory.high\" : \"never above\") }' /sys/fs/cgroup/box/memory.events
    ",
    )
    .needs(&[CgroupV2]),
    function("cgroup-v2/cpu-max", cpu_max).needs(&[CgroupV2]),
    function("cgroup-v2/cpu-weight", cpu_weight).needs(&[CgroupV2]),
    function("cgroup-v2/io-max", io_max).needs(&[CgroupV2, Disk]),
    transcript(
        "cgroup-v2/io-limit",
        "
        $ mkfifo up
        $ step05-cgroups rootfs sh -c 'echo up; exec sleep 60' > up 2> /dev/null & run=$!
        $ read up < up
        $ box=$(echo /sys/fs/cgroup/keel/*/)
        $ echo \"$(cat /sys/class/block/vda/dev) rbps=1048576 wiops=100\" > ${box}io.max
        $ xray $(tail -n 1 ${box}cgroup.procs) | grep -o 'read 1 MiB/s.*'
        $ echo 1 > ${box}cgroup.kill
        $ wait $run
    ",
    )
    .needs(&[CgroupV2, Disk]),
    transcript(
        "cgroup-v2/freeze-and-kill",
        "
        $ mkfifo up
        $ step05-cgroups rootfs sh -c 'echo up; while :; do :; done' > up 2> /dev/null & run=$!
        $ read up < up
        $ box=$(echo /sys/fs/cgroup/keel/*/)
        $ echo 1 > ${box}cgroup.freeze
        $ timeout 20 sh -c \"until grep 'frozen 1' ${box}cgroup.events; do :; done\"
        $ used=$(grep usage_usec ${box}cpu.stat)
        $ sleep 0.2
        $ test \"$used\" = \"$(grep usage_usec ${box}cpu.stat)\" && echo stands still
        $ echo 1 > ${box}cgroup.kill
        $ wait $run
        $ echo $?
    ",
    )
    .needs(&[CgroupV2]),
    transcript(
        "cgroup-v2/pressure",
        "
        $ mkfifo up
        $ step05-cgroups --cpus 0.1 rootfs sh -c 'echo up; while :; do :; done' > up 2> /dev/null & run=$!
        $ read up < up
        $ box=$(echo /sys/fs/cgroup/keel/*/)
        $ cut -d ' ' -f 1 ${box}memory.pressure ${box}cpu.pressure
        $ timeout 20 sh -c \"while grep 'some .*total=0$' ${box}cpu.pressure; do :; done\" > /dev/null && echo had to wait
        $ echo 1 > ${box}cgroup.kill
        $ wait $run
    ",
    )
    .needs(&[CgroupV2, Pressure]),
    transcript(
        "cgroup-v2/no-internal-processes",
        "
        $ cat /proc/self/cgroup
        $ rootfs/bin/busybox sh -c 'echo +memory > /sys/fs/cgroup/cgroup.subtree_control'
        $ step05-cgroups rootfs true 2> /dev/null
        $ cat /proc/self/cgroup
        $ grep -ow memory /sys/fs/cgroup/cgroup.subtree_control
    ",
    )
    .needs(&[CgroupV2]),
    transcript(
        // Delegated no more than pids, which the kernel would hand out to threads.
        "cgroup-v2/few-controllers",
        "
        $ step05-cgroups rootfs true 2> /dev/null
        $ mkdir -p /sys/fs/cgroup/few/own
        $ echo +pids > /sys/fs/cgroup/few/cgroup.subtree_control
        $ cat > in-own.sh <<'END'
        > echo 0 > /sys/fs/cgroup/few/own/cgroup.procs
        > exec unshare -Cm sh -c 'umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; \"$@\"' sh \"$@\"
        > END
        $ sh in-own.sh sh -c 'step05-cgroups --pids-limit 5 rootfs echo within; step05-cgroups -m 64m rootfs true'
        $ echo $?
    ",
    )
    .needs(&[CgroupV2]),
    transcript(
        "cgroup-v2/threaded",
        "
        $ echo +pids > /sys/fs/cgroup/cgroup.subtree_control
        $ cat /sys/fs/cgroup/cgroup.type
        $ step05-cgroups rootfs true 2>&1 | grep -o '(.*)'
        $ echo -pids > /sys/fs/cgroup/cgroup.subtree_control
        $ step05-cgroups rootfs echo within 2> /dev/null
    ",
    )
    .needs(&[CgroupV2]),
    transcript(
        // v2 itself would take the list, and let the container run on all the others.
        "cgroup-v2/no-such-cpu",
        "
        $ step05-cgroups --cpuset-cpus 0 rootfs true 2> /dev/null
        $ mkdir /sys/fs/cgroup/keel
        $ echo 0 > /sys/fs/cgroup/keel/cpuset.cpus
        $ step05-cgroups --cpuset-cpus 1 rootfs true
        $ echo $?
    ",
    )
    .needs(&[CgroupV2, Cpuset]),
    transcript(
        "cgroup-v2/own-limit",
        "
        $ step05-cgroups -m 64m rootfs sh -c 'mount -o remount,bind,rw /sys/fs/cgroup && echo max > /sys/fs/cgroup/memory.max' 2>&1 | grep sh
        $ step05-cgroups -m 64m rootfs sh -c 'mount -t cgroup2 cgroup2 /mnt && echo max > /mnt/memory.max' 2>&1 | grep sh
    ",
    )
    .needs(&[CgroupV2, NsDelegate]),
    transcript(
        "cgroup-v2/delegation",
        "
        $ step05-cgroups rootfs true 2> /dev/null
        $ mkdir /sys/fs/cgroup/user
        $ cat > as-user.sh <<'END'
        > echo 0 > /sys/fs/cgroup/user/cgroup.procs
        > mount -t proc proc /proc
        > exec setpriv --reuid 1000 --regid 1000 --clear-groups sh user.sh
        > END
        $ cat > user.sh <<'END'
        > export KEEL_ROOT=/tmp/keel-of-user
        > keel import rootfs busybox > /dev/null 2>&1
        > keel run --rm -m 16m busybox tail /dev/zero
        > echo exit code $?
        > keel run --rm --pids-limit 3 busybox sh -c 'for i in 1 2 3; do sleep 1 & done'
        > END
        $ unshare -m sh as-user.sh
        $ cd /sys/fs/cgroup/user && chown 1000 . cgroup.procs cgroup.subtree_control; cd /lab
        $ unshare -m sh as-user.sh
        $ find /sys/fs/cgroup/user -type d
    ",
    )
    .needs(&[CgroupV2, Users]),
];

/// With a fifth of a CPU a container that never rests uses a fifth of each period, not half of it,
/// and not next to nothing.
///
/// A virtual machine that itself had to wait counts that time to whoever was running: the kernel makes
/// up for it later. So this measures until it is right, for half a minute at most.
fn cpu_max() {
    let [first, last] = numbers(
        "
        mkfifo up
        step05-cgroups --cpus 0.2 rootfs sh -c 'echo up; while :; do :; done' > up 2> /dev/null &
        read up < up
        box=$(echo /sys/fs/cgroup/keel/*/)
        used() { echo $(grep -E '^(usage_usec|nr_periods)' ${box}cpu.stat | cut -d ' ' -f 2); }
        first=$(used)
        for try in $(seq 120); do
            last=$(used)
            set -- $first $last
            used=$(($3 - $1)) periods=$(($4 - $2))
            [ $periods -lt 20 ] || [ $used -lt $((periods * 5000)) ] ||
                [ $used -gt $((periods * 40000)) ] || break
            sleep 0.1
        done
        printf '%s\\n' \"$first\" \"$last\"
        echo 1 > ${box}cgroup.kill
        ",
    );
    let [(used_before, before), (used_after, after)] = [(first[0], first[1]), (last[0], last[1])];
    let each_period = (used_after - used_before) / (after - before);
    let allowed = 20_000;
    assert!((allowed / 4..=allowed * 2).contains(&each_period), "{each_period} us of {allowed}");
}

/// Of three seconds of one CPU, two containers that never rest get shares by their weights:
/// --cpu-shares 4096 is a cpu.weight of 303, and the default is 100. Measured as in [`cpu_max`].
fn cpu_weight() {
    let [first, last] = numbers(
        r#"
        mkfifo up
        exec 3<> up
        for shares in 4096 1024; do
            taskset -c 0 step05-cgroups --cpu-shares $shares rootfs sh -c 'echo up; while :; do :; done' >&3 2> /dev/null &
        done
        read up <&3
        read up <&3
        used() {
            for weight in 303 100; do
                box=$(dirname $(grep -lx $weight /sys/fs/cgroup/keel/*/cpu.weight))
                sed -n 's/^usage_usec //p' $box/cpu.stat
            done
        }
        first=$(echo $(used))
        for try in $(seq 120); do
            last=$(echo $(used))
            set -- $first $last
            heavy=$(($3 - $1)) light=$(($4 - $2))
            [ $((heavy + light)) -lt 3000000 ] || [ $((heavy * 10)) -le $((light * 15)) ] ||
                [ $heavy -ge $((light * 6)) ] || break
            sleep 0.1
        done
        printf '%s\n' "$first" "$last"
        for kill in /sys/fs/cgroup/keel/*/cgroup.kill; do echo 1 > $kill; done
        "#,
    );
    let (heavy, light) = (last[0] - first[0], last[1] - first[1]);
    assert!(heavy * 10 > light * 15 && heavy < light * 6, "{heavy} us to {light} us");
}

/// Three MiB from a disk at one MiB a second take three seconds, or nearly.
fn io_max() {
    let [centiseconds, bytes] = numbers(
        r#"
        step05-cgroups rootfs true 2> /dev/null
        device=$(cat /sys/class/block/vda/dev)
        mknod disk b ${device%:*} ${device#*:}
        box=/sys/fs/cgroup/box
        mkdir $box
        echo "$device rbps=1048576" > $box/io.max
        now() { read now _ < /proc/uptime; echo ${now%.*}${now#*.}; }
        before=$(now)
        rootfs/bin/busybox sh -c "echo 0 > $box/cgroup.procs
            exec dd if=disk of=/dev/null bs=64k count=48 iflag=direct 2> /dev/null"
        echo $(($(now) - before))
        sed -n "s/^$device rbytes=\([0-9]*\) .*/\1/p" $box/io.stat
        "#,
    );
    let (centiseconds, bytes) = (centiseconds[0], bytes[0]);
    assert_eq!(bytes, 48 << 16);
    assert!((200..=2000).contains(&centiseconds), "took {centiseconds} hundredths of a second");
}

/// Runs `script` in a fresh lab: the numbers in each line that it prints.
fn numbers<const LINES: usize>(script: &str) -> [Vec<u64>; LINES] {
    let output = lab::sh(script).expect("the lab runs");
    let line = |line: &str| line.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    let lines: Result<Vec<_>, _> = output.lines().map(line).collect();
    let lines = lines.unwrap_or_else(|error| panic!("{error}:\n{output}"));
    lines.try_into().unwrap_or_else(|_| panic!("other than {LINES} lines:\n{output}"))
}
