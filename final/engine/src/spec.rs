//! From what was asked for and what the image says to an OCI runtime config.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use cgroups::{Bytes, Count, Cpus, Limits, Max};
use image_layers::{ImageConfiguration, config};
use mount_ns::{Tmpfs, Volume, masks, mount};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::options::Options;

/// What the container has besides what was asked for.
#[derive(Debug)]
pub(crate) struct Given<'a> {
    pub(crate) rootfs: &'a Path,
    pub(crate) hostname: &'a str,
    pub(crate) command: &'a [String],
    /// The cgroup's name.
    pub(crate) cgroup: &'a str,
    /// Whose network namespace it is in.
    pub(crate) network: NetworkNamespace,
    /// /etc/hosts and its like.
    pub(crate) files: Vec<Volume>,
}

/// Whose network namespace a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkNamespace {
    Own,
    Host,
    Of(Pid),
}

/// The config of a container.
///
/// # Errors
/// When a working directory doesn't begin with `/`.
pub(crate) fn runtime_config(
    options: &Options,
    image: &ImageConfiguration,
    given: &Given,
) -> Result<Value> {
    let mut namespaces = vec![
        json!({ "type": "mount" }),
        json!({ "type": "pid" }),
        json!({ "type": "uts" }),
        json!({ "type": "ipc" }),
        json!({ "type": "cgroup" }),
    ];
    match given.network {
        NetworkNamespace::Own => namespaces.push(json!({ "type": "network" })),
        NetworkNamespace::Host => {}
        NetworkNamespace::Of(pid) => {
            namespaces.push(json!({ "type": "network", "path": format!("/proc/{pid}/ns/net") }));
        }
    }
    let mut linux = json!({
        "namespaces": namespaces,
        "maskedPaths": masks::HIDDEN,
        "readonlyPaths": masks::READ_ONLY,
    });
    if !options.without_cgroup {
        linux["cgroupsPath"] = json!(format!("/keel/{}", given.cgroup));
        linux["resources"] = resources(&options.limits);
    }
    Ok(json!({
        "ociVersion": "1.2.0",
        "hostname": given.hostname,
        "root": { "path": given.rootfs, "readonly": options.read_only },
        "process": {
            "args": given.command,
            "env": environment(options, image, given.hostname),
            "cwd": working_directory(options, image)?,
            // Names are looked up in the container, by the runtime.
            "user": { "uid": 0, "gid": 0, "username": user(options, image) },
        },
        "mounts": mounts(options, &given.files),
        "linux": linux,
    }))
}

/// The image's variables, under what was asked for.
fn environment(options: &Options, image: &ImageConfiguration, hostname: &str) -> Vec<String> {
    let mut extra = vec![format!("HOSTNAME={hostname}")];
    extra.extend(options.env.iter().cloned());
    config::variables(image, &extra)
}

fn working_directory(options: &Options, image: &ImageConfiguration) -> Result<PathBuf> {
    let dir = options.workdir.clone().unwrap_or_else(|| config::working_dir(image));
    ensure!(dir.is_absolute(), "working directory {}: must begin with /", dir.display());
    Ok(dir)
}

/// Root too by number: an image may have no /etc/passwd.
fn user<'a>(options: &'a Options, image: &'a ImageConfiguration) -> &'a str {
    let named = options.user.as_deref().unwrap_or_else(|| config::user(image));
    if named.is_empty() { "0" } else { named }
}

fn mounts(options: &Options, files: &[Volume]) -> Vec<Value> {
    let line = |(kind, source, target, options): &(&str, &str, &str, &str)| {
        let options: Vec<_> = options.split(',').collect();
        json!({ "destination": target, "type": kind, "source": source, "options": options })
    };
    let mut mounts: Vec<Value> = mount::DEFAULT.iter().map(line).collect();
    if !options.without_cgroup {
        mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup" }));
    }
    let volumes = files.iter().chain(&options.volumes).map(|v| (&v.target, volume(v)));
    let tmpfs = options.tmpfs.iter().map(|t| (&t.target, in_memory(t)));
    let mut asked: Vec<_> = volumes.chain(tmpfs).collect();
    // What lies deeper comes later: /data would else cover /data/cache.
    asked.sort_by_key(|(target, _)| target.components().count());
    mounts.extend(asked.into_iter().map(|(_, line)| line));
    mounts
}

