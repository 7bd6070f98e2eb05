#!/bin/sh
# Alpine's own root filesystem: small, with a package manager, built on musl and busybox.

kind=Alpine
here=$(dirname -- "$0")
# shellcheck source=lib.sh
. "$here/lib.sh"

help() {
    cat <<'END'
Usage: alpine.sh DEST

Downloads Alpine's minirootfs, one fixed release, checks its sha256, and unpacks it in the folder
DEST. Needs no root.

  ALPINE_MIRROR   another mirror; also file:///folder (default: https://dl-cdn.alpinelinux.org/alpine)
  ALPINE_SHA256   another digest, for an archive that the script doesn't know

A finished tree in DEST stays as it is.
END
}

version=3.24.2
arch=$(uname -m)
mirror=${ALPINE_MIRROR:-https://dl-cdn.alpinelinux.org/alpine}
# Alpine publishes the digests beside the archives (.tar.gz.sha256) and in latest-releases.yaml.
case $arch in
x86_64) sha256=c5ca053cfe1d85c5b96dff8b9bc57045f7f184a30ffb6b65776409ca90388677 ;;
aarch64) sha256=9bf70a7f18ea44094cbb5f70c58f9af129c8214745743db0e68e5502cc2ce773 ;;
*) sha256= ;;
esac
sha256=${ALPINE_SHA256:-$sha256}

is_complete() {
    [ -x "$dest/bin/busybox" ] && [ "$(cat "$dest/etc/alpine-release" 2>/dev/null)" = "$version" ]
}

main() {
    expect_dest "$@"
    begin "$1"

    [ -n "$sha256" ] || fail "no digest is known for $arch: name it with ALPINE_SHA256"
    download "$mirror/v${version%.*}/releases/$arch/alpine-minirootfs-$version-$arch.tar.gz"
    check
    # Owners by number: the names are Alpine's, not this machine's. A user's files stay the user's.
    tar -C "$work/tree" --numeric-owner -xpzf "$work/archive"
    open_to_owner
    write_network_files
    finish "alpine $version, $arch"
}

# download URL: makes $work/archive.
download() {
    case $1 in
    file://*) set -- "$1" cp -- "${1#file://}" "$work/archive" ;;
    *)
        if has curl; then
            set -- "$1" curl -fsSL --connect-timeout 20 --retry 2 -o "$work/archive" "$1"
        elif has wget; then
            set -- "$1" wget -O "$work/archive" "$1"
        else
            fail "neither curl nor wget is installed: install one of them"
        fi
        ;;
    esac
    url=$1
    shift
    run "$@" || fail "download $url: $(log_tail 1) (another mirror: ALPINE_MIRROR=URL)"
}

check() {
    found=$(sha256sum <"$work/archive")
    found=${found%% *}
    [ "$found" = "$sha256" ] ||
        fail "the download is not the archive that was pinned: sha256 $found, expected $sha256:" \
            "try another mirror with ALPINE_MIRROR=URL"
}

main "$@"
