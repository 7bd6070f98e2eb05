//! The engine: `keel`, command by command.

use crate::harness::needs::Need::{Cgroup, Nft, Users};
use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "engine/import",
        "
        $ keel import rootfs busybox
        $ keel import rootfs busybox:mine > /dev/null
        $ keel images
        $ keel images -q
    ",
    ),
    transcript(
        "engine/run",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm busybox echo Hello from a container
        $ keel ps -a
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/ps",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name first busybox true
        $ keel run --network none --name second busybox sh -c 'exit 7'
        $ keel run --network none busybox true
        $ keel ps
        $ keel ps -a
    ",
    ),
    transcript(
        "engine/running",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --name web -p 8080:80 -p 127.0.0.1:5353:53/udp busybox sh -c 'echo up; cat' < hold > ready & run=$!
        $ exec 3> hold
        $ read up < ready
        $ keel ps
        $ keel rm web
        $ echo $?
        $ keel rm -f web
        $ wait $run
        $ echo $?
        $ keel ps -a
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/logs",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name talk busybox sh -c 'echo one; echo two; printf three; echo four >&2' > /dev/null 2>&1
        $ keel logs talk 2> /dev/null
        $ keel logs talk > /dev/null
        $ keel logs -n 1 talk 2> /dev/null
        $ keel logs -t talk 2> /dev/null
        $ head -1 keel/names/talk/log.json
    ",
    ),
    transcript(
        "engine/diff",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name work busybox sh -c 'mkdir -p /srv/www; echo hi > /srv/www/index.html; rm /etc/group; chmod 700 /mnt; rm -r /var/www; mknod /pipe p'
        $ keel diff work
    ",
    ),
    transcript(
        "engine/commit",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name work busybox sh -c 'echo hi > /hello; rm /etc/group'
        $ keel commit work busybox:hello
        $ keel images
        $ keel run --rm --network none busybox:hello sh -c 'cat /hello; ls /etc/group'
        $ keel run --rm --network none busybox ls /etc/group
        $ keel run --network none --name more busybox:hello sh -c 'echo more >> /hello'
        $ keel commit more busybox:more > /dev/null
        $ keel run --rm --network none busybox:more cat /hello
    ",
    ),
    transcript(
        "engine/commit-running",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --network none --name work busybox sh -c 'echo hi > /hello; echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ keel commit work busybox:hello > /dev/null
        $ keel run --rm --network none busybox:hello cat /hello
        $ keel ps
    ",
    ),
    transcript(
        "engine/rm",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name one busybox true
        $ keel run --network none --name two busybox true
        $ keel rm one nosuch two
        $ echo $?
        $ ls keel/containers keel/names keel/running
        $ keel run --rm --network none --name one busybox echo the name is free again
    ",
    ),
    transcript(
        "engine/ids",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name web busybox echo hello
        $ id=$(keel ps -aq)
        $ keel logs $id
        $ keel logs ${id%??????}
        $ keel rm $id > /dev/null
        $ keel ps -aq
    ",
    ),
    transcript(
        "engine/inspect",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --name web -e GREETING=hello busybox sh -c 'echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ keel inspect web
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/namespaces",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --name web --network none busybox sh -c 'readlink /proc/self/ns/uts; cat' < hold > ready &
        $ exec 3> hold
        $ read uts < ready
        $ [ $(keel inspect web | grep '\"uts\"' | tr -dc 0-9) = $(echo $uts | tr -dc 0-9) ] && echo the same number
    ",
    ),
    transcript(
        "engine/xray",
        "
        $ keel import rootfs busybox > /dev/null
        $ xray --normal -- keel run -i busybox cat
    ",
    )
    .needs(&[Cgroup, Nft]),
    transcript(
        "engine/xray-flags",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkdir data
        $ xray --normal -- keel run -i -m 64m --cpus 0.5 --pids-limit 16 --read-only --tmpfs /scratch -v ./data:/data:ro --hostname box --network none busybox cat
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "engine/xray-bare",
        "
        $ keel import rootfs busybox > /dev/null
        $ xray --normal -- keel run -i --network none --cgroups disabled busybox cat
    ",
    ),
    transcript(
        "engine/xray-json",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --name web --network none busybox sh -c 'echo up; exec cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ keel xray --json web | grep pid_inside
        $ keel rm -f web
    ",
    ),
    transcript(
        "engine/files",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --name web --hostname box busybox sh -c 'echo hello > /hello'
        $ ls keel/names/web/
        $ cat keel/names/web/container.json
        $ cat keel/names/web/hosts
        $ cat keel/names/web/upper/hello
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/stdin",
        "
        $ keel import rootfs busybox > /dev/null
        $ echo typed | keel run --rm --network none -i busybox cat
        $ echo typed | keel run --rm --network none busybox wc -c
        $ seq 100000 > numbers
        $ keel run --rm --network none -i busybox cat < numbers | cmp - numbers && echo the same
        $ keel run --rm --network none busybox sh -c 'echo out; echo err >&2' 2> /dev/null
    ",
    ),
    transcript(
        "engine/environment",
        "
        $ keel import rootfs busybox > /dev/null
        $ export SECRET=treasure COLOR=blue
        $ keel run --rm --network none -h box -e COLOR -e SIZE=big -e UNSET busybox env | grep -v SHLVL
    ",
    ),
    transcript(
        "engine/workdir",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none -w /var/www busybox pwd
        $ keel run --rm --network none -w /not/there/yet busybox pwd
    ",
    ),
    transcript(
        "engine/user",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none -u nobody busybox id
        $ keel run --rm --network none -u 1000:100 busybox id
        $ keel run --rm --network none -u nobody busybox touch /file
    ",
    )
    .needs(&[Users]),
    transcript(
        "engine/volumes",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkdir data
        $ echo from the host > data/file
        $ keel run --rm --network none -v /lab/data:/data busybox sh -c 'cat /data/file; echo from the container > /data/file'
        $ cat data/file
        $ keel run --rm --network none -v ./data:/data:ro busybox sh -c 'echo more > /data/file'
        $ keel run --rm --network none -v ./data:/data --tmpfs /data/cache busybox sh -c 'echo x > /data/cache/x; ls /data'
        $ ls data/cache
    ",
    ),
    transcript(
        "engine/read-only",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none --read-only busybox touch /file
        $ keel run --rm --network none --read-only --tmpfs /tmp:size=1m busybox sh -c 'touch /tmp/file && df -h /tmp'
    ",
    ),
    transcript(
        "engine/hostname",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none --hostname box busybox sh -c 'hostname; cat /etc/hostname'
        $ keel run --rm --network none busybox hostname
        $ hostname
    ",
    ),
    transcript(
        "engine/init",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none busybox sh -c 'kill -9 $$; echo still here'
        $ keel run --rm --network none --init busybox sh -c 'kill -9 $$; echo still here'
        $ echo $?
    ",
    ),
    transcript(
        "engine/entrypoint",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none --entrypoint echo busybox one two
        $ echo 'echo from the default command' | keel run --rm --network none -i busybox
    ",
    ),
    transcript(
        "engine/limits",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none --pids-limit 8 busybox sh -c 'for i in $(seq 20); do sleep 0.1 & done; wait'
        $ keel run --rm --network none -m 32m busybox tail /dev/zero
        $ echo $?
        $ keel run --name oom --network none -m 32m busybox tail /dev/zero
        $ keel inspect oom | grep -E 'Memory|ExitCode|OOMKilled'
    ",
    )
    .needs(&[Cgroup]),
    transcript(
        "engine/network-modes",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none busybox ls /sys/class/net
        $ keel run --rm busybox ls /sys/class/net
        $ keel run --rm --network host busybox hostname
        $ [ $(keel run --rm --network host busybox readlink /proc/self/ns/net) = $(readlink /proc/self/ns/net) ] && echo the same network
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/two-containers",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --name one busybox sh -c 'echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ keel inspect one | grep IPAddress
        $ keel run --rm busybox ping -c 1 10.77.0.2
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/publish",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --rm -h web -p 8080:80 busybox sh -c 'httpd -p 80 -h /etc; echo up; cat' < hold > ready & run=$!
        $ exec 3> hold
        $ read up < ready
        $ rootfs/bin/busybox wget -q -O - http://127.0.0.1:8080/hostname
        $ exec 3>&-
        $ wait $run
        $ rootfs/bin/busybox wget -q -O - http://127.0.0.1:8080/hostname
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/shared-network",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ keel run -i --name web -h web busybox sh -c 'httpd -p 127.0.0.1:80 -h /etc; echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ keel run --rm --network container:web busybox wget -q -O - http://127.0.0.1/hostname
    ",
    )
    .needs(&[Nft]),
    transcript(
        "engine/exit-codes",
        "
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none busybox sh -c 'exit 7'
        $ echo $?
        $ keel run --rm --network none busybox no-such-command
        $ echo $?
        $ keel run --rm --network none busybox /etc/passwd
        $ echo $?
        $ keel run --rm --network none no-such-image true
        $ echo $?
        $ keel run --rm --network none --init busybox sh -c 'kill -9 $$'
        $ echo $?
        $ keel run --rm --network none --init busybox sh -c 'kill -15 $$'
        $ echo $?
    ",
    ),
    transcript(
        "engine/signals",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo ready
        $ keel run --network none --name web busybox \\
        >   sh -c 'trap \"echo bye; exit 3\" TERM; sleep 100 & echo up; wait' > ready & run=$!
        $ exec 4< ready
        $ read up <&4
        $ kill -TERM $run
        $ cat <&4
        $ wait $run
        $ echo $?
        $ keel ps -a
    ",
    ),
    transcript(
        "engine/signals-init",
        "
        $ keel import rootfs busybox > /dev/null
        $ mkfifo ready
        $ keel run --network none --init --name web busybox sh -c 'echo up; exec sleep 100' > ready & run=$!
        $ read up < ready
        $ kill -TERM $run
        $ wait $run
        $ echo $?
        $ keel ps -a
    ",
    ),
    transcript(
        "engine/load-docker",
        r#"
        $ mkdir saved
        $ tar -C rootfs -cf saved/layer.tar .
        $ diff_id=$(sha256sum saved/layer.tar | cut -d' ' -f1)
        $ cat > saved/config.json <<END
        > { "architecture": "amd64", "os": "linux",
        >   "config": { "Env": ["GREETING=Hello"], "Entrypoint": ["sh", "-c"], "Cmd": ["echo \$GREETING from \$PWD"], "WorkingDir": "/var/www" },
        >   "rootfs": { "type": "layers", "diff_ids": ["sha256:$diff_id"] } }
        > END
        $ echo '[{ "Config": "config.json", "RepoTags": ["hello:1"], "Layers": ["layer.tar"] }]' > saved/manifest.json
        $ tar -C saved -czf hello.tar.gz manifest.json config.json layer.tar
        $ keel load hello.tar.gz
        $ keel images
        $ keel run --rm --network none hello:1
        $ keel run --rm --network none hello:1 'echo $0, $GREETING'
        $ keel run --rm --network none -e GREETING=Bye -w / hello:1
        $ keel run --rm --network none --entrypoint ls hello:1 -d /var/www
    "#,
    ),
    transcript(
        "engine/load-oci",
        "
        $ keel import rootfs busybox > /dev/null
        $ tar -C keel/images -cf image.tar oci-layout index.json blobs
        $ export KEEL_ROOT=/lab/other
        $ keel load < image.tar
        $ keel load image.tar
        $ keel images
        $ keel run --rm --network none busybox echo hello
    ",
    ),
    transcript(
        "engine/vfs",
        "
        $ export KEEL_STORAGE=vfs
        $ keel import rootfs busybox > /dev/null
        $ keel run --network none --name work busybox sh -c 'echo hi > /hello; rm /etc/group; chmod 700 /mnt'
        $ keel diff work
        $ keel commit work busybox:hello > /dev/null
        $ keel run --rm --network none busybox:hello cat /hello
    ",
    ),
    transcript(
        "engine/overlay-on-overlay",
        "
        $ mkdir lower upper work merged
        $ mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged
        $ export KEEL_ROOT=/lab/merged/keel
        $ keel import rootfs busybox > /dev/null
        $ keel run --rm --network none busybox echo hello
        $ keel run --rm --network none busybox echo once told
    ",
    ),
    transcript(
        "engine/help",
        "
        $ keel --help
        $ keel run --help
    ",
    ),
];
