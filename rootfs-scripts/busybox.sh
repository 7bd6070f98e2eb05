#!/bin/sh
# The small root filesystem that every lesson uses: one static program with many names.

kind=busybox
here=$(dirname -- "$0")
# shellcheck source=lib.sh
. "$here/lib.sh"

help() {
    cat <<'END'
Usage: busybox.sh DEST

Makes a small root filesystem in the folder DEST: a static busybox, a link for each of its
commands, and a few files in /etc. Needs no root. The tree is the same every time.

The busybox is, in this order:
  - the one that the environment names: BUSYBOX=/path/to/busybox
  - an installed one that is static
  - the distribution's package, downloaded and unpacked, not installed (apt, dnf, apk, pacman)

A finished tree in DEST stays as it is.
END
}

# The commands. busybox has had them all since 1.30; the list is fixed, so that the tree doesn't
# depend on how a distribution built it.
applets='
    [ [[ ash basename cal clear date dirname echo env expr false getopt printf pwd reset seq sh
    sleep stty test time timeout true tty usleep which yes

    cat chgrp chmod chown cp dd df du find ln ls mkdir mkfifo mknod mktemp mv readlink realpath rm
    rmdir stat sync touch truncate

    awk base64 cmp cut diff egrep expand fgrep fold grep head hexdump less md5sum more nl od paste
    patch rev sed sha1sum sha256sum sha512sum shuf sort strings tac tail tee tr uniq vi wc
    xargs

    bunzip2 bzcat bzip2 cpio gunzip gzip tar unxz unzip xz xzcat zcat

    free ionice kill killall nproc pidof ps renice setsid taskset top uptime watch

    groups id passwd su whoami

    blockdev chroot dmesg hostid losetup mount nsenter pivot_root setpriv switch_root sysctl umount
    uname unshare

    arp arping brctl dnsdomainname hostname httpd ifconfig ip ipcalc nc netstat nslookup ping ping6
    route traceroute udhcpc wget
'

is_complete() {
    [ -x "$dest/bin/busybox" ] && [ -f "$dest/etc/os-release" ] || return
    for applet in $applets; do
        [ -L "$dest/bin/$applet" ] || return
    done
}

main() {
    expect_dest "$@"
    begin "$1"

    find_busybox
    make_folders
    make_files
    make_commands
    # shellcheck disable=SC2086 # one word a command
    set -- $applets
    finish "busybox $version, $# applets"
}

# Sets $busybox.
find_busybox() {
    busybox=${BUSYBOX-}
    if [ -n "$busybox" ]; then
        case $busybox in /*) ;; *) busybox=$PWD/$busybox ;; esac
        is_static "$busybox" || fail "BUSYBOX='$busybox' is not a static program"
        return
    fi
    IFS=: # some distributions keep it where only root's PATH looks
    for folder in $PATH /usr/sbin /sbin; do
        for busybox in "$folder/busybox" "$folder/busybox-static" "$folder/busybox.static"; do
            [ -x "$busybox" ] && is_static "$busybox" && unset IFS && return
        done
    done
    unset IFS
    reason=
    download && return
    fail "no static busybox here${reason:+, nor from its package ($reason)}
Install one:
  Debian, Ubuntu   sudo apt-get install busybox-static
  Fedora           sudo dnf install busybox
  Alpine           sudo apk add busybox-static
  Arch             sudo pacman -S busybox
or name one: BUSYBOX=/path/to/busybox"
}

# Does the program run in an empty root, without a dynamic linker? elf(5): one that needs a linker
# has a program header of type PT_INTERP (3) with the linker's path.
is_static() {
    [ "$(od -An -N4 -c "$1" 2>/dev/null | tr -d ' ')" = '177ELF' ] || return
    # Where e_phoff, e_phentsize and e_phnum stand depends on the class: 32 or 64 bit.
    case $(number "$1" 4 1) in
    1) at=$(number "$1" 28 4) size=$(number "$1" 42 2) count=$(number "$1" 44 2) ;;
    2) at=$(number "$1" 32 8) size=$(number "$1" 54 2) count=$(number "$1" 56 2) ;;
    *) return 1 ;;
    esac
    while [ "$count" -gt 0 ]; do
        [ "$(number "$1" "$at" 4)" != 3 ] || return
        at=$((at + size)) count=$((count - 1))
    done
}

# number FILE OFFSET BYTES: an unsigned number in this machine's byte order.
number() {
    od -An -j "$2" -N "$3" -t "u$3" "$1" | tr -d ' '
}

# Downloads and unpacks the distribution's package in $work, and sets $busybox; nothing is installed.
download() {
    mkdir "$work/package" && cd "$work/package" || return
    if has apt-get dpkg-deb; then
        fetch apt-get download busybox-static && dpkg-deb -x ./*.deb .
    elif has dnf rpm2archive; then
        fetch dnf download busybox && rpm2archive - <"$(ls ./*.rpm)" | tar -xz
    elif has apk; then
        fetch apk fetch busybox-static && tar -xzf ./*.apk 2>/dev/null
    elif has pacman; then
        fetch_with_pacman && tar -xf ./*.pkg.tar.zst
    else
        return 1
    fi || return
    for busybox in */busybox */busybox.static usr/*/busybox; do
        busybox=$work/package/$busybox
        [ -x "$busybox" ] && is_static "$busybox" && return
    done
    reason='its busybox is not static'
    return 1
}

fetch() {
    say "no static busybox is installed: $*"
    run "$@" && return
    reason=$(log_tail 1)
    return 1
}

# pacman downloads for root only, but to another place it may be anybody in root's clothes.
fetch_with_pacman() {
    mkdir db
    ln -s /var/lib/pacman/local /var/lib/pacman/sync db
    set -- pacman -Sw --noconfirm --disable-sandbox --dbpath db --cachedir . --logfile log busybox
    if [ "$(id -u)" = 0 ]; then
        fetch "$@"
    elif has fakeroot; then
        fetch fakeroot -- "$@"
    else
        reason='a user needs fakeroot to download it'
        return 1
    fi
}

# The folders; /proc, /sys, /dev, /run and /mnt stay empty, to mount on.
make_folders() {
    cd "$work/tree"
    mkdir bin dev etc home mnt proc root run sys tmp usr usr/lib var var/log var/tmp var/www
    chmod 0700 root
    chmod 1777 tmp var/tmp
    # All commands are in /bin; scripts and people look for them elsewhere, too.
    ln -s bin sbin
    ln -s ../bin usr/bin
    ln -s ../bin usr/sbin
    ln -s ../run var/run
}

make_files() {
    write_network_files
    cat >etc/passwd <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/:/bin/false
guest:x:1000:1000:guest:/tmp:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
END
    cat >etc/group <<'END'
root:x:0:
daemon:x:1:
tty:x:5:
guest:x:1000:
nogroup:x:65534:
END
    # No password opens an account. Readable for all: it holds no secret.
    cat >etc/shadow <<'END'
root:*:::::::
daemon:*:::::::
guest:*:::::::
nobody:*:::::::
END
    cat >etc/nsswitch.conf <<'END'
passwd: files
group: files
shadow: files
hosts: files dns
END
    cat >etc/os-release <<'END'
NAME=BusyBox
ID=busybox
PRETTY_NAME="BusyBox (Keel's small root filesystem)"
END
}

# Sets $version.
make_commands() {
    cp -- "$busybox" bin/busybox
    chmod 0755 bin/busybox
    version=$(bin/busybox 2>&1 | sed -n '1s/^BusyBox v\([^ ]*\).*/\1/p')
    [ -n "$version" ] ||
        fail "'$busybox' doesn't run in '$dest': another one with BUSYBOX=/path/to/busybox," \
            "or another folder if that one is mounted noexec"
    for applet in $applets; do
        ln -s busybox "bin/$applet"
    done
    list=" $(bin/busybox --list | tr '\n' ' ') " missing=
    for applet in $applets; do
        case $list in
        *" $applet "*) ;;
        *) missing="$missing $applet" ;;
        esac
    done
    [ -z "$missing" ] ||
        say "this busybox was built without:$missing (a lesson that uses one of them will say 'applet not found')"
}

main "$@"
