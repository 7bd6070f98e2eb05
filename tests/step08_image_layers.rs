//! Step 8: images.

use crate::harness::needs::Need::Nft;
use crate::harness::{Test, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "08-image-layers/run",
        "
        $ step08-image-layers import rootfs busybox
        $ step08-image-layers images
        $ step08-image-layers run busybox sh -c 'echo Hello from $HOSTNAME, in $PWD'
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
];
