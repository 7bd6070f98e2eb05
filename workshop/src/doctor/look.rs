//! Looking: everything about this machine that a judgement may rest on.
//!
//! What a chapter will do is tried, in throw-away namespaces, rather than guessed from a version;
//! what can't be tried is read from /proc, /sys and /etc. Nothing is sent to another machine.

#[cfg(target_os = "linux")]
mod cgroups;
#[cfg(target_os = "linux")]
mod folders;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod trials;

use std::collections::BTreeMap;
use std::env;

use super::machine::Machine;

/// The programs that are of use here.
const PROGRAMS: [&str; 14] = [
    "cc",
    "gcc",
    "clang",
    "ip",
    "limactl",
    "mdbook",
    "newgidmap",
    "newuidmap",
    "nft",
    "nsenter",
    "qemu-system-aarch64",
    "qemu-system-x86_64",
    "systemd-run",
    "unshare",
];

/// Looks at this machine.
#[cfg(target_os = "linux")]
pub fn look() -> Machine {
    linux::look(programs())
}

/// Looks at this machine, which is none for containers.
#[cfg(not(target_os = "linux"))]
pub fn look() -> Machine {
    use super::machine::{Ready, System};

    let (kernel, arch) = (env::consts::OS.to_owned(), env::consts::ARCH.to_owned());
    let repository = crate::prepare::repository().display().to_string();
    Machine {
        system: System { kernel, arch, ..System::default() },
        ready: Ready { repository, ..Ready::default() },
        programs: programs(),
        ..Machine::default()
    }
}

/// Where each of the programs is. An ordinary user's PATH often lacks the folders of root's.
fn programs() -> BTreeMap<String, String> {
    let path = env::var("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .filter(|folder| folder.is_absolute())
        .collect();
    let find = |name: &str| {
        let file = folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())?;
        Some((name.to_owned(), file.display().to_string()))
    };
    PROGRAMS.iter().filter_map(|name| find(name)).collect()
}
