//! Step 7: an own network, wired to others.

use crate::harness::needs::Need::Nft;
use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "07-veth-bridge/inside",
        "
        $ step07-veth-bridge rootfs ip address show eth0 | grep -w inet
        $ step07-veth-bridge rootfs ip route
        $ step07-veth-bridge rootfs ping -c 1 10.77.0.1 | grep received
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/outside",
        "
        $ mkfifo hold ready
        $ step07-veth-bridge rootfs sh -c 'echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ ip -br address show keel0 | awk '{ print $1, $3 }'
        $ ip -o link show master keel0 | awk '{ print $2 }' | cut -d@ -f1
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/two-containers",
        "
        $ mkfifo hold ready
        $ step07-veth-bridge rootfs sh -c 'hostname -i; cat' < hold > ready &
        $ exec 3> hold
        $ read address < ready
        $ step07-veth-bridge rootfs ping -c 1 $address
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/publish",
        "
        $ mkfifo hold ready
        $ step07-veth-bridge -p 8080:80 rootfs sh -c 'httpd -p 80 -h /etc; echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ rootfs/bin/busybox wget -q -O - http://127.0.0.1:8080/hostname
        $ step07-veth-bridge -p 8080:80 rootfs true
        $ echo $?
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/port-of-the-host",
        "
        $ rootfs/bin/busybox httpd -p 127.0.0.1:8080 -h /lab
        $ step07-veth-bridge -p 8080:80 rootfs true
        $ echo $?
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/modes",
        "
        $ links='ip -o link | cut -d: -f2 | cut -d@ -f1'
        $ step07-veth-bridge --network host rootfs sh -c \"$links\"
        $ step07-veth-bridge --network none rootfs sh -c \"$links\"
        $ step07-veth-bridge rootfs sh -c \"$links\"
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/shared",
        "
        $ mkfifo hold ready
        $ step07-veth-bridge rootfs sh -c 'httpd -p 127.0.0.1:80 -h /etc; echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ until pid=$(pidof cat); do :; done
        $ step07-veth-bridge --network container:$pid rootfs wget -q -O - http://127.0.0.1/hostname
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/the-hosts-loopback",
        "
        $ echo treasure > index.html
        $ rootfs/bin/busybox httpd -p 127.0.0.1:8080 -h /lab
        $ step06-overlayfs rootfs wget -q -O - http://127.0.0.1:8080/
        $ step07-veth-bridge rootfs wget -q -O - http://127.0.0.1:8080/
        $ echo $?
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/nothing-stays",
        "
        $ step07-veth-bridge -p 8080:80 rootfs true
        $ for i in $(seq 200); do ip -o link show master keel0 | grep -q veth || break; done
        $ ip -o link show master keel0
        $ nft list map ip keel0 published | grep elements
        $ grep -c address keel/network/*.json
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/subnet-in-use",
        "
        $ ip link add taken type bridge
        $ ip address add 10.77.5.1/24 dev taken
        $ ip link set taken up
        $ step07-veth-bridge rootfs true
        $ echo $?
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/bad-flags",
        "
        $ step07-veth-bridge --network moon rootfs true 2>&1 | head -1
        $ step07-veth-bridge -p 80 rootfs true 2>&1 | head -1
        $ step07-veth-bridge -p 8080:80 --network none rootfs true
        $ echo $?
        $ step07-veth-bridge --network container:999999 rootfs true
        $ echo $?
    ",
    ),
    transcript(
        "07-veth-bridge/help",
        "
        $ step07-veth-bridge --help
    ",
    ),
    transcript(
        "07-veth-bridge/xray",
        "
        $ xray --normal -- step07-veth-bridge rootfs cat
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/before",
        "
        $ echo treasure > index.html
        $ rootfs/bin/busybox httpd -p 127.0.0.1:8080 -h /lab
        $ step06-overlayfs rootfs wget -q -O - http://127.0.0.1:8080/
    ",
    ),
    transcript(
        "07-veth-bridge/after",
        "
        $ echo treasure > index.html
        $ rootfs/bin/busybox httpd -p 127.0.0.1:8080 -h /lab
        $ step07-veth-bridge rootfs wget -q -O - http://127.0.0.1:8080/
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/listens-on-loopback",
        "
        $ mkfifo hold ready
        $ step07-veth-bridge -p 8080:80 rootfs sh -c 'httpd -p 127.0.0.1:80 -h /etc; echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ rootfs/bin/busybox wget -q -O - http://127.0.0.1:8080/hostname
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/by-hand",
        r#"
        $ ip link add br0 type bridge
        $ ip address add 10.9.0.1/24 dev br0
        $ ip link set br0 up
        $ mkfifo hold ready
        $ unshare --net sh -c 'echo $$; cat' < hold > ready &
        $ exec 3> hold
        $ read pid < ready
        $ ip link add cable type veth peer name eth0 netns $pid
        $ ip link set cable master br0 up
        $ inside="nsenter --net=/proc/$pid/ns/net"
        $ $inside ip address add 10.9.0.2/24 dev eth0
        $ $inside ip link set eth0 up
        $ $inside ip route add default via 10.9.0.1
        $ $inside rootfs/bin/busybox ping -c 1 10.9.0.1 | grep received
    "#,
    ),
    transcript(
        "07-veth-bridge/island",
        "
        $ unshare --net ip -br link
        $ unshare --net rootfs/bin/busybox ping -c 1 127.0.0.1
    ",
    ),
    transcript(
        "07-veth-bridge/own",
        "
        $ xray --normal -- step07-veth-bridge rootfs cat | grep -E 'own:|link|route'
    ",
    )
    .needs(&[Nft]),
];