fn volume(Volume { source, target, read_only }: &Volume) -> Value {
    let mode = if *read_only { "ro" } else { "rw" };
    json!({ "destination": target, "type": "bind", "source": source, "options": ["rbind", mode] })
}

fn in_memory(Tmpfs { target, options }: &Tmpfs) -> Value {
    let mut all = vec!["nosuid", "nodev", "noexec"];
    all.extend(options.split(',').filter(|option| !option.is_empty()));
    json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": all })
}

fn resources(limits: &Limits) -> Value {
    let memory = limits.memory.map(|Bytes(bytes)| bytes);
    let swap = limits.memory_swap.map(|swap| match swap {
        Max::At(Bytes(bytes)) => bytes as i64,
        Max::Unlimited => -1,
    });
    let pids = limits.pids.map(|pids| match pids {
        Max::At(Count(number)) => json!({ "limit": number }),
        Max::Unlimited => json!({ "limit": -1 }),
    });
    let mut resources = json!({
        "memory": { "limit": memory, "swap": swap },
        "cpu": {
            "shares": limits.cpu_weight.map(|weight| weight.shares()),
            "quota": limits.cpus.map(|cpus| cpus.quota()),
            "period": limits.cpus.map(|_| Cpus::PERIOD),
            "cpus": limits.cpuset_cpus.as_ref().map(ToString::to_string),
        },
        "pids": pids,
    });
    drop_nulls(&mut resources);
    resources
}

/// What isn't limited isn't mentioned.
fn drop_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(drop_nulls);
        members.retain(|_, member| !member.is_null() && *member != json!({}));
    }
}

/// The limits as [`resources`] needs them, checked early.
///
/// # Errors
/// When limits are asked for and cgroups are not wanted.
pub(crate) fn check_limits(options: &Options) -> Result<()> {
    ensure!(
        options.limits.is_none() || !options.without_cgroup,
        "limits need cgroups: leave out --cgroups=disabled"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageConfiguration {
        let config = json!({ "Env": ["PATH=/bin", "LANG=C"], "WorkingDir": "/srv", "User": "web" });
        serde_json::from_value(json!({
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [] },
        }))
        .unwrap()
    }

    fn given<'a>(command: &'a [String]) -> Given<'a> {
        Given {
            rootfs: Path::new("/r"),
            hostname: "box",
            command,
            cgroup: "abc",
            network: NetworkNamespace::Own,
            files: vec![],
        }
    }

    #[test]
    fn flags_become_the_config_that_the_runtime_reads() {
        let options = Options {
            volumes: vec!["/a:/data/x:ro".parse().unwrap()],
            tmpfs: vec!["/data:size=1m".parse().unwrap()],
            limits: Limits {
                memory: Some(Bytes(64 << 20)),
                cpus: Some("0.5".parse().unwrap()),
                pids: Some(Max::Unlimited),
                ..Limits::default()
            },
            ..Options::default()
        };
        let command = vec!["sh".to_owned()];
        let config = runtime_config(&options, &image(), &given(&command)).unwrap();
        assert_eq!(config["process"]["cwd"], "/srv");
        assert_eq!(config["process"]["user"]["username"], "web");
        let mounts = config["mounts"].as_array().unwrap();
        let targets: Vec<_> = mounts.iter().rev().take(2).map(|m| &m["destination"]).collect();
        assert_eq!(targets, ["/data/x", "/data"]);
        assert_eq!(
            config["linux"]["resources"],
            json!({
                "memory": { "limit": 67_108_864 },
                "cpu": { "quota": 50_000, "period": 100_000 },
                "pids": { "limit": -1 },
            })
        );
        runtime::Bundle::new(Path::new("/b"), config).unwrap();
    }
}
