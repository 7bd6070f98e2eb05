//! What `keel` says to bad input and in bad places: one sentence with what to do, the right exit
//! code, and nothing left behind.

use crate::harness::needs::Need::{Cgroup, Nft};
use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "engine/bad-rootfs",
        "
        $ keel import nowhere busybox
        $ echo $?
        $ mkdir empty
        $ keel import empty busybox
        $ echo $?
        $ keel import rootfs/etc/passwd busybox
        $ echo $?
        $ keel import rootfs 'Bad Name'
        $ echo $?
        $ keel images
    ",
    ),
    transcript(
        "engine/bad-archive",
        "
        $ keel import rootfs busybox > /dev/null
        $ tar -C keel/images -cf image.tar oci-layout index.json blobs
        $ export KEEL_ROOT=/lab/other
        $ keel load nowhere.tar
        $ echo $?
        $ keel load rootfs/etc/passwd
        $ echo $?
        $ keel load rootfs
        $ echo $?
        $ tar -cf other.tar rootfs/etc
        $ keel load other.tar
        $ echo $?
        $ head -c 500000 image.tar > cut.tar
        $ keel load cut.tar
        $ echo $?
        $ cp -r keel/images changed
        $ layer=$(ls -S changed/blobs/sha256/* | head -1)
        $ printf X | dd of=$layer bs=1 seek=100 conv=notrunc status=none
        $ keel load changed
        $ echo $?
        $ keel images
        $ find other/images/blobs other/images/layers other/images/tmp -type f
    ",
    ),
    transcript(
        "engine/bad-command",
        r"
        $ printf '#!/no/such/shell\n' > rootfs/bin/orphan
        $ printf 'not a program' > rootfs/bin/garbage
        $ chmod 755 rootfs/bin/orphan rootfs/bin/garbage
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none busybox nosuch
        $ echo $?
        $ keel run --network none busybox /no/such/file
        $ echo $?
        $ keel run --network none busybox orphan
        $ echo $?
        $ keel run --network none busybox garbage
        $ echo $?
        $ keel run --network none busybox /etc/passwd
        $ echo $?
        $ keel run --network none busybox /etc
        $ echo $?
        $ keel run --network none --init busybox nosuch
        $ echo $?
        $ keel run --network none busybox ''
        $ echo $?
        $ find keel/containers keel/names keel/running -mindepth 1
    ",
    ),
    transcript(
        "engine/bad-image",
        "
        $ keel run nosuch true
        $ echo $?
        $ keel run nosuch:1.0 true
        $ echo $?
        $ keel run 'No Such' true
        $ echo $?
        $ mkdir -p bare/etc
        $ keel import bare bare > /dev/null
        $ keel run --network none bare
        $ echo $?
        $ keel run --network none bare ls
        $ echo $?
        $ find keel/containers keel/names keel/running -mindepth 1
    ",
    ),
    transcript(
        "engine/bad-container",
        "
        $ keel logs nosuch
        $ echo $?
        $ keel rm nosuch
        $ echo $?
        $ keel rm -f nosuch ../images ''
        $ echo $?
        $ keel diff nosuch
        $ echo $?
        $ keel commit nosuch copy
        $ echo $?
        $ keel inspect nosuch
        $ echo $?
        $ keel xray nosuch
        $ echo $?
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name ended busybox true
        $ keel xray ended
        $ echo $?
        $ keel run --network container:ended busybox true
        $ echo $?
        $ keel run --network container:nosuch busybox true
        $ echo $?
        $ keel commit ended 'Bad Name'
        $ echo $?
    ",
    ),
    transcript(
        "engine/bad-name",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name web busybox true
        $ keel run --network none --name web busybox true
        $ echo $?
        $ keel run --network none --name ../web busybox true
        $ echo $?
        $ ls keel/names keel/running
    ",
    ),
    transcript(
        "engine/bad-port",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --name web -p 8080:80 busybox sh -c 'echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ keel run -p 8080:80 busybox true
        $ echo $?
        $ rootfs/bin/busybox httpd -p 127.0.0.1:9090 -h /lab
        $ keel run -p 9090:80 busybox true
        $ echo $?
        $ keel run -p 7070:80 -p 7070:81 busybox true
        $ echo $?
        $ keel run --network none -p 7070:80 busybox true
        $ echo $?
        $ keel run -p 99999:80 busybox true
        $ echo $?
        $ ls keel/names keel/running
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/bad-subnet",
        r#"
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm busybox true
        $ book=$(ls keel/network/*.json)
        $ mine="\"owner\": \"other\", \"pid\": 1, \"pid_namespace\": 1, \"started\": 1, \"ports\": []"
        $ seq 2 65534 | awk -v mine="$mine" '{ printf "%s{\"address\": \"10.77.%d.%d\", %s}", (NR > 1 ? "," : "{\"last\": null, \"leases\": ["), $1 / 256, $1 % 256, mine } END { print "]}" }' > $book
        $ keel run busybox true
        $ echo $?
        $ keel run --rm --network none busybox echo without a network
        $ find keel/containers keel/names keel/running -mindepth 1
    "#,
    )
    .needs(&[Nft]),
    transcript(
        "engine/bad-memory",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run -m 1m busybox true
        $ echo $?
        $ keel run -m 4k busybox true
        $ echo $?
        $ keel run --rm --network none -m 6m busybox true
        $ echo $?
        $ keel run -m 64m --cgroups disabled busybox true
        $ echo $?
        $ find keel/containers keel/names keel/running -mindepth 1
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "engine/bad-flags",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --nosuch busybox true
        $ echo $?
        $ keel run
        $ echo $?
        $ keel nosuch
        $ echo $?
        $ keel run -m lots busybox true 2>&1 | head -1
        $ keel run --cpus 0 busybox true 2>&1 | head -1
        $ keel run --pids-limit -7 busybox true 2>&1 | head -1
        $ keel run --network moon busybox true 2>&1 | head -1
        $ keel run -p 80 busybox true 2>&1 | head -1
        $ keel run -v /data busybox true 2>&1 | head -1
        $ keel run -it busybox sh
        $ keel run -d busybox sh
        $ echo $?
    ",
    ),
    transcript(
        "engine/bad-values",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none -v nowhere:/data busybox true
        $ echo $?
        $ keel run --rm --network none -v /etc/hostname:/data/deep busybox cat /data/deep > /dev/null
        $ echo $?
        $ keel run --network none -v /etc:/etc/passwd busybox true
        $ echo $?
        $ keel run --network none --tmpfs /tmp:size=lots busybox true
        $ echo $?
        $ keel run --network none -w relative busybox true
        $ echo $?
        $ keel run --network none -w /etc/passwd busybox true
        $ echo $?
        $ keel run --network none -u nosuch busybox true
        $ echo $?
        $ keel run --network none -u root:nosuch busybox true
        $ echo $?
        $ keel run --network none --hostname \"$(seq -s- 40)\" busybox true
        $ echo $?
        $ keel run --network none -e =x busybox true
        $ echo $?
        $ find keel/containers keel/names keel/running -mindepth 1
    ",
    ),
    transcript(
        "engine/bad-state-folder",
        "
        $ KEEL_ROOT=/etc/keel keel images
        $ echo $?
        $ touch file
        $ KEEL_ROOT=file keel import rootfs busybox
        $ echo $?
        $ KEEL_STORAGE=nosuch keel run busybox true
        $ echo $?
        $ keel import rootfs busybox > /dev/null
        $ KEEL_STORAGE=nosuch keel run busybox true
        $ echo $?
    ",
    ),
    transcript(
        "engine/no-cgroups",
        "
        $ umount --recursive --quiet /sys/fs/cgroup
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none busybox echo without limits it needs no cgroup
        $ keel run --network none -m 64m busybox true
        $ echo $?
        $ find keel/containers keel/names keel/running -mindepth 1
    ",
    ),
    transcript(
        "engine/no-user-namespaces",
        "
        $ keel import rootfs busybox > /dev/null
        $ unshare --user keel run busybox true
        $ echo $?
    ",
    ),
    transcript(
        "engine/no-nft",
        "
        $ keel import rootfs busybox > /dev/null
        $ PATH=$(dirname $(command -v keel)):/lab/rootfs/bin
        $ rootfs/bin/busybox mount -t tmpfs none /usr/sbin
        $ keel run busybox echo no way out, but it runs
        $ keel run -p 8080:80 busybox true
        $ echo $?
        $ keel ps -a
    ",
    ),
    transcript(
        "engine/corrupt-container",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name good busybox echo hello
        $ keel run --network none --name bad busybox echo hello
        $ echo '{ \"id\": ' > keel/names/bad/container.json
        $ keel ps -a
        $ echo $?
        $ keel logs bad
        $ echo $?
        $ keel logs good
        $ keel rm bad
        $ echo $?
        $ keel rm -f bad
        $ rm keel/names/good/container.json
        $ keel ps -a
        $ keel rm -f good
        $ find keel/containers keel/names keel/running -mindepth 1
    ",
    ),
    transcript(
        "engine/corrupt-image",
        "
        $ keel import rootfs busybox > /dev/null
        $ cp keel/images/index.json index.json
        $ echo '{' > keel/images/index.json
        $ keel images
        $ echo $?
        $ keel run busybox true
        $ echo $?
        $ keel import rootfs other
        $ echo $?
        $ cp index.json keel/images/index.json
        $ keel run --rm --network none busybox echo as before
        $ tar -C keel/images -cf image.tar oci-layout index.json blobs
        $ for blob in keel/images/blobs/sha256/*; do echo '{}' > $blob; done
        $ keel run busybox true
        $ echo $?
        $ keel images
        $ echo $?
        $ keel load image.tar
        $ keel run --rm --network none busybox echo mended
    ",
    ),
    transcript(
        "engine/corrupt-layer",
        "
        $ keel import rootfs busybox > /dev/null
        $ rm -r keel/images/layers/*
        $ keel run --rm --network none busybox echo unpacked again
    ",
    ),
    transcript(
        "engine/corrupt-leases",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm busybox true
        $ for book in keel/network/*.json; do echo '{ \"leases\": 7' > $book; done
        $ keel run busybox true
        $ echo $?
        $ keel run --rm --network none busybox echo hello
        $ find keel/containers keel/names keel/running -mindepth 1
        $ rm keel/network/*.json
        $ keel run --rm busybox echo mended
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/corrupt-rest",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name web busybox echo hello
        $ echo nosuch > keel/driver
        $ echo '{' > keel/names/web/config.json
        $ echo '{' >> keel/names/web/log.json
        $ ln -s ../containers/nosuch keel/names/dangling
        $ touch keel/running/nosuch
        $ keel run --rm --network none busybox echo runs
        $ cat keel/driver
        $ keel inspect web | grep -A 1 Hostname
        $ keel logs web
        $ echo $?
        $ keel logs dangling
        $ echo $?
        $ keel run --rm --network none --name dangling busybox echo takes the name
        $ ls keel/running
    ",
    ),
    transcript(
        "engine/full-disk",
        "
        $ mkdir disk
        $ mount -t tmpfs -o size=32m disk disk
        $ export KEEL_ROOT=/lab/disk/keel
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name early busybox sh -c 'echo hello; echo x > /file'
        $ cat /dev/zero > disk/full 2> /dev/null
        $ keel import rootfs/etc other
        $ echo $?
        $ keel run --network none busybox echo hello
        $ echo $?
        $ keel commit early copy
        $ echo $?
        $ keel logs early
        $ keel rm early
        $ keel ps -a
        $ keel images
        $ ls disk/keel/names disk/keel/running disk/keel/images/tmp
        $ rm disk/full
        $ keel run --rm --network none busybox echo there is room again
    ",
    ),
    transcript(
        "engine/full-disk-inside",
        "
        $ mkdir disk
        $ mount -t tmpfs -o size=32m disk disk
        $ export KEEL_ROOT=/lab/disk/keel
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name fill busybox sh -c 'cat /dev/zero > /file; seq 3'
        $ echo $?
        $ keel ps -a
        $ keel rm fill
        $ keel run --rm --network none busybox echo there is room again
    ",
    ),
];
