//! The same bundle for all runtimes: what keel asks of its own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Ground;

/// Writes one for the runtime `name`, and returns its folder: for a container with a network of its
/// own in which there is nothing, on the lab's rootfs. Keel's files in /etc are left out, as is its
/// overlay: those are an engine's work.
///
/// # Errors
/// When it can't be written.
pub fn write(ground: &Ground, name: &str, cgroup: bool) -> Result<PathBuf> {
    let mut config = ground.config.clone();
    // An older crun knows nothing later.
    config["ociVersion"] = json!("1.0.2");
    config["root"]["path"] = json!(ground.rootfs);
    config["process"]["args"] = json!(["/bin/true"]);
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| {
            let kind = mount["type"].as_str();
            kind != Some("bind") && (cgroup || kind != Some("cgroup"))
        });
    }
    if let Some(linux) = config["linux"].as_object_mut() {
        linux.remove("cgroupsPath");
        if cgroup {
            linux.insert("cgroupsPath".into(), json!(format!("/keel/start-{name}")));
        } else {
            linux.remove("resources");
        }
    }
    let cgroup = if cgroup { "cgroup" } else { "no-cgroup" };
    let folder = ground.lab.join("bundles").join(format!("{name}-{cgroup}"));
    let write = |config: &Value| {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("config.json"), config.to_string())
    };
    write(&config).with_context(|| format!("write a bundle to {}", folder.display()))?;
    Ok(folder)
}
