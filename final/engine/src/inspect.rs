//! `keel inspect`: the record, the config and the kernel's view, in `docker inspect`'s words.

use std::fs;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use unshare::Namespace;

use crate::container::{Container, State};
use crate::home::Home;
use crate::storage::Driver;

/// All about a container.
pub(crate) fn inspect(home: &Home, container: &Container) -> Result<Value> {
    let folder = home.container(&container.id);
    let config = fs::read_to_string(folder.join("config.json")).unwrap_or_default();
    // A container that was killed while it was made has none.
    let config: Value = serde_json::from_str(&config).unwrap_or_default();
    let mut graph = json!({ "Name": container.driver.name() });
    if container.driver == Driver::Overlay {
        let layers: Vec<_> = container.layers.iter().map(|path| path.to_string_lossy()).collect();
        graph["Data"] = json!({
            "LowerDir": layers.join(":"),
            "UpperDir": folder.join("upper"),
            "WorkDir": folder.join("work"),
        });
    }
    let process = &config["process"];
    Ok(json!({
        "Id": container.id,
        "Name": format!("/{}", container.name),
        "Created": container.created,
        "Path": container.command.first(),
        "Args": container.command.get(1..),
        "State": state(&container.state),
        "Image": container.image_id,
        "Config": {
            "Hostname": config["hostname"],
            "User": process["user"]["username"],
            "Env": process["env"],
            "Image": container.image,
            "WorkingDir": process["cwd"],
        },
        "HostConfig": {
            "AutoRemove": container.remove,
            "NetworkMode": container.network,
            "ReadonlyRootfs": config["root"]["readonly"],
            "Memory": config["linux"]["resources"]["memory"]["limit"].as_u64().unwrap_or(0),
            "PidsLimit": config["linux"]["resources"]["pids"]["limit"],
            "PortBindings": container.ports,
        },
        "NetworkSettings": { "IPAddress": container.address },
        "GraphDriver": graph,
        "Mounts": binds(&config),
        "LogPath": folder.join("log.json"),
        "Bundle": folder,
        "Namespaces": namespaces(container)?,
    }))
}

fn state(state: &State) -> Value {
    let never = "0001-01-01T00:00:00Z";
    let tell = |status: &str, pid: i32, code: u8, oom: bool, times: [Option<Timestamp>; 2]| {
        let [started, finished] = times.map(|t| t.map_or(never.to_owned(), |t| t.to_string()));
        json!({
            "Status": status,
            "Running": status == "running",
            "Pid": pid,
            "ExitCode": code,
            "OOMKilled": oom,
            "StartedAt": started,
            "FinishedAt": finished,
        })
    };
    match *state {
        State::Created => tell("created", 0, 0, false, [None, None]),
        State::Running { pid, started, .. } => {
            tell("running", pid, 0, false, [Some(started), None])
        }
        State::Exited { code, oom_killed, started, finished } => {
            tell("exited", 0, code, oom_killed, [Some(started), Some(finished)])
        }
    }
}

/// The volumes.
fn binds(config: &Value) -> Vec<Value> {
    let mounts = config["mounts"].as_array().into_iter().flatten();
    let binds = mounts.filter(|mount| mount["type"] == "bind");
    binds
        .map(|mount| {
            json!({
                "Type": "bind",
                "Source": mount["source"],
                "Destination": mount["destination"],
                "RW": !mount["options"].as_array().is_some_and(|all| all.contains(&json!("ro"))),
            })
        })
        .collect()
}

/// The inode of each of its namespaces: equal numbers, same namespace. Nothing when it doesn't run.
fn namespaces(container: &Container) -> Result<Value> {
    let Ok(pid) = container.pid() else { return Ok(Value::Null) };
    let inodes = Namespace::ALL.iter().map(|kind| Ok((kind.to_string(), kind.inode(pid)?.into())));
    let inodes: Result<Map<String, Value>> = inodes.collect();
    inodes.map(Value::Object).with_context(|| format!("look at container {}", container.name))
}
