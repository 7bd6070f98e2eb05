//! The steps, the runtime, and keel itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::contestant::{Call, Contestant, Start};
use crate::{Ground, bundle};

/// The contestant that has a floor of its own.
pub const STEP_4: &str = "step 4";
const IMAGE: &str = "busybox";

/// Makes the image that keel runs.
///
/// # Errors
/// When keel can't.
pub fn import(rootfs: &Path) -> Result<()> {
    keel(&["import", &rootfs.display().to_string(), IMAGE])
}

/// The config.json of a container that keel has run.
///
/// # Errors
/// When keel can't run one.
pub fn config(lab: &Path) -> Result<Value> {
    keel(&["run", "--network", "none", IMAGE, "true"])?;
    let containers = lab.join("keel/containers");
    let mut found = fs::read_dir(&containers)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("read {}", containers.display()))?;
    let container = found.pop().context("keel keeps no container")?.path();
    let text = fs::read_to_string(container.join("config.json")).context("read its config.json")?;
    serde_json::from_str(&text).context("read its config.json")
}

fn keel(args: &[&str]) -> Result<()> {
    let output = Command::new("keel").args(args).output().context("start keel")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "keel {}: {}", args.join(" "), said.trim());
    Ok(())
}

/// What is ours, from the smallest to the largest.
///
/// # Errors
/// When a bundle can't be written.
pub fn contestants(
    ground: &Ground,
    left_out: &mut Vec<(String, String)>,
) -> Result<Vec<Contestant>> {
    let call = |words: &str| Call {
        words: words.split(' ').map(str::to_owned).collect(),
        folder: ground.lab.clone(),
        world: None,
    };
    let line =
        |name, words: &str| Contestant { name, cgroup: None, start: Start::Program(call(words)) };
    let mut lines = vec![
        line("step 1", "step01-chroot rootfs /bin/true"),
        line(STEP_4, "step04-mount-ns rootfs /bin/true"),
    ];
    for cgroup in [false, true] {
        if let (true, Some(reason)) = (cgroup, &ground.no_cgroups) {
            left_out.push(("all with a cgroup".into(), reason.clone()));
            break;
        }
        let mode = if cgroup { "enabled" } else { "disabled" };
        let bundle = bundle::write(ground, "keel-runtime", cgroup)?;
        let runtime = format!("keel-runtime run {}", bundle.display());
        let run = format!("keel run --rm --cgroups={mode} --network");
        let pair = |name, words: &str| Contestant { cgroup: Some(cgroup), ..line(name, words) };
        lines.extend([
            pair("keel-runtime run", &runtime),
            pair("keel run --network none", &format!("{run} none {IMAGE} /bin/true")),
            pair("keel run, on a bridge", &format!("{run} bridge {IMAGE} /bin/true")),
        ]);
    }
    Ok(lines)
}
