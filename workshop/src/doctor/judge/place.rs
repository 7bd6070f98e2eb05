//! The folders, and what must come from other machines.

use super::super::machine::{Machine, Trial};
use super::super::mend::{Package, run, say};
use super::{Finding, Verdict, finding, follows, shared};

/// What a build of all packages takes, with room to spare, in bytes.
const BUILD: u64 = 3 << 30;
/// What is needed once they are built: for the root filesystem and what the tests leave.
const WORK: u64 = 200 << 20;

/// The folder that Cargo fills.
pub(super) fn target(machine: &Machine) -> Finding {
    let folder = &machine.target;
    let (free, kind) = (size(folder.free), &folder.kind);
    let seen = format!("{}, {kind}, {free} free", folder.path);
    let about = |verdict, mend| shared("the target folder", "all", verdict, &seen, mend);
    let elsewhere = "export CARGO_TARGET_DIR=\"$HOME/.cache/keel-target\"";
    let move_away = |why: String| vec![say(format!("{why}. Another folder:")), run(elsewhere)];

    if !folder.exec {
        let why = "it is mounted noexec: no program that Cargo builds can start there";
        about(Verdict::Fails, move_away(why.to_owned()))
    } else if !folder.writable && !machine.ready.built {
        about(Verdict::Fails, move_away("this user can't write to it".to_owned()))
    } else if folder.free < BUILD && folder.writable && !machine.ready.built {
        about(Verdict::Fails, move_away(format!("the build needs {}: make room", size(BUILD))))
    } else if folder.free < WORK && folder.writable {
        let mend = vec![say(format!("make room: the lab and the tests need {}", size(WORK)))];
        about(Verdict::Fails, mend)
    } else if machine.system.wsl.is_some() && matches!(kind.as_str(), "9p" | "drvfs" | "v9fs") {
        let mend = vec![
            say(
                "this is a folder of Windows': slow, and without Linux's permissions. In one of Linux's own:",
            ),
            run(format!("git clone '{}' ~/keel && cd ~/keel", machine.ready.repository)),
        ];
        about(Verdict::Limited, mend)
    } else {
        about(Verdict::Works, vec![])
    }
}

/// The way to what Cargo and the package manager download.
pub(super) fn internet(machine: &Machine) -> Finding {
    let about = |verdict, seen, mend| {
        shared("a way to the Internet", "the first build", verdict, seen, mend)
    };
    if machine.network.default_route {
        about(Verdict::Works, "a default route (nothing was sent)", vec![])
    } else if machine.network.proxy {
        about(Verdict::Works, "no default route, but a proxy", vec![])
    } else if machine.ready.built && machine.ready.rootfs {
        about(Verdict::Works, "no default route, and none needed: all is built", vec![])
    } else {
        let mend = vec![
            say(
                "Cargo downloads libraries for the first build. On a machine with Internet, in this repository:",
            ),
            run("cargo fetch --locked && tar -C ~/.cargo -czf registry.tar.gz registry"),
            say("Bring registry.tar.gz here, and:"),
            run(
                "mkdir -p ~/.cargo && tar -C ~/.cargo -xzf registry.tar.gz && export CARGO_NET_OFFLINE=true",
            ),
        ];
        about(Verdict::Limited, "no default route", mend)
    }
}

/// What compiles the zstd library: only asked for as long as that isn't built.
pub(super) fn compiler(machine: &Machine) -> Option<Finding> {
    let (what, chapters) = ("a C compiler", "8, keel");
    let found = ["cc", "gcc", "clang"].iter().find_map(|name| machine.programs.get(*name));
    match found {
        Some(path) => Some(shared(what, chapters, Verdict::Works, path, vec![])),
        None if machine.ready.built => None,
        None => {
            let mend = vec![machine.install(Package::Compiler)];
            Some(shared(what, chapters, Verdict::Fails, "'cc' is not installed", mend))
        }
    }
}

/// The root filesystem, or what it can be made of.
pub(super) fn rootfs(machine: &Machine) -> Finding {
    let about = |verdict, seen: &str, mend| shared("a root filesystem", "all", verdict, seen, mend);
    let ready = &machine.ready;
    if let Some(obstacle) = machine.obstacle(Trial::Rootfs) {
        let mend =
            vec![say("the script says why:"), run("rootfs-scripts/busybox.sh target/rootfs")];
        return about(Verdict::Fails, obstacle, mend);
    }
    match &ready.busybox {
        _ if ready.rootfs => about(Verdict::Works, "made", vec![]),
        Some(busybox) => about(Verdict::Works, &format!("made of {busybox}"), vec![]),
        None if machine.network.default_route || machine.network.proxy => {
            let seen = "not made yet; the tour downloads the package of a static busybox";
            about(Verdict::Works, seen, vec![])
        }
        None => {
            let mend = vec![
                say("from this system's installation medium or a copy of its packages:"),
                machine.install(Package::StaticBusybox),
                say("or with any static busybox from another machine:"),
                run("export BUSYBOX=/path/to/busybox"),
            ];
            about(Verdict::Fails, "no static busybox here, and no default route to get one", mend)
        }
    }
}

/// Where `keel` keeps images and containers when it runs outside of the lab.
pub(super) fn state(machine: &Machine) -> Finding {
    let folder = &machine.state;
    let (what, chapters) = ("keel's own folder", "keel, no lab");
    let seen = format!("below {}, {}", folder.path, folder.kind);
    if !folder.writable {
        let mend = vec![
            say("outside of the lab keel needs a folder that this user can write to:"),
            run("export KEEL_ROOT=\"$HOME/keel-state\""),
        ];
        return finding(
            what,
            chapters,
            Verdict::Limited,
            &format!("{seen}: read-only for you"),
            mend,
        );
    }
    let overlay_fails = machine.obstacle(Trial::Overlay).is_some();
    match machine.obstacle(Trial::StateOverlay) {
        None => finding(what, chapters, Verdict::Works, &seen, vec![]),
        // Then it isn't the folder's fault.
        Some(obstacle) if overlay_fails => {
            let alone = follows(what, chapters, obstacle, "overlayfs");
            Finding { verdict: Verdict::Limited, ..alone }
        }
        Some(obstacle) => {
            let mend = vec![
                say(format!(
                    "no overlay can be written on {}: outside of the lab keel copies each image in full, and is \
                     slower. On ext4, xfs, btrfs or a tmpfs it isn't:",
                    folder.kind
                )),
                run("export KEEL_ROOT=/a/folder/on/such/a/file/system"),
            ];
            finding(what, chapters, Verdict::Limited, &format!("{seen}: {obstacle}"), mend)
        }
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}
