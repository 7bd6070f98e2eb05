//! The others: whichever of crun, runc, bwrap and podman is installed.
//!
//! The runtimes get the bundle that keel-runtime gets. bwrap has no masks, no cgroup and a smaller
//! /dev: it does less.

use std::path::Path;

use anyhow::Result;

use crate::contestant::{Call, Contestant, Start};
use crate::hybrid::World;
use crate::{Ground, bundle};

/// The rivals, those that aren't installed among `left_out`.
///
/// # Errors
/// When a bundle can't be written.
pub fn contestants(
    ground: &Ground,
    left_out: &mut Vec<(String, String)>,
) -> Result<Vec<Contestant>> {
    let lab = ground.lab.display();
    let world = World::without_unified()?;
    let mut lines = Vec::new();
    let mut add = |name, cgroup: Option<bool>, words: String, folder: &Path, world| {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let call = Call { words, folder: folder.to_owned(), world };
        if cgroup != Some(true) || ground.no_cgroups.is_none() {
            lines.push(Contestant { name, cgroup, start: Start::Program(call) });
        }
    };

    if installed("crun", left_out) {
        for (cgroup, manager) in [(false, "disabled"), (true, "cgroupfs")] {
            let bundle = bundle::write(ground, "crun", cgroup)?;
            let words = format!("crun --root {lab}/crun --cgroup-manager={manager} run crun");
            add("crun run", Some(cgroup), words, &bundle, world.clone());
        }
    }
    if installed("runc", left_out) {
        // It makes cgroups whether a bundle names one or not.
        let bundle = bundle::write(ground, "runc", true)?;
        let words = format!("runc --root {lab}/runc run runc");
        add("runc run", Some(true), words, &bundle, None);
    }
    if installed("bwrap", left_out) {
        let words = format!(
            "bwrap --unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup \
             --bind {lab}/rootfs / --proc /proc --dev /dev /bin/true"
        );
        add("bwrap", Some(false), words, &ground.lab, None);
    }
    if installed("podman", left_out) {
        for (cgroup, mode) in [(false, "disabled"), (true, "enabled")] {
            let words = format!(
                "podman --root {lab}/podman --storage-driver=vfs --cgroup-manager=cgroupfs \
                 --events-backend=file run --rm --network=none --cgroups={mode} \
                 --rootfs {lab}/rootfs /bin/true"
            );
            add("podman run --network none", Some(cgroup), words, &ground.lab, world.clone());
        }
    }
    Ok(lines)
}

/// Whether there is a program of that name on PATH.
fn installed(name: &str, left_out: &mut Vec<(String, String)>) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        left_out.push((name.to_owned(), "not installed".to_owned()));
    }
    found
}
