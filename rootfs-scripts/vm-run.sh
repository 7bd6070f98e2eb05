#!/bin/sh
# Runs one command in a throw-away virtual machine that sees the repository.

set -u
here=$(cd -- "$(dirname -- "$0")" && pwd)
kernel=${VM_KERNEL:-trixie} arch=${VM_ARCH:-$(uname -m)}
share=$(dirname -- "$here") guest='' seconds=3600 memory=2G processors=1 cgroup=v2
user='' writable='' terminal=''
control='' machine=''

help() {
    cat <<'END'
Usage: vm-run.sh [OPTION]... [COMMAND [ARGUMENT]...]

Boots a virtual machine, runs COMMAND in it as root, and ends with COMMAND's status. Its output comes as it is written. The
repository is there at its own path; what the guest writes to it stays in the guest's memory. Needs QEMU, not root.
Without a COMMAND it is a shell.

  -k KERNEL   the kernel: see VM_KERNEL in vm-build.sh --help (default: trixie, which is Linux 6.12)
  -a ARCH     x86_64 or aarch64 (default: this machine's)
  -g FOLDER   the guest (default: target/vm/KERNEL-ARCH in the repository); it is made if it isn't there
  -c LAYOUT   how cgroups are mounted: v2, v1 or hybrid (default: v2)
  -u          run COMMAND as an ordinary user, with a cgroup of its own
  -s FOLDER   show this folder instead of the repository
  -w          let what the guest writes there reach the host
  -t SECONDS  the time after which it is stopped (default: 3600)
  -m MEMORY   (default: 2G)
  -p COUNT    processors (default: 1)
  -i          give COMMAND this terminal; otherwise it has no input

Of the environment, COMMAND sees what begins with KEEL_, INSTA_ or RUST_, and CI and TERM. Exit status: COMMAND's own;
2 wrong usage or no guest, 124 out of time, 125 the machine died, 130 Ctrl-C.
END
}

fail() {
    printf 'vm-run.sh: %s\n' "$*" >&2
    exit 2
}

main() {
    [ "${1-}" != --help ] || { help && exit; }
    while getopts a:c:g:hik:m:p:s:t:uw option; do
        case $option in
        a) arch=$OPTARG ;;
        c) cgroup=$OPTARG ;;
        g) guest=$OPTARG ;;
        h) help && exit ;;
        i) terminal=yes ;;
        k) kernel=$OPTARG ;;
        m) memory=$OPTARG ;;
        p) processors=$OPTARG ;;
        s) share=$OPTARG ;;
        t) seconds=$OPTARG ;;
        u) user=yes ;;
        w) writable=yes ;;
        *) help | head -n 1 >&2 && exit 2 ;;
        esac
    done
    shift $((OPTIND - 1))
    case $cgroup in v1 | v2 | hybrid) ;; *) fail "-c '$cgroup': it is v1, v2 or hybrid" ;; esac
    case $seconds in '' | *[!0-9]*) fail "-t '$seconds': it is a number of seconds" ;; esac
    [ -d "$share" ] || fail "-s '$share': there is no such folder"
    share=$(cd -- "$share" && pwd) || exit 2
    : "${guest:=$share/target/vm/$(echo "$kernel" | tr / -)-$arch}"
    if [ $# = 0 ]; then
        set -- bash
        terminal=yes
    fi
    [ -z "$terminal" ] || [ -t 0 ] || fail 'a shell, and -i, need a terminal on standard input'

    find_qemu
    export VM_KERNEL="$kernel" VM_ARCH="$arch"
    # That it is there already needs no word.
    if [ -e "$guest/disk" ]; then
        "$here/vm-build.sh" "$guest" >/dev/null || exit 2
    else
        "$here/vm-build.sh" "$guest" >&2 || exit 2
    fi
    prepare_control "$@"
    boot
}

