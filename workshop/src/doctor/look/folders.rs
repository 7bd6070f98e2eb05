//! The folders that fill, and what is in them already.

use std::env;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access, geteuid};

use super::linux::text;
use crate::doctor::machine::{Folder, Ready};
use crate::prepare;

/// Where Cargo builds: as it is told, or where this program stands.
pub(super) fn target() -> Folder {
    let told = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let beside = || Some(prepare::bin_dir().ok()?.parent()?.to_owned());
    folder(&told.or_else(beside).unwrap_or_else(|| prepare::repository().join("target")))
}

/// Where `keel` keeps its state: as the engine finds it.
pub(super) fn state() -> Folder {
    let from = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty());
    let data = || from("XDG_DATA_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(from("HOME")?).join(".local/share"));
    let path = match from("KEEL_ROOT") {
        Some(root) => root.into(),
        None if geteuid().is_root() => "/var/lib/keel".into(),
        None => data().or_else(home).unwrap_or_else(|| "/".into()).join("keel"),
    };
    folder(&path)
}

/// What is built and made.
pub(super) fn ready() -> Ready {
    let bin = prepare::bin_dir().unwrap_or_default();
    let program = bin.join("workshop");
    let workshop = program.strip_prefix(prepare::repository()).unwrap_or(&program);
    let rootfs = bin.parent().is_some_and(|target| target.join("rootfs/bin/busybox").exists());
    Ready {
        built: ["keel", "xray", "step08-image-layers"].iter().all(|name| bin.join(name).exists()),
        rootfs,
        busybox: busybox(),
        workshop: workshop.display().to_string(),
        repository: prepare::repository().display().to_string(),
    }
}

/// The nearest folder at or above `path` that exists.
fn folder(path: &Path) -> Folder {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let Ok(stat) = statvfs(there) else { return Folder::default() };
    Folder {
        path: there.display().to_string(),
        kind: kind(there),
        free: stat.blocks_available() * stat.fragment_size(),
        exec: !stat.flags().contains(FsFlags::ST_NOEXEC),
        writable: access(there, AccessFlags::W_OK).is_ok(),
    }
}

/// The file system's kind, of the last mount that lies at or above `path`: a later one covers the
/// earlier. See proc_pid_mountinfo(5).
fn kind(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mountinfo = text("/proc/self/mountinfo");
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        Some((mount.split(' ').nth(4)?, filesystem.split(' ').next()?))
    });
    let above = mounts.filter(|(place, _)| path.starts_with(place));
    above.max_by_key(|(place, _)| place.len()).map_or("", |(_, kind)| kind).to_owned()
}

/// A static busybox, in the order in which rootfs-scripts/busybox.sh looks for one.
fn busybox() -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let names = ["busybox", "busybox-static", "busybox.static"];
    let files = folders.flat_map(|folder| names.map(|name| folder.join(name)));
    let named = env::var_os("BUSYBOX").map(PathBuf::from);
    let found = named.into_iter().chain(files).find(|file| is_static(file));
    found.map(|file| file.display().to_string())
}

/// Whether an ELF program needs no dynamic linker: elf(5), no program header of type PT_INTERP.
fn is_static(file: &Path) -> bool {
    const PT_INTERP: u64 = 3;
    let Ok(bytes) = std::fs::read(file) else { return false };
    // Little-endian, as both architectures are; of the 32-bit class (1) or the 64-bit one (2).
    let number = |at: usize, size: usize| {
        let bytes = bytes.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let headers = || {
        let (at, size, count) = match bytes.get(4)? {
            1 => (number(28, 4)?, number(42, 2)?, number(44, 2)?),
            _ => (number(32, 8)?, number(54, 2)?, number(56, 2)?),
        };
        let kind = |index: u64| number(usize::try_from(at + index * size).ok()?, 4);
        (0..count).map(kind).collect::<Option<Vec<u64>>>()
    };
    bytes.starts_with(b"\x7fELF") && headers().is_some_and(|kinds| !kinds.contains(&PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_needs_its_linker() {
        assert!(!is_static(&env::current_exe().unwrap()));
        assert!(!is_static(Path::new("/etc/passwd")));
        assert!(!is_static(Path::new("/nowhere")));
    }

    #[test]
    fn the_kind_of_a_file_system() {
        assert_eq!(kind(Path::new("/proc/self")), "proc");
    }
}
