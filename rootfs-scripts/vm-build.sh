#!/bin/sh
# A throw-away virtual machine for the lab: kernel, initrd and disk, out of Debian's packages alone.

kind=guest
here=$(dirname -- "$0")
# shellcheck source=lib.sh
. "$here/lib.sh"

: "${VM_KERNEL:=trixie}" "${VM_ARCH:=$(uname -m)}" "${VM_MIRROR:=https://deb.debian.org/debian}"

# Where the userland comes from. Its C library must not be older than that of the machine whose programs run
# in the guest, so it is the newest release's.
release=trixie
packages='bash busybox-static coreutils dash diffutils findutils grep gzip iproute2 iputils-ping libc-bin libgcc-s1
    mount nftables sed strace tar uidmap util-linux'

# What containers can want of the kernel, below /lib/modules/VERSION/kernel. The rest stays behind: it is ten times as much.
modules='block crypto lib fs/9p fs/ext4 fs/fuse fs/jbd2 fs/mbcache.ko fs/netfs fs/fscache fs/overlayfs net/802 net/9p
    net/bridge net/core net/ipv4 net/ipv6 net/llc net/netfilter net/sched drivers/block/loop.ko
    drivers/block/virtio_blk.ko drivers/char/virtio_console.ko drivers/net/dummy.ko drivers/net/veth.ko
    drivers/virtio arch/x86/crypto arch/arm64/crypto'

# The modules that lead to the disk and to the host's folders, loaded from the initrd, with what they need.
first_modules='crc32c_generic virtio_pci virtio_mmio virtio_console virtio_blk ext4 9pnet_virtio 9p overlay'

help() {
    cat <<'END'
Usage: vm-build.sh DEST

Makes a virtual machine for vm-run.sh in the folder DEST: a kernel, an initrd, and a disk with a small Debian.
Needs no root. Downloads 120 MB; what is downloaded stays in the folder 'downloads' beside DEST, for the next one.

From the environment:
  VM_KERNEL   the Debian release whose kernel it gets, such as bookworm (6.1), trixie (6.12) or
              trixie-backports, or RELEASE/PACKAGE for a certain one (default: trixie)
  VM_ARCH     x86_64 or aarch64 (default: this machine's)
  VM_MIRROR   a Debian mirror (default: https://deb.debian.org/debian)

A finished guest in DEST stays as it is, unless it was made by another version of this script: then it is
made again.
END
}

is_complete() {
    [ -s "$dest/disk" ] && [ "$(cat "$dest/made-by" 2>/dev/null)" = "$recipe" ]
}

main() {
    expect_dest "$@"
    case $VM_ARCH in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) fail "no guest for '$VM_ARCH': only for x86_64 and aarch64" ;;
    esac
    PATH=$PATH:/usr/sbin:/sbin
    for tool in ar awk mke2fs debugfs sha256sum tar xz; do
        has "$tool" || fail "'$tool' is missing: install $(package_of "$tool")"
    done
    has curl || has wget || fail 'neither curl nor wget is here: install one of them'

    recipe=$(echo "$VM_KERNEL $arch" | cat - "$0" | sha256sum | cut -d' ' -f1)
    [ ! -e "$1/made-by" ] || [ "$(cat "$1/made-by")" = "$recipe" ] || rm -rf -- "$1"
    mkdir -p -- "$(dirname -- "$1")"
    begin "$1"
    downloads=$(dirname -- "$dest")/downloads
    mkdir -p "$downloads"

    unpack_packages
    unpack_kernel
    make_users
    make_disk
    make_initrd
    echo "$recipe" >"$work/tree/made-by"
    finish "guest with Linux $version for $VM_ARCH"
}

package_of() {
    case $1 in
    ar) echo binutils ;;
    mke2fs | debugfs) echo e2fsprogs ;;
    xz) echo 'xz-utils (or xz)' ;;
    *) echo "$1" ;;
    esac
}

# download URL FILE
download() {
    url=$1
    if has curl; then
        set -- curl --silent --show-error --fail --location --output "$2" "$1"
    else
        set -- wget -q -O "$2" "$1"
    fi
    run "$@" || fail "download '$url': $(log_tail 1)
Is there such a release (VM_KERNEL), and a way to the Internet? VM_MIRROR names another mirror"
}

# matches FILE SHA256
matches() {
    echo "$2  $1" | sha256sum --check --status 2>/dev/null
}