# Sets $qemu, $options and the kernel's $arguments: what differs between the architectures, and without their hardware.
find_qemu() {
    console=ttyS0 arguments=
    case $arch in
    x86_64) package=qemu-system-x86 options='-M pc' emulated=Nehalem ;;
    aarch64) package=qemu-system-arm options='-M virt' emulated=max console=ttyAMA0 ;;
    *) fail "no guest for '$arch': only for x86_64 and aarch64" ;;
    esac
    qemu=qemu-system-$arch
    command -v "$qemu" >/dev/null || fail "'$qemu' is not installed:
  Debian, Ubuntu   sudo apt-get install $package
  Fedora           sudo dnf install ${package}-core
  Alpine           sudo apk add $qemu
  Arch             sudo pacman -S $qemu"
    # Hardware virtualisation only where a real module drives it: /dev/kvm alone may be an emulator's, that hangs.
    if [ "$arch" = "$(uname -m)" ] && [ -w /dev/kvm ] && { [ -d /sys/module/kvm_intel ] || [ -d /sys/module/kvm_amd ]; }; then
        options="$options -accel kvm -cpu host"
    else
        # One thread for all processors: with one each, a guest of two died while booting once in a hundred times.
        options="$options -accel tcg,thread=single -cpu $emulated"
        # The emulator keeps its translation of a page of code for one virtual address: with random addresses it translates a
        # program anew at each start, which takes ten times as long. A simple processor, and a kernel that doesn't work around
        # a real one's faults, save another third.
        arguments='norandmaps mitigations=off'
    fi
}

quote() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

# The folder through which host and guest talk: the guest's first program, its settings and the command go in; the
# status comes out.
prepare_control() {
    control=$(mktemp -d) || exit 2
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cp "$here/vm-init" "$control/init"
    chmod 755 "$control/init"
    id=$(id -u)
    [ "$id" != 0 ] || id=1000
    size=
    [ -z "$terminal" ] || size=$(stty size)
    {
        for setting in "share=$share" "folder=$PWD" "writable=$writable" "user=$user" "id=$id" "cgroup=$cgroup" "terminal=$size"; do
            echo "${setting%%=*}=$(quote "${setting#*=}")"
        done
        for name in $(env | sed -n 's/^\(\(KEEL_\|INSTA_\|RUST_\)[A-Za-z0-9_]*\|CI\|TERM\)=.*/\1/p'); do
            eval "value=\$$name"
            # shellcheck disable=SC2154 # set by eval
            echo "export $name=$(quote "$value")"
        done
    } >"$control/settings"
    {
        printf exec
        for word; do
            printf ' %s' "$(quote "$word")"
        done
        echo
    } >"$control/command"
}

boot() {
    if [ -n "$terminal" ]; then
        port=virtconsole
        exec 3<&0
    else
        # Never an end of file: it would close the port in both directions.
        port=virtserialport
        mkfifo "$control/input"
        exec 3<>"$control/input"
    fi
    read_only=,readonly=on
    [ -z "$writable" ] || read_only=
    # shellcheck disable=SC2086 # several words
    timeout --foreground -k 5 "$seconds" "$qemu" $options -smp "$processors" -m "$memory" -nodefaults -no-user-config \
        -display none -no-reboot -nic none -serial "file:$control/console" \
        -kernel "$guest/kernel" -initrd "$guest/initrd" \
        -append "console=$console quiet panic=-1 cryptomgr.notests $arguments ${VM_APPEND:-}" \
        -drive "file=$guest/disk,if=virtio,format=raw,snapshot=on,cache=unsafe" \
        -device virtio-serial -chardev stdio,id=io,signal=off -device "$port,chardev=io" \
        -virtfs "local,path=$(echo "$share" | sed 's/,/,,/g'),mount_tag=share,security_model=none,multidevs=remap$read_only" \
        -virtfs "local,path=$control,mount_tag=ctl,security_model=none" <&3 &
    machine=$!
    wait "$machine"
    died=$?
    machine=
    [ ! -s "$control/status" ] || exit "$(cat "$control/status")"
    if [ $died = 124 ]; then
        echo "vm-run.sh: stopped after $seconds seconds (-t gives it more)" >&2
        exit 124
    fi
    echo "vm-run.sh: the virtual machine died (QEMU's status: $died). The end of its console:" >&2
    tail -n 25 "$control/console" >&2
    exit 125
}

# shellcheck disable=SC2317 # the trap calls it
clean_up() {
    if [ -n "$machine" ]; then
        kill "$machine" 2>/dev/null
        wait "$machine" 2>/dev/null
    fi
    rm -rf -- "$control"
}

main "$@"
