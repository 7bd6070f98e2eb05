//! Step 8: images.

use crate::harness::needs::Need::{Nft, Speed, Users};
use crate::harness::{Test, function, transcript};
use crate::step01_chroot::in_one_lab;

pub(crate) const TESTS: &[Test] = &[
    function("08-image-layers/in-one-lab", || in_one_lab("08-image-layers.md")).needs(&[Speed, Nft]),
    transcript(
        "08-image-layers/run",
        "
        $ step08-image-layers import rootfs busybox
        $ step08-image-layers images
        $ step08-image-layers run busybox sh -c 'echo Hello from $HOSTNAME, in $PWD'
        $ rm -r store
    ",
    )
    .needs(&[Nft]),
    transcript(
        "08-image-layers/commit",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ step08-image-layers run --upper mine busybox sh -c 'echo hi > /hello; rm /etc/group'
        $ step08-image-layers commit mine busybox busybox:mine
        $ step08-image-layers run busybox:mine sh -c 'cat /hello; ls /etc/group'
        $ ls store/blobs/sha256 | wc -l
        $ ls store/layers | wc -l
        $ rm -r store mine
    ",
    )
    .needs(&[Nft]),
    transcript(
        "08-image-layers/store",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ cd store
        $ cat oci-layout
        $ for blob in blobs/sha256/*; do sha256sum $blob | awk '{ print $1 == substr($2, 14) }'; done
    ",
    ),
    transcript(
        "08-image-layers/layer",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ step08-image-layers run --upper mine busybox sh -c 'echo hi > /hello; rm /etc/group'
        $ step08-image-layers commit mine busybox busybox:mine > /dev/null
        $ for blob in $(ls -Sr store/blobs/sha256/*); do tar -tf $blob 2> /dev/null && break; done
    ",
    )
    .needs(&[Nft]),
    transcript(
        "08-image-layers/load",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ tar -C store -cf image.tar oci-layout index.json blobs
        $ step08-image-layers --store other load image.tar
        $ step08-image-layers --store other run busybox true
        $ echo $?
        $ rm -r store other image.tar
    ",
    )
    .needs(&[Nft]),
    transcript(
        "08-image-layers/tampered",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ layer=$(ls -S store/blobs/sha256/* | head -1)
        $ printf X | dd of=$layer bs=1 seek=100 conv=notrunc status=none
        $ step08-image-layers --store other load store
        $ echo $?
        $ find other/blobs other/layers -type f
        $ rm -r store other
    ",
    ),
    transcript(
        "08-image-layers/truncated",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ tar -C store -cf image.tar oci-layout index.json blobs
        $ truncate -s 500K image.tar
        $ step08-image-layers --store other load image.tar
        $ echo $?
        $ find other/blobs other/layers -type f
        $ rm -r store other image.tar
    ",
    ),
    transcript(
        "08-image-layers/unknown",
        "
        $ step08-image-layers run nope
        $ echo $?
        $ step08-image-layers load nowhere.tar
        $ echo $?
        $ step08-image-layers run 'No Such' 2>&1
        $ echo $?
    ",
    ),
    transcript(
        "08-image-layers/corrupt-index",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ echo '{' > store/index.json
        $ step08-image-layers images
        $ echo $?
        $ rm -r store
    ",
    ),
    transcript(
        "08-image-layers/user",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ step08-image-layers run --network none --user nosuch busybox id
        $ echo $?
        $ step08-image-layers run --network none --user root:nosuch busybox id
        $ echo $?
    ",
    ),
    transcript(
        "08-image-layers/killed",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ mkfifo hold ready
        $ step08-image-layers run --network none --user 1000 busybox sh -c 'echo up; exec cat' < hold > ready &
        $ exec 3> hold
        $ read up < ready
        $ kill -9 $!
        $ for i in $(seq 200); do pidof cat > /dev/null || break; sleep 0.01; done
        $ pidof cat || echo gone
    ",
    )
    .needs(&[Users]),
    transcript(
        "08-image-layers/help",
        "
        $ step08-image-layers --help
        $ step08-image-layers run --help
    ",
    ),
    transcript(
        "08-image-layers/xray",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ xray --normal -- step08-image-layers run busybox cat
    ",
    )
    .needs(&[Nft]),
    transcript(
        "08-image-layers/before",
        "
        $ sed -i s/root/toor/ rootfs/etc/passwd
        $ step07-veth-bridge --network none rootfs whoami
        $ sed -i s/toor/root/ rootfs/etc/passwd
    ",
    ),
    transcript(
        "08-image-layers/by-hand",
        r#"
        $ step08-image-layers import rootfs busybox > /dev/null
        $ step08-image-layers run --network none --upper mine busybox sh -c 'echo hi > /hello; rm /etc/group'
        $ step08-image-layers commit mine busybox busybox:mine > /dev/null
        $ cd store
        $ ls
        $ cat index.json
        $ blob() { echo blobs/sha256/$(grep -o 'sha256:[0-9a-f]*' $1 | sed -n "s/sha256:// ; $2 p"); }
        $ manifest=$(blob index.json 2)
        $ sha256sum < $manifest | grep -q ^${manifest#blobs/sha256/} && echo the name is the digest
        $ show() { sed 's/,"/,\n"/g; s/},{/},\n{/g' $1; echo; }
        $ show $manifest
    "#,
    ),
    transcript(
        "08-image-layers/config",
        r#"
        $ cd /lab; rm -rf store mine
        $ step08-image-layers import rootfs busybox > /dev/null
        $ step08-image-layers run --network none --upper mine busybox sh -c 'echo hi > /hello; rm /etc/group'
        $ step08-image-layers commit mine busybox busybox:mine > /dev/null
        $ cd store
        $ blob() { echo blobs/sha256/$(grep -o 'sha256:[0-9a-f]*' $1 | sed -n "s/sha256:// ; $2 p"); }
        $ show() { sed 's/,"/,\n"/g; s/},{/},\n{/g' $1; echo; }
        $ manifest=$(blob index.json 2)
        $ config=$(blob $manifest 1)
        $ show $config
        $ tar -tf $(blob $manifest 2) | head -4
        $ tar -tf $(blob $manifest 3)
        $ lower=$(gzip -dc $(blob $manifest 2) | sha256sum | cut -c 1-64)
        $ upper=$(gzip -dc $(blob $manifest 3) | sha256sum | cut -c 1-64)
        $ grep -q "sha256:$lower\",\"sha256:$upper" $config && echo these are the diff ids
        $ ls layers/$lower
        $ chain=$(printf "sha256:$lower sha256:$upper" | sha256sum | cut -c 1-64)
        $ ls layers/$chain
        $ stat -c '%n: %F' $(find layers/$chain -name group) | cut -d/ -f3-
        $ cd /lab; rm -r store mine
    "#,
    ),
    transcript(
        "08-image-layers/link-out",
        r#"
        $ mkdir evil
        $ ln -s /lab evil/link
        $ tar -C evil -cf layer.tar link
        $ echo treasure > pwned
        $ tar --transform s,^,link/, -rf layer.tar pwned
        $ rm pwned
        $ tar -tf layer.tar
        $ id=$(sha256sum < layer.tar | cut -c 1-64)
        $ echo '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:'$id'"]}}' > config.json
        $ echo '[{"Config":"config.json","RepoTags":["evil:latest"],"Layers":["layer.tar"]}]' > manifest.json
        $ tar -cf evil.tar manifest.json config.json layer.tar
        $ step08-image-layers load evil.tar
        $ ls pwned
        $ cd store/layers/*
        $ find . -name pwned
        $ cd /lab; rm -r store evil evil.tar
    "#,
    ),
    transcript(
        "08-image-layers/shared-layer",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ for name in one two; do
        >     step08-image-layers run --network none --upper $name busybox touch /$name
        >     step08-image-layers commit $name busybox busybox:$name > /dev/null
        > done
        $ ls store/layers | wc -l
        $ ls store/blobs/sha256 | wc -l
        $ rm -r store one two
    ",
    ),
    transcript(
        "08-image-layers/own",
        "
        $ step08-image-layers import rootfs busybox > /dev/null
        $ step08-image-layers run --network none --upper mine busybox touch /new
        $ step08-image-layers commit mine busybox busybox:new > /dev/null
        $ xray --normal -- step08-image-layers run --network none busybox:new cat | grep 'root filesystem'
        $ rm -r store mine
    ",
    ),
];
