//! What shows only after a while, or under attack: that nothing is left behind, however often keel
//! runs, however rudely it is ended, and whatever happens to its files.

use crate::harness::needs::Need::{Nft, Speed};
use crate::harness::{Test, function, lab};

pub(crate) const TESTS: &[Test] = &[
    function("endurance/200-runs", two_hundred_runs).needs(&[Nft, Speed]),
    function("endurance/killed-run", killed_run).needs(&[Nft, Speed]),
    function("endurance/killed-import", killed_import).needs(&[Speed]),
    function("endurance/many-at-once", many_at_once).needs(&[Nft]),
    function("endurance/one-name", one_name),
    function("endurance/two-engines", two_engines),
    function("endurance/full-disk", full_disk),
    function("endurance/damaged-files", damaged_files),
];

/// What the scripts have in common.
///
/// `traces` prints all that a container could leave in the lab. `settled` waits until that is what it
/// was at `remember`: the kernel takes a dead container's network and cgroup away in its own time.
/// `moment N` waits for a random part of the N-th of twenty slices of the time that a run takes.
const PRELUDE: &str = r#"
exec 2>&1
keel import rootfs busybox > /dev/null

traces() {
    set -- /proc/[0-9]*
    echo "processes $#"
    sed 's/^[0-9]* [0-9]* [0-9:]* //' /proc/self/mountinfo
    ls /sys/class/net
    find /sys/fs/cgroup -type d -path '*/keel/*' 2> /dev/null
    nft --stateless list ruleset 2> /dev/null
    grep -h address keel/network/*.json 2> /dev/null
    find keel/containers keel/names keel/running -mindepth 1
}
remember() {
    for try in $(seq 200); do
        ls /sys/class/net | grep -q ^veth || break
        sleep 0.05
    done
    traces > before
}
settled() {
    for try in $(seq 200); do
        traces > now
        cmp -s before now && return
        sleep 0.05
    done
    diff before now
}
measure() {
    start=$(date +%s%N)
    "$@"
    took=$(( ($(date +%s%N) - start) / 1000 ))
}
moment() {
    sleep "$(awk -v n="$1" -v took="$took" -v seed="$(od -An -N4 -tu4 /dev/urandom)" \
        'BEGIN { srand(seed); printf "%.6f", took / 1e6 * (n - rand()) / 20 }')"
}
"#;

/// Runs a script in a lab. It says what is wrong, and `done` at its end.
fn expect_done(script: &str) {
    let output = lab::sh(&format!("{PRELUDE}{script}\necho done")).expect("a lab");
    assert_eq!(output, "done\n");
}

fn two_hundred_runs() {
    expect_done(
        r#"
        keel run --rm busybox true
        remember
        for i in $(seq 200); do
            publish=
            [ $((i % 10)) = 0 ] && publish='-p 8080:80'
            said=$(keel run --rm $publish busybox echo $i)
            [ "$said" = $i ] || echo "run $i said: $said"
        done
        settled
        "#,
    );
}

/// Kills `keel run` at twenty random moments of a short container's life, and at twenty of a long
/// one's; each time the next run, of the same name and with the same port, is none the wiser.
fn killed_run() {
    expect_done(
        r#"
        clean() { keel run --rm --name victim -p 8080:80 busybox true; }
        clean
        remember
        measure clean
        mkfifo hold
        exec 3<> hold
        for command in true cat; do
            for i in $(seq 20); do
                rm=
                [ $((i % 2)) = 0 ] && rm=--rm
                keel run -i $rm --name victim -p 8080:80 busybox $command < hold &
                keel=$!
                moment $i
                kill -9 $keel 2> /dev/null
                wait $keel 2> /dev/null
                if [ -z $rm ]; then
                    keel rm victim > removed 2>&1
                    grep -v -e '^victim$' -e 'no such container' removed
                fi
                clean || echo "$command, round $i: the next run ended with $?"
            done
        done
        settled
        "#,
    );
}

/// Kills `keel import` at twenty random moments: the images are what they were, or the new one is
/// there as well.
fn killed_import() {
    expect_done(
        r#"
        measure keel import rootfs other > /dev/null
        for i in $(seq 20); do
            echo $i > rootfs/etc/version
            keel import rootfs new:$i > /dev/null &
            keel=$!
            moment $i
            kill -9 $keel 2> /dev/null
            wait $keel 2> /dev/null
            keel images > images 2>&1 || cat images
            grep -q '^busybox .*latest' images || echo "round $i: busybox is gone"
            if grep -q "^new  *$i " images; then
                said=$(keel run --rm --network none new:$i cat /etc/version)
                [ "$said" = $i ] || echo "round $i: the image is not whole: $said"
            fi
        done
        keel import rootfs last > /dev/null
        find keel/images/tmp -mindepth 1
        keel run --rm --network none last cat /etc/version | grep -v '^20$'
        "#,
    );
}

fn many_at_once() {
    expect_done(
        r#"
        keel run --rm busybox true
        remember
        for i in $(seq 16); do
            keel run --rm -h box$i busybox hostname -i > address$i 2>&1 &
        done
        wait
        [ $(cat address* | grep -c '^10[.]77[.]') = 16 ] || cat address*
        cat address* | sort | uniq -d
        settled
        "#,
    );
}

/// Of many who want the same name at the same time, one gets it.
fn one_name() {
    expect_done(
        r#"
        remember
        for i in $(seq 8); do
            (keel run --network none --name same busybox true > said$i 2>&1; echo $? > code$i) &
        done
        wait
        [ "$(sort code* | uniq -c | awk '{ print $1 "x" $2 }' | xargs)" = '1x0 7x125' ] || cat code*
        [ $(cat said* | grep -c 'the name same is in use') = 7 ] || cat said*
        for i in $(seq 4); do
            keel rm same > said$i 2>&1 &
        done
        wait
        cat said[1-4] | grep -v -e '^same$' -e 'no such container: same' -e 'in hand' -e 'just'
        settled
        "#,
    );
}

/// Two engines on the same state, each making and removing containers and images.
fn two_engines() {
    expect_done(
        r#"
        remember
        engine() {
            for i in $(seq 6); do
                keel run --network none --name $1-$i busybox sh -c "echo $1 > /who" || echo "run $1-$i: $?"
                keel commit $1-$i made:$1-$i > /dev/null || echo "commit $1-$i: $?"
                keel ps -a > /dev/null || echo "ps: $?"
                said=$(keel run --rm --network none made:$1-$i cat /who)
                [ "$said" = $1 ] || echo "made:$1-$i has $said"
                keel images > /dev/null || echo "images: $?"
                keel rm $1-$i > /dev/null || echo "rm $1-$i: $?"
            done
        }
        engine one & engine two &
        wait
        [ $(keel images | grep -c '^made ') = 12 ] || keel images
        settled
        "#,
    );
}

/// Runs with every amount of free space from none to plenty, a page more each time: a run works, or
/// fails with one sentence; and what it made is gone.
fn full_disk() {
    expect_done(
        r#"
        mkdir disk
        mount -t tmpfs -o size=32m disk disk
        cp -r keel disk/keel
        export KEEL_ROOT=/lab/disk/keel
        keel run --rm --network none busybox true
        cat /dev/zero > disk/full 2> /dev/null
        page=$(getconf PAGE_SIZE)
        worked=0
        for free in $(seq 0 24); do
            keel run --rm --network none busybox echo hello > said 2>&1
            code=$?
            case "$code $(wc -l < said) $(tail -1 said)" in
                '0 1 hello') worked=$((worked + 1)) ;;
                '0 '*' hello') ;;
                '125 1 keel: '*'No space left on device') ;;
                *) echo "with $free free pages: $code"; cat said ;;
            esac
            find disk/keel/containers disk/keel/names disk/keel/running -mindepth 1
            truncate -s -$page disk/full
        done
        [ $worked -gt 0 ] || echo 'never worked'
        "#,
    );
}

/// Cuts each state file in half, in turn: no command panics, none says more than it should, and all
/// is well again once the file is.
fn damaged_files() {
    expect_done(
        r#"
        keel run --network none --name web busybox sh -c 'echo hello; touch /file' > /dev/null
        check() {
            "$@" > out 2> err
            code=$?
            case $code in 0 | 1 | 125) ;; *) echo "$file cut: $* ended with $code" ;; esac
            grep -q -e panicked -e RUST_BACKTRACE err && cat err
            grep -v '^keel: ' err
        }
        find -L keel/images keel/names/web keel/driver -type f -size +0 ! -path '*/layers/*' ! -path '*/rootfs/*' > files
        [ $(wc -l < files) -gt 8 ] || cat files
        while read -r file; do
            cp -p "$file" kept
            truncate -s $(($(wc -c < "$file") / 2)) "$file"
            check keel ps -a
            check keel images
            check keel logs web
            check keel inspect web
            check keel diff web
            check keel run --rm --network none busybox true
            check keel rm nosuch
            cp -p kept "$file"
        done < files
        keel ps -a | grep -q web || keel ps -a
        keel rm web > /dev/null
        "#,
    );
}
