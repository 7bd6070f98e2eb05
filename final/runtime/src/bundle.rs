//! The bundle: a folder with `config.json` and, most often, the rootfs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::Spec;
use serde_json::Value;

/// A folder that holds a container's `config.json`, as the OCI runtime specification has it.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The folder. A relative rootfs in the config starts here.
    pub dir: PathBuf,
    /// What `config.json` says.
    pub spec: Spec,
}

impl Bundle {
    /// Reads `dir/config.json`.
    ///
    /// # Errors
    /// When it can't be read, isn't an OCI config, or asks for something that this runtime doesn't do.
    pub fn load(dir: &Path) -> Result<Bundle> {
        let file = dir.join("config.json");
        let shown = file.display();
        let text = fs::read_to_string(&file).with_context(|| format!("read {shown}"))?;
        let config = serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))?;
        Bundle::new(dir, config).with_context(|| file.display().to_string())
    }

    /// The bundle in `dir` with this config, whether it is written down there or not.
    ///
    /// # Errors
    /// When it isn't an OCI config, or asks for something that this runtime doesn't do.
    pub fn new(dir: &Path, config: Value) -> Result<Bundle> {
        let unsupported = unsupported(&config);
        ensure!(
            unsupported.is_empty(),
            "asks for what this runtime doesn't do yet: {} (take it out, or use runc)",
            unsupported.join(", ")
        );
        let spec = serde_json::from_value(config).context("not an OCI runtime config")?;
        Ok(Bundle { dir: dir.to_owned(), spec })
    }

    /// Where the rootfs is.
    ///
    /// # Errors
    /// When the config names none.
    pub fn rootfs(&self) -> Result<PathBuf> {
        let root = self.spec.root().as_ref().context("config.json: root.path is missing")?;
        Ok(self.dir.join(root.path()))
    }
}

// ANCHOR: supported
/// Everything in a config that is understood here. A dot goes into an object, `[]` into a list, and
/// a `*` at the end takes all that is below.
const SUPPORTED: [&str; 33] = [
    "ociVersion",
    "annotations.*",
    "hostname",
    "domainname",
    "root.path",
    "root.readonly",
    "mounts[].destination",
    "mounts[].type",
    "mounts[].source",
    "mounts[].options[]",
    "process.args[]",
    "process.env[]",
    "process.cwd",
    "process.user.uid",
    "process.user.gid",
    "process.user.umask",
    "process.user.additionalGids[]",
    "process.user.username",
    "process.rlimits[].*",
    "process.noNewPrivileges",
    "linux.namespaces[].type",
    "linux.namespaces[].path",
    "linux.cgroupsPath",
    "linux.maskedPaths[]",
    "linux.readonlyPaths[]",
    "linux.resources.memory.limit",
    "linux.resources.memory.swap",
    "linux.resources.cpu.shares",
    "linux.resources.cpu.quota",
    "linux.resources.cpu.period",
    "linux.resources.cpu.cpus",
    "linux.resources.cpu.mems",
    "linux.resources.pids.limit",
];
// ANCHOR_END: supported

/// What `config` asks for and this runtime doesn't do. To pass over a part of the config in silence
/// would be worst where it matters most: a container without the seccomp filter that it names.
fn unsupported(config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_unsupported(config, "", &mut found);
    found.sort();
    found
}

fn collect_unsupported(value: &Value, path: &str, found: &mut Vec<String>) {
    let below = |pattern: &str| {
        let prefix = pattern.strip_suffix('*');
        prefix.is_some_and(|prefix| format!("{path}.").starts_with(prefix))
    };
    let known = SUPPORTED.iter().any(|pattern| *pattern == path || below(pattern));
    // Some part of the config's tree leads on from here to something that is understood.
    let leads_on = SUPPORTED.iter().any(|pattern| {
        let rest = pattern.strip_prefix(path);
        path.is_empty() || rest.is_some_and(|rest| rest.starts_with(['.', '[']))
    });
    match value {
        _ if known => {}
        // Written down, but nothing asked for.
        Value::Null | Value::Bool(false) => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Object(members) if members.is_empty() => {}
        Value::Object(members) if leads_on => {
            for (name, member) in members {
                let dot = if path.is_empty() { "" } else { "." };
                collect_unsupported(member, &format!("{path}{dot}{name}"), found);
            }
        }
        Value::Array(items) if leads_on => {
            for item in items {
                collect_unsupported(item, &format!("{path}[]"), found);
            }
        }
        _ if found.iter().any(|known| known == path) => {}
        _ => found.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_understood_passes() {
        let config = json!({
            "ociVersion": "1.2.0",
            "annotations": { "org.example": "x" },
            "process": {
                "terminal": false,
                "user": { "uid": 0, "gid": 0 },
                "args": ["sh"],
                "cwd": "/",
                "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1, "soft": 1 }],
            },
            "mounts": [{ "destination": "/proc", "type": "proc", "options": ["nosuid"] }],
            "linux": { "namespaces": [{ "type": "pid" }], "seccomp": null },
        });
        assert_eq!(unsupported(&config), [""; 0]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let config = json!({
            "process": { "terminal": true, "capabilities": { "bounding": ["CAP_KILL"] } },
            "mounts": [{ "destination": "/x", "uidMappings": [{ "hostID": 0 }] }],
            "linux": { "seccomp": { "defaultAction": "SCMP_ACT_ERRNO" } },
            "hooks": { "prestart": [{ "path": "/bin/true" }] },
        });
        assert_eq!(
            unsupported(&config),
            [
                "hooks",
                "linux.seccomp",
                "mounts[].uidMappings",
                "process.capabilities",
                "process.terminal"
            ]
        );
    }
}