# index RELEASE ARCH: makes $index, the release's list of packages. A release's InRelease is signed, and holds the
# list's checksum; the list holds each package's. Without Debian's keys, https must vouch for the first of them.
index() {
    index=$work/$1-$2
    [ ! -e "$index" ] || return 0
    signed=$work/$1-InRelease
    [ -e "$signed" ] || download "$VM_MIRROR/dists/$1/InRelease" "$signed"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    if has gpgv && [ -e $keys ]; then
        run gpgv --keyring $keys "$signed" || fail "the list of Debian $1 is not signed by Debian: $(log_tail 1)"
    fi
    sum=$(awk -v "file=main/binary-$2/Packages.xz" '/^SHA256:/ { on = 1 } on && $3 == file { print $1; exit }' "$signed")
    download "$VM_MIRROR/dists/$1/main/binary-$2/Packages.xz" "$index.xz"
    matches "$index.xz" "$sum" || fail "the list of Debian $1 has a wrong checksum: try again, or another VM_MIRROR"
    xz -dc "$index.xz" >"$index"
}

# closure INDEX PACKAGE...: file and checksum of each package and of all that they depend on. The first of several
# alternatives is taken, and a name that only others provide is passed over.
closure() {
    list=$1
    shift
    echo "$*" | awk '
        FNR == NR { for (i = 1; i <= NF; i++) wanted[++n] = $i; next }
        /^Package: / { name = $2 }
        /^(Pre-)?Depends: / { sub(/^[^:]*: /, ""); needs[name] = needs[name] "," $0 }
        /^Filename: / { file[name] = $2 }
        /^SHA256: / { sum[name] = $2 }
        END {
            for (i = 1; i <= n; i++) {
                name = wanted[i]
                if (seen[name]++ || !(name in file)) continue
                print file[name], sum[name]
                count = split(needs[name], alternatives, ",")
                for (j = 1; j <= count; j++) {
                    split(alternatives[j], words, /[ |(:]+/)
                    wanted[++n] = words[1] != "" ? words[1] : words[2]
                }
            }
        }' - "$list"
}

# unpack FILE SHA256 FOLDER: one package of the mirror's.
unpack() {
    deb=$downloads/${1##*/}
    if ! matches "$deb" "$2"; then
        download "$VM_MIRROR/$1" "$work/deb"
        matches "$work/deb" "$2" || fail "'${1##*/}' has a wrong checksum: try again, or another VM_MIRROR"
        mv "$work/deb" "$deb"
    fi
    # A folder that is a link here (/bin) stays a link.
    ar p "$deb" data.tar.xz | tar -xJp --keep-directory-symlink --no-same-owner -C "$3"
}

# Programs and libraries, as their packages bring them; a command that none brings is busybox's, modprobe too: the lists
# of modules that its depmod writes are for itself.
unpack_packages() {
    root=$work/root
    mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64" "$root/home/guest"
    for folder in bin sbin lib lib64; do
        ln -s "usr/$folder" "$root/$folder"
    done
    for folder in ctl dev etc mnt proc root run sys tmp var/tmp; do
        mkdir -p "$root/$folder"
    done
    say "a small Debian ($release, $arch) from $VM_MIRROR"
    index "$release" "$arch"
    # shellcheck disable=SC2086 # one word a package
    closure "$index" $packages >"$work/list"
    while read -r file sum; do
        unpack "$file" "$sum" "$root"
    done <"$work/list"
    rm -rf "$root"/usr/share/doc "$root"/usr/share/info "$root"/usr/share/locale "$root"/usr/share/man

    find_busybox
    ln -sf dash "$root/usr/bin/sh"
    # proc(5), /proc/sys/kernel/modprobe: what the kernel calls when a module is missing.
    ln -s ../bin/busybox "$root/usr/sbin/modprobe"
    for applet in $("$busybox" --list); do
        [ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
    done
}

# Sets $busybox, one that runs on this machine.
find_busybox() {
    busybox=$root/usr/bin/busybox
    "$busybox" true 2>/dev/null && return
    index "$release" "$(case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; esac)"
    mkdir "$work/native"
    closure "$index" busybox-static | while read -r file sum; do
        unpack "$file" "$sum" "$work/native"
    done
    busybox=$work/native/usr/bin/busybox
}

# Kernel and modules. Sets $version.
unpack_kernel() {
    suite=${VM_KERNEL%%/*} image=linux-image-$arch
    case $VM_KERNEL in */*) image=${VM_KERNEL#*/} ;; esac
    index "$suite" "$arch"
    # The package without a number leads to the newest with one.
    case $image in "linux-image-$arch")
        image=$(awk -v "name=$image" '/^Package: / { on = $2 == name } on && /^Depends: / { print $2; exit }' "$index") ;;
    esac
    set -- "$(closure "$index" "$image" | head -n 1)"
    [ -n "$1" ] || fail "Debian $suite has no package '$image' for $arch: see VM_KERNEL in --help"
    say "its kernel: $image"
    mkdir "$work/kernel"
    unpack "${1% *}" "${1#* }" "$work/kernel"
    cp "$work"/kernel/boot/vmlinuz-* "$work/tree/kernel"
    version=$(basename "$work"/kernel/boot/vmlinuz-*)
    version=${version#vmlinuz-}

    from=$(echo "$work"/kernel/lib/modules/* "$work"/kernel/usr/lib/modules/*)
    from=${from%% *}
    [ -d "$from" ] || from=$work/kernel/usr/lib/modules/$version
    to=$root/usr/lib/modules/$version
    mkdir -p "$to/kernel"
    cp "$from"/modules.order "$from"/modules.builtin* "$to"
    for module in $modules; do
        for found in "$from/kernel/$module" "$from/kernel/$module.xz"; do
            [ ! -e "$found" ] || (cd "$from" && tar -cf - "kernel/${found#"$from/kernel/"}") | tar -xf - -C "$to"
        done
    done
    # Unpacked once here, not at each boot.
    find "$to" -name '*.ko.xz' -exec xz -d {} +
    "$busybox" depmod -b "$root" "$version"
}

make_users() {
    cat >"$root/etc/passwd" <<'END'
root:x:0:0::/root:/bin/bash
guest:x:1000:1000::/home/guest:/bin/bash
nobody:x:65534:65534::/:/bin/false
END
    printf '%s\n' root:x:0: tty:x:5: shadow:x:42: guest:x:1000: nogroup:x:65534: >"$root/etc/group"
    # For newuidmap(1): user ids that containers of the guest user may have.
    echo guest:100000:65536 | tee "$root/etc/subuid" >"$root/etc/subgid"
    echo guest >"$root/etc/hostname"
    echo '127.0.0.1 localhost guest' >"$root/etc/hosts"
    cat >"$root/etc/os-release" <<END
ID=debian
PRETTY_NAME="Keel's guest (Debian $release)"
END
}

# Everything belongs to root in there, whoever builds it: debugfs(8) writes the owners into the finished file system.
make_disk() {
    disk=$work/tree/disk
    run mke2fs -q -F -t ext4 -O ^has_journal -E root_owner=0:0 -d "$root" "$disk" 2G || fail "make a disk: $(log_tail 1)"
    (cd "$root" && find . -mindepth 1 -print) | sed 's/^\.\(.*\)/sif "\1" uid 0\nsif "\1" gid 0/' >"$work/owners"
    run debugfs -w -f "$work/owners" "$disk" || fail "make a disk: $(log_tail 1)"
}

# Just enough to reach the disk and the folder with the guest's first program.
make_initrd() {
    mkdir -p "$work/initrd/bin" "$work/initrd/modules" "$work/initrd/root"
    cp "$root/usr/bin/busybox" "$work/initrd/bin"
    number=100
    for module in $first_modules; do
        # modules.dep: a module's file, then those that it needs, the last of them first.
        needed=$(sed -n "s|:||; /\/$module\.ko\( \|\$\)/p" "$to/modules.dep" | grep -m 1 "^[^ ]*/$module\.ko" || :)
        for file in $(echo "$needed" | tr ' ' '\n' | tac); do
            number=$((number + 1))
            cp "$to/$file" "$work/initrd/modules/$number-${file##*/}"
        done
    done
    cat >"$work/initrd/init" <<'END'
#!/bin/busybox sh
busybox=/bin/busybox
# One that is built in, or loaded already, is refused.
for module in /modules/*; do $busybox insmod "$module" 2>/dev/null; done
$busybox mkdir /dev
$busybox mount -t devtmpfs dev /dev
$busybox mount -t ext4 /dev/vda /root
$busybox mount --move /dev /root/dev
$busybox mount -t 9p -o trans=virtio,version=9p2000.L ctl /root/ctl
exec $busybox switch_root /root /ctl/init
END
    chmod 755 "$work/initrd/init"
    (cd "$work/initrd" && find . | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$work/tree/initrd"
}

main "$@"
