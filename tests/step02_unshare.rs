//! Step 2: own names.

use std::fmt::Write;

use regex::Regex;

use crate::harness::needs::Need::Speed;
use crate::harness::{Test, function, snapshot, transcript};
use crate::step01_chroot::in_one_lab;

pub(crate) const TESTS: &[Test] = &[
    function("02-unshare/table", table_of_namespaces),
    function("02-unshare/in-one-lab", || in_one_lab("02-unshare.md")).needs(&[Speed]),
    transcript(
        "02-unshare/hostname",
        "
        $ step02-unshare --hostname box rootfs hostname
        $ hostname
    ",
    ),
    transcript(
        "02-unshare/evil-hostname",
        "
        $ step01-chroot rootfs hostname evil
        $ hostname
        $ hostname lab
        $ step02-unshare rootfs hostname evil
        $ hostname
    ",
    ),
    transcript(
        "02-unshare/domainname",
        "
        $ show='mount -t proc proc /proc; cat /proc/sys/kernel/domainname; umount /proc'
        $ step02-unshare --domainname example.test rootfs sh -c \"$show\"
        $ cat /proc/sys/kernel/domainname
    ",
    ),
    transcript(
        "02-unshare/ipc",
        "
        $ ipcmk --shmem 4096 > /dev/null
        $ count='mount -t proc proc /proc; grep -c 4096 /proc/sysvipc/shm; umount /proc'
        $ step01-chroot rootfs sh -c \"$count\"
        $ step02-unshare rootfs sh -c \"$count\"
        $ ipcrm --all=shm
    ",
    ),
    transcript(
        "02-unshare/clock",
        "
        $ step02-unshare --boottime 8640000 rootfs uptime | grep -o 'up 10[0-9] days'
    ",
    ),
    transcript(
        "02-unshare/bad-hostname",
        "
        $ step02-unshare --hostname '' rootfs true
        $ echo $?
    ",
    ),
    transcript(
        "02-unshare/help",
        "
        $ step02-unshare --help
    ",
    ),
    transcript(
        "02-unshare/xray",
        "
        $ xray --normal -- step02-unshare rootfs cat
    ",
    ),
    transcript(
        "02-unshare/before",
        "
        $ step01-chroot rootfs hostname evil
        $ hostname
        $ hostname lab
    ",
    ),
    transcript(
        "02-unshare/copy-or-empty",
        "
        $ ipcmk --shmem 4096 > /dev/null
        $ grep -c 4096 /proc/sysvipc/shm
        $ unshare --uts hostname
        $ unshare --ipc grep -c 4096 /proc/sysvipc/shm
        $ ipcrm --all=shm
    ",
    ),
    transcript(
        "02-unshare/own",
        "
        $ xray --own -- step02-unshare rootfs cat
    ",
    ),
    transcript(
        "02-unshare/first-values",
        "
        $ unshare --net ip -oneline link show up | wc -l
        $ unshare --user id -u
        $ sort /proc/mounts > outside
        $ unshare --mount sort /proc/mounts | cmp - outside && echo the same mounts
    ",
    ),
    transcript(
        "02-unshare/shared-by-two",
        "
        $ mkfifo rootfs/ready rootfs/look
        $ step02-unshare rootfs sh -c 'echo > /ready; read line < /look; hostname' &
        $ read line < rootfs/ready
        $ nsenter --uts=/proc/$!/ns/uts hostname renamed
        $ echo > rootfs/look; wait $!
        $ hostname
    ",
    ),
    transcript(
        "02-unshare/by-hand",
        r#"
        $ cat > compare.sh <<'END'
        > for kind in uts ipc pid; do
        >     mine=$(readlink /proc/$$/ns/$kind)
        >     parents=$(readlink /proc/$PPID/ns/$kind)
        >     if [ $mine = $parents ]; then echo "$kind: shared"; else echo "$kind: own"; fi
        > done
        > END
        $ unshare --uts sh compare.sh
    "#,
    ),
    transcript(
        "02-unshare/kept-by-a-file",
        "
        $ touch box
        $ unshare --uts=box hostname box
        $ nsenter --uts=box hostname
        $ hostname
        $ umount box
    ",
    ),
];

/// What `docker run` does with each kind, and the chapter that takes it up. Docker's defaults are in moby:
/// daemon/pkg/oci/defaults.go (commit 23f2c12), daemon/oci_linux.go (4460acf), daemon/config/config_linux.go
/// (d606d5c).
const DOCKER: [(&str, &str, &str); 8] = [
    ("Mount", "new", "[4](04-mount-ns.md)"),
    ("Uts", "new; `--uts=host`", "2"),
    ("Ipc", "new; `--ipc=host`, `--ipc=container:NAME`", "2"),
    ("Pid", "new; `--pid=host`, `--pid=container:NAME`", "[3](03-pid-ns.md)"),
    ("Net", "new; `--network=host`, `--network=container:NAME`", "[7](07-veth-bridge.md)"),
    ("User", "the host's, unless dockerd runs with `userns-remap`; `--userns=host`", "later"),
    ("Cgroup", "new on cgroup v2, the host's on v1; `--cgroupns`", "[5](05-cgroups.md)"),
    ("Time", "the host's; there is no flag", "2"),
];

/// The chapter's table of all eight kinds. Its words are the source's: the enum's doc comments, and the names
/// and flags below them.
fn table_of_namespaces() {
    let source = include_str!("../steps/02-unshare/src/lib.rs");
    let find = |pattern: &str| -> Vec<String> {
        let found = Regex::new(pattern).unwrap().captures(source);
        let found = found.unwrap_or_else(|| panic!("the source has no {pattern}"));
        found.iter().skip(1).flatten().map(|part| part.as_str().to_owned()).collect()
    };

    let mut table =
        "| kind | isolates | flag, manual, since | `docker run` | chapter |\n".to_owned();
    table += "| --- | --- | --- | --- | --- |\n";
    let all =
        &find(r"pub const ALL: \[Namespace; 8\] = \{\s+use Namespace::\*;\s+\[([\w, ]+)\]")[0];
    for kind in all.split(", ") {
        let doc = find(&format!(r"/// (.+) \(([\d.]+), (\d+)\)\. (\w+\(7\))\n +{kind},"));
        let [isolates, version, year, manual] = doc.as_slice() else { panic!("{kind}: {doc:?}") };
        let name = &find(&format!(r#"Namespace::{kind} => "(\w+)""#))[0];
        let flag = &find(&format!(r"Namespace::{kind} => libc::(\w+)"))[0];
        let docker = DOCKER.iter().find(|(of, ..)| *of == kind);
        let (_, docker, chapter) = docker.unwrap_or_else(|| panic!("{kind}: what does Docker do?"));
        let facts = format!("`{flag}`<br>{manual}<br>{version} ({year})");
        let row = [&format!("`{name}`"), isolates, &facts, *docker, *chapter];
        writeln!(table, "| {} |", row.join(" | ")).unwrap();
    }
    snapshot::hold("02-unshare/table", &table);
}
