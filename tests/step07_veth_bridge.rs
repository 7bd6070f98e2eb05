//! Step 7: a network of its own, wired to others.

use crate::harness::needs::Need::{Nft, Speed};
use crate::harness::{Test, function, transcript};
use crate::step01_chroot::in_one_lab;

pub(crate) const TESTS: &[Test] = &[
    function("07-veth-bridge/in-one-lab", || in_one_lab("07-veth-bridge.md")).needs(&[Speed, Nft]),
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
        // The last one: the kernel takes the cable of a container that has just ended away in its own time.
        "07-veth-bridge/outside",
        "
        $ mkfifo hold ready
        $ step07-veth-bridge rootfs sh -c 'echo up; cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ ip -br address show keel0 | awk '{ print $1, $3 }'
        $ ip -o link show master keel0 | awk '{ print $2 }' | cut -d@ -f1 | tail -n 1
        $ exec 3>&-; wait; rm hold ready
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
        $ exec 3>&-; wait; rm hold ready
    ",
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/port-of-the-host",
        "
        $ echo treasure > index.html
        $ rootfs/bin/busybox httpd -f -p 127.0.0.1:8080 -h /lab &
        $ until rootfs/bin/busybox wget -q -O - http://127.0.0.1:8080/; do sleep 0.1; done 2> /dev/null
        $ step07-veth-bridge -p 8080:80 rootfs true
        $ echo $?
        $ kill $!; wait $!
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
        $ exec 3>&-; wait; rm hold ready
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
        $ rootfs/bin/busybox httpd -f -p 127.0.0.1:8080 -h /lab &
        $ until rootfs/bin/busybox wget -q -O - http://127.0.0.1:8080/; do sleep 0.1; done 2> /dev/null
        $ step06-overlayfs rootfs wget -q -O - http://127.0.0.1:8080/
        $ kill $!; wait $!
    ",
    ),
    transcript(
        "07-veth-bridge/after",
        "
        $ echo treasure > index.html
        $ rootfs/bin/busybox httpd -f -p 127.0.0.1:8080 -h /lab &
        $ until rootfs/bin/busybox wget -q -O - http://127.0.0.1:8080/; do sleep 0.1; done 2> /dev/null
        $ step07-veth-bridge rootfs wget -q -O - http://127.0.0.1:8080/
        $ kill $!; wait $!
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
        $ exec 3>&-; wait; rm hold ready
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
        $ exec 3>&-; wait; rm hold ready; ip link delete br0
    "#,
    ),
    transcript(
        "07-veth-bridge/masquerade",
        r#"
        $ mount -t tmpfs tmpfs /run
        $ at() { place=$1; shift; nsenter --net=/run/netns/$place "$@"; }
        $ plug() {        # name, address: a network namespace, and a cable to it
        >     ip netns add $1
        >     ip link add to-$1 type veth peer name eth0 netns $1
        >     ip link set to-$1 up
        >     at $1 ip address add $2 dev eth0
        >     at $1 ip link set eth0 up
        > }
        $ plug web 10.9.0.2/24
        $ ip address add 10.9.0.1/24 dev to-web
        $ at web ip route add default via 10.9.0.1
        $ plug world 192.0.2.9/24
        $ ip address add 192.0.2.1/24 dev to-world
        $ mkdir -p site/cgi-bin
        $ printf '#!/bin/sh\necho; echo "you are $REMOTE_ADDR"\n' > site/cgi-bin/who
        $ chmod +x site/cgi-bin/who
        $ at world rootfs/bin/busybox httpd -p 192.0.2.9:80 -h site
        $ rootfs/bin/busybox wget -q -O - http://192.0.2.9/cgi-bin/who
        $ echo 1 > /proc/sys/net/ipv4/ip_forward
        $ at web rootfs/bin/busybox ping -c 1 -W 1 192.0.2.9 | grep received
        $ at world ip route get 10.9.0.2
        $ nft -f - <<'END'
        > table ip home {
        >     chain postrouting {
        >         type nat hook postrouting priority srcnat
        >         ip saddr 10.9.0.0/24 oifname "to-world" masquerade
        >     }
        > }
        > END
        $ at web rootfs/bin/busybox wget -q -O - http://192.0.2.9/cgi-bin/who
        $ nft delete table ip home; ip link delete to-web; ip link delete to-world; umount -l /run
    "#,
    )
    .needs(&[Nft]),
    transcript(
        "07-veth-bridge/five-points",
        r#"
        $ cat > watch.nft <<'END'
        > add table ip watch
        > delete table ip watch
        > table ip watch {
        >     chain prerouting  { type filter hook prerouting priority 0; icmp type { echo-request, echo-reply } counter; }
        >     chain input       { type filter hook input priority 0; icmp type { echo-request, echo-reply } counter; }
        >     chain forward     { type filter hook forward priority 0; icmp type { echo-request, echo-reply } counter; }
        >     chain output      { type filter hook output priority 0; icmp type { echo-request, echo-reply } counter; }
        >     chain postrouting { type filter hook postrouting priority 0; icmp type { echo-request, echo-reply } counter; }
        > }
        > END
        $ way() {         # command: the packets that pass each point meanwhile
        >     nft -f watch.nft
        >     "$@" | grep -o '. packets received'
        >     nft list table ip watch | sed -n 's/.*chain \(.*\) {/\1/p; s/.*packets \([0-9]*\).*/\1/p' | paste -sd' '
        > }
        $ [ ! -e /proc/sys/net/bridge ] || echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables
        $ mkfifo hold ready
        $ step07-veth-bridge rootfs sh -c 'hostname -i; cat' < hold > ready &
        $ exec 3> hold
        $ read db < ready
        $ mount -t tmpfs tmpfs /run
        $ ip netns add world
        $ ip link add to-world type veth peer name eth0 netns world
        $ ip link set to-world up
        $ ip address add 192.0.2.1/24 dev to-world
        $ nsenter --net=/run/netns/world ip address add 192.0.2.9/24 dev eth0
        $ nsenter --net=/run/netns/world ip link set eth0 up
        $ way step07-veth-bridge rootfs ping -c 1 $db
        $ way step07-veth-bridge rootfs ping -c 1 10.77.0.1
        $ way step07-veth-bridge rootfs ping -c 1 192.0.2.9
        $ way rootfs/bin/busybox ping -c 1 $db
        $ exec 3>&-; wait; rm hold ready; nft delete table ip watch; ip link delete to-world; umount -l /run
    "#,
    )
    .needs(&[Nft]),
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
