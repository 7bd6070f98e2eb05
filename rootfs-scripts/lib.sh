# shellcheck shell=sh
# What the scripts of this folder share. Each sets $kind (what it makes), reads this with `.`,
# and has two functions of its own:
#   help         print the help text; its first line is the usage
#   is_complete  is $dest a finished tree of this kind?

set -eu
umask 022
unset CDPATH

: "${kind:?}" # what the script makes, in one word
dest= # where the finished tree goes, an absolute path
work= # the folder beside it in which everything is made; $work/tree becomes $dest
job=  # the process group of the command that is running
said= # has an error been told?

say() {
    printf 'rootfs: %s\n' "$*"
}

fail() {
    said=yes
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

usage() {
    help | head -n 1 >&2
    exit 2
}

# expect_dest ARGUMENT...: ends here, with the help or the usage, unless there is one argument, a name.
expect_dest() {
    case ${1-} in
    -h | --help) help && exit ;;
    -* | '') usage ;;
    esac
    [ $# = 1 ] || usage
}

# begin DEST: ends here if the tree is there already; else makes $work/tree, empty.
begin() {
    folder=$1 name=
    [ -d "$1" ] || folder=$(dirname -- "$1") name=/$(basename -- "$1")
    [ -d "$folder" ] || fail "there is no folder '$folder' to make '$1' in: mkdir -p '$folder'"
    dest=$(cd -- "$folder" 2>/dev/null && pwd -P) || fail "'$folder' is closed to $(id -un): choose another folder"
    dest=${dest%/}$name
    if is_complete; then
        say "'$dest' is there already"
        exit 0
    fi
    if [ -L "$dest" ] || { [ -e "$dest" ] && [ -n "$(ls -A -- "$dest")" ]; }; then
        fail "'$dest' is in the way, and is not a finished $kind tree:" \
            "choose another name, or move it: mv '$dest' '$dest.old'"
    fi

    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # The name first, the folder then: a signal between the two finds nothing, or a folder that it
    # knows of.
    work=$(mktemp -u "$dest.partial.XXXXXX")
    if ! reason=$(mkdir -m 0700 "$work" 2>&1); then
        work=
        fail "make '$dest': ${reason##*: }: choose a folder that $(id -un) can write to"
    fi
    mkdir "$work/tree"
    # Five digits: a folder made in a set-group-ID one inherits the bit, and chmod(1) keeps it otherwise.
    chmod 00755 "$work/tree"
}

has() {
    for command; do
        command -v "$command" >/dev/null || return
    done
}

# Gives the finished tree its name. One rename(2): nobody ever sees half a tree under that name.
finish() {
    if reason=$(mv -T -- "$work/tree" "$dest" 2>&1); then
        say "$*"
    elif is_complete; then # another run was faster
        say "'$dest' is there already"
    else
        fail "make '$dest': ${reason##*: }"
    fi
}

# Runs on every way out.
clean_up() {
    status=$?
    trap '' HUP INT TERM
    case $status$said in
    1 | 2) printf '%s: %s\n' "${0##*/}" "'$dest' is not made: the line above says why" >&2 ;;
    esac
    if [ -n "$job" ]; then
        kill -TERM "-$job" 2>/dev/null || :
        wait "$job" 2>/dev/null || :
    fi
    if [ -n "$work" ]; then
        # Twice: a process of the job's that is just ending may still have written.
        rm -rf -- "$work" 2>/dev/null || { sleep 1 && rm -rf -- "$work"; } || :
    fi
}

# run COMMAND...: what it prints goes to $work/log.
# A shell looks at its signals only when its foreground command has ended. So the command runs in
# the background, in a process group of its own, and a signal ends all of it at once.
run() {
    setsid "$@" >"$work/log" 2>&1 </dev/null &
    job=$!
    status=0
    wait "$job" || status=$?
    job=
    return "$status"
}

# log_tail LINES: the last lines that a failed `run` printed.
log_tail() {
    grep -v '^[[:space:]]*$' "$work/log" | tail -n "$1"
}

# Owned by a user, the tree must be readable and removable for that user: root doesn't need the
# bits (some files of a distribution have none), everybody else does.
open_to_owner() {
    [ "$(id -u)" = 0 ] || chmod -R u+rwX "$work/tree"
}

# The files about name and network: the same on every machine. An engine puts its own over them.
write_network_files() {
    etc=$work/tree/etc
    rm -f "$etc/hostname" "$etc/hosts" "$etc/resolv.conf"
    echo container >"$etc/hostname"
    printf '%s\n' '127.0.0.1 localhost' '::1 localhost ip6-localhost ip6-loopback' >"$etc/hosts"
    echo '# The name servers: none yet.' >"$etc/resolv.conf"
}
