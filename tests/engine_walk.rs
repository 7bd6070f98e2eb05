//! The engine, as the book's chapter walks through it.

use crate::harness::needs::Need::{Cgroup, Nft, Speed};
use crate::harness::{Test, function, transcript};
use crate::step01_chroot::in_one_lab;

pub(crate) const TESTS: &[Test] = &[
    function("engine/each-page-in-one-lab", each_page_in_one_lab).needs(&[Speed, Cgroup, Nft]),
    transcript(
        "engine/walk",
        "
        $ keel import rootfs box > /dev/null
        $ keel run --name web --network none box sh -c 'echo hello | tee /hello; exit 7'
        $ echo $?
        $ keel logs web
        $ keel diff web
        $ keel commit web box:hello > /dev/null
        $ keel run --rm --network none box:hello cat /hello
        $ keel rm web
        $ keel ps -aq
    ",
    ),
    transcript(
        "engine/state",
        "
        $ keel import rootfs box > /dev/null
        $ keel run --name web --network none box true
        $ ls keel
        $ ls keel/names/web/
        $ keel rm web
    ",
    ),
    transcript(
        "engine/config",
        "
        $ keel import rootfs box > /dev/null
        $ keel run --name web --network none --pids-limit 32 box true
        $ sed -n '/\"namespaces\"/,/]/p' keel/names/web/config.json | grep type
        $ grep -A 2 '\"pids\"' keel/names/web/config.json
        $ keel rm web
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "engine/killed",
        "
        $ mkfifo hold ready
        $ keel import rootfs box > /dev/null
        $ (keel run -i --name web box sh -c 'echo up; cat' < hold > ready & echo $! > pid)
        $ exec 3> hold
        $ read up < ready
        $ kill -9 $(cat pid)
        $ while kill -0 $(cat pid) 2> /dev/null; do :; done
        $ keel ps -a | grep -o 'Exited (137)'
        $ ls keel/running
        $ keel rm web
        $ rm hold ready pid
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/own",
        "
        $ mkfifo hold ready
        $ keel import rootfs box > /dev/null
        $ keel run -i --name web -m 64m box sh -c 'echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ keel xray web | sed -n '/^namespaces/,/^$/p; /^root/,/propagation/p'
        $ keel rm -f web
        $ rm hold ready
    ",
    )
    .needs(&[Cgroup, Nft]),
    transcript(
        "engine/bundle",
        "
        $ mkdir -p bundle
        $ cat > bundle/config.json <<'END'
        > {
        >   \"ociVersion\": \"1.2.0\",
        >   \"hostname\": \"by-hand\",
        >   \"root\": { \"path\": \"/lab/rootfs\" },
        >   \"process\": {
        >     \"args\": [\"sh\", \"-c\", \"hostname; echo I am $$\"],
        >     \"cwd\": \"/\",
        >     \"env\": [\"PATH=/bin\"],
        >     \"user\": { \"uid\": 0, \"gid\": 0 }
        >   },
        >   \"linux\": { \"namespaces\": [{ \"type\": \"mount\" }, { \"type\": \"pid\" }, { \"type\": \"uts\" }] }
        > }
        > END
        $ keel-runtime run bundle
    ",
    ),
    transcript(
        "engine/bundle-refused",
        "
        $ mkdir with-seccomp
        $ keel import rootfs box > /dev/null
        $ keel run --name web --network none box true
        $ sed 's/\"linux\": {/&\\n    \"seccomp\": { \"defaultAction\": \"SCMP_ACT_ERRNO\" },/' \\
        >   keel/names/web/config.json > with-seccomp/config.json
        $ keel-runtime run with-seccomp
        $ echo $?
        $ keel rm web
    ",
    ),
    transcript(
        "engine/bundle-rename",
        "
        $ mkdir no-uts
        $ cat > no-uts/config.json <<'END'
        > {
        >   \"ociVersion\": \"1.2.0\",
        >   \"hostname\": \"by-hand\",
        >   \"root\": { \"path\": \"/lab/rootfs\" },
        >   \"process\": { \"args\": [\"hostname\"], \"cwd\": \"/\", \"env\": [\"PATH=/bin\"], \"user\": { \"uid\": 0, \"gid\": 0 } },
        >   \"linux\": { \"namespaces\": [{ \"type\": \"mount\" }, { \"type\": \"pid\" }] }
        > }
        > END
        $ keel-runtime run no-uts
        $ hostname
    ",
    ),
    transcript(
        "engine/one-name",
        "
        $ keel import rootfs box > /dev/null
        $ keel run --name web --network none box true
        $ readlink keel/names/web
        $ keel run --name web --network none box true
        $ keel rm web
    ",
    ),
    transcript(
        "engine/work-outside",
        "
        $ exec 9< /lab
        $ keel import rootfs box > /dev/null
        $ keel run --network none --workdir /proc/self/fd/9 box ls
        $ echo $?
        $ keel run --network none --workdir /proc/self/fd/9/made box ls
        $ ls made
        $ keel run --network none --workdir /some/where/new box pwd
        $ exec 9<&-
    ",
    ),
    transcript(
        "engine/remove-frozen",
        "
        $ mkfifo hold ready
        $ keel import rootfs box > /dev/null
        $ keel run -i --network none --name web box sh -c 'echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ for file in $(find /sys/fs/cgroup -path '*/keel/*/freezer.state'); do echo FROZEN > $file; done
        $ for file in $(find /sys/fs/cgroup -path '*/keel/*/cgroup.freeze'); do echo 1 > $file; done
        $ timeout -k 1 20 keel rm -f web
        $ keel ps -aq
        $ for file in $(find /sys/fs/cgroup -path '*/keel/*/freezer.state'); do echo THAWED > $file; done
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "engine/remove-stopped",
        "
        $ mkfifo hold ready
        $ keel import rootfs box > /dev/null
        $ keel run -i --network none --name web box sh -c 'echo up; cat' < hold > ready &
        $ stopped=$!
        $ exec 3> hold
        $ read up < ready
        $ kill -STOP $stopped
        $ timeout -k 1 30 keel rm -f web 2>&1 | sed 's/ [0-9a-f]* has/ ID has/; s/CONT [0-9]*/CONT PID/'
        $ kill -CONT $stopped
        $ wait $stopped
        $ echo $?
        $ keel rm web
    ",
    ),
];

fn each_page_in_one_lab() {
    for page in ["engine", "engine-runtime", "engine-containers", "engine-cli", "engine-xray"] {
        in_one_lab(&format!("{page}.md"));
    }
}
