#!/bin/sh
# A root filesystem with a real distribution in it, made by the distribution's own tools.

kind=Debian
here=$(dirname -- "$0")
# shellcheck source=lib.sh
. "$here/lib.sh"

help() {
    cat <<'END'
Usage: debian.sh DEST [SUITE]

Makes a minimal Debian (or Ubuntu) root filesystem in the folder DEST. It comes from the mirror
that this machine's apt is set up with, through the proxy that apt is set up with, and is checked
against the distribution's keys. SUITE is a release, such as bookworm; default: apt's own.

  root      debootstrap, or mmdebstrap
  a user    mmdebstrap, in a user namespace; the tree then belongs to the user

Takes about a minute and 300 MB. DEBIAN_MIRROR=URL names another mirror (with a SUITE).
A finished tree in DEST stays as it is.
END
}

is_complete() {
    [ -x "$dest/usr/bin/dpkg" ] && [ -f "$dest/var/lib/dpkg/status" ] || return
    [ -z "$suite" ] || grep -qs "^deb .* $suite " "$dest/etc/apt/sources.list"
}

main() {
    case ${1-} in
    -h | --help) help && exit ;;
    -* | '') usage ;;
    esac
    suite=${2-}
    case $suite in -* | *[!a-zA-Z0-9.-]*) usage ;; esac
    [ $# -le 2 ] || usage
    [ -z "$suite" ] || kind="Debian $suite"
    begin "$1"

    find_mirror
    find_tool
    say "$suite from $mirror, with $tool: about a minute"
    use_proxy
    "make_with_$tool"
    tidy
    id=$(sed -n 's/^ID=//p' "$work/tree/etc/os-release")
    finish "$id $suite, $(grep -c '^Package:' "$work/tree/var/lib/dpkg/status") packages"
}

# Sets $mirror, and $suite if it wasn't given.
find_mirror() {
    mirror=${DEBIAN_MIRROR-}
    if [ -n "$mirror" ]; then
        [ -n "$suite" ] || fail "DEBIAN_MIRROR needs a SUITE: debian.sh DEST SUITE"
        return
    fi
    has apt-get || no_apt
    # What apt knows of the packages of a main release: not of its updates, not of other people's.
    # shellcheck disable=SC2016 # $(...) is apt's own syntax
    found=$(apt-get indextargets --format '$(COMPONENT) $(RELEASE) $(REPO_URI) $(ORIGIN)' \
        'Created-By: Packages' | awk '
            $1 == "main" && $2 !~ "[-/]" && $4 ~ /^(Debian|Ubuntu|Raspbian|Devuan|Kali)$/ {
                print $2, $3
                exit
            }')
    [ -n "$found" ] ||
        fail "apt knows no Debian mirror: sudo apt-get update, or DEBIAN_MIRROR=URL debian.sh DEST SUITE"
    suite=${suite:-${found%% *}}
    mirror=${found#* }
    # apt-transport-mirror(1): a file that lists mirrors. debootstrap wants one.
    case $mirror in
    mirror+file:*) mirror=$(awk '!/^ *(#|$)/ { print $1; exit }' "${mirror#mirror+file:}") ;;
    esac
}

no_apt() {
    fail "no apt here, so no mirror is known. Install debootstrap:
  Fedora   sudo dnf install debootstrap
  Alpine   sudo apk add debootstrap debian-archive-keyring
  Arch     sudo pacman -S debootstrap debian-archive-keyring
and name a mirror: sudo DEBIAN_MIRROR=URL debian.sh DEST SUITE
(busybox.sh and alpine.sh need neither)"
}

# Sets $tool. debootstrap needs root: it makes devices and changes owners.
find_tool() {
    if [ "$(id -u)" = 0 ]; then
        for tool in debootstrap mmdebstrap; do
            has "$tool" && return
        done
        fail "debootstrap is not installed: apt-get install debootstrap"
    fi
    tool=mmdebstrap
    # A user gets more than one id from newuidmap(1), within what subuid(5) allows.
    if has mmdebstrap newuidmap; then
        # shellcheck disable=SC2015 # either file may lack the user
        grep -q "^$(id -un):" /etc/subuid && grep -q "^$(id -un):" /etc/subgid ||
            fail "$(id -un) has no ids in /etc/subuid and /etc/subgid: sudo usermod --add-subuids 100000-165535" \
                "--add-subgids 100000-165535 $(id -un)" \
                "(or another range that nobody has in these files)"
    elif ! has mmdebstrap fakechroot fakeroot; then
        fail "a user needs mmdebstrap and newuidmap: sudo apt-get install mmdebstrap uidmap" \
            "(or run this as root)"
    fi
}

# apt's proxy for programs that read the environment.
use_proxy() {
    has apt-config || return 0
    for scheme in http https; do
        proxy=
        eval "$(apt-config shell proxy "Acquire::$scheme::Proxy")"
        case $proxy in
        '' | DIRECT) ;;
        *) export "${scheme}_proxy=$proxy" ;;
        esac
    done
}

make_with_debootstrap() {
    # It mounts /proc and /sys in the tree: in an own mount namespace, so that they never show up in the
    # machine's and end with it. `unshare` makes them private by itself.
    run unshare --mount debootstrap --force-check-gpg --variant=minbase \
        "$suite" "$work/tree" "$mirror" || made_wrong
}

# Through an archive, because in the namespace the files belong to the user's subordinate ids; unpacked
# outside they belong to the user.
make_with_mmdebstrap() {
    if has apt-config; then
        apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$work/apt.conf" || :
        set -- --aptopt="$work/apt.conf"
    fi
    # It works in TMPDIR. Its subordinate ids need a way in, so not beside DEST, in the user's home.
    scratch=
    trap 'clean_up; drop_scratch' EXIT
    scratch=$(mktemp -d)
    chmod 0711 "$scratch"
    run env TMPDIR="$scratch" mmdebstrap --variant=minbase --format=tar "$@" \
        "$suite" "$work/tree.tar" "$mirror" || made_wrong
    if [ "$(id -u)" = 0 ]; then
        tar -C "$work/tree" --numeric-owner -xpf "$work/tree.tar"
    else
        tar -C "$work/tree" --exclude './dev/*' -xpf "$work/tree.tar" # mknod(2) is for root
        open_to_owner
    fi
}

# mmdebstrap removes what it made, unless a signal comes just then. What its subordinate ids own, only
# they can remove.
drop_scratch() {
    if [ -n "$scratch" ] && ! rm -rf -- "$scratch" 2>/dev/null; then
        mmdebstrap --unshare-helper rm -rf -- "$scratch"/* 2>/dev/null || :
        rm -rf -- "$scratch" || :
    fi
}

made_wrong() {
    log_tail 5 >&2
    tail -n 5 "$work/tree/debootstrap/debootstrap.log" 2>/dev/null >&2 || :
    free=$(df -Pm "$work" | awk 'NR == 2 { print $4 }')
    fail "$tool couldn't make $suite from $mirror: the lines above say why ($free MB are free in '${dest%/*}')"
}

# What is only of use while it's made, or tells of this machine.
tidy() {
    write_network_files
    cd "$work/tree"
    rm -rf var/cache/apt/*.bin var/cache/apt/archives/*.deb var/lib/apt/lists/* var/log/*.log \
        etc/apt/apt.conf.d/99mmdebstrap
}

main "$@"
