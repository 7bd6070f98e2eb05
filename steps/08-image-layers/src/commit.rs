//! New images: from a rootfs, or from another image and what a container changed.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use oci_spec::image::{
    Config, Descriptor, History, ImageConfiguration, ImageManifest, ImageManifestBuilder, MediaType,
};
use overlayfs::Change as FileChange;
use serde_json::{Map, Value};

use crate::Loaded;
use crate::change::Change;
use crate::diff::write_layer;
use crate::files::digest_of;
use crate::reference::Reference;

/// An image in the making.
pub(crate) struct Draft {
    pub config: ImageConfiguration,
    /// The config of the image that this one is made from.
    pub old: Option<Value>,
    pub layers: Vec<Descriptor>,
}

impl Draft {
    // ANCHOR: with-layer
    /// Adds a layer (its blob, its diff id, a line of history), and puts the image into the store.
    pub fn with_layer(
        mut self,
        mut change: Change,
        folder: &Path,
        changes: &[FileChange],
        mut history: History,
        name: Option<Reference>,
    ) -> Result<Loaded> {
        let (layer, diff_id) = change.stage_with(|out| write_layer(folder, changes, out))?;
        change.keep(&layer)?;
        self.layers.push(layer.descriptor(MediaType::ImageLayerGzip)?);
        self.config.rootfs_mut().diff_ids_mut().push(diff_id.to_string());

        let now = history.created().clone().map_or_else(|| timestamp(SystemTime::now()), Ok)?;
        history.set_created(Some(now.clone()));
        self.config.set_created(Some(now));
        self.config.history_mut().get_or_insert_default().push(history);

        let (image, manifest) = self.keep(&mut change)?;
        let (_, skipped) = change.unpack(&manifest)?;
        change.list(image, name.as_ref());
        change.finish()?;
        Ok(Loaded { id: digest_of(manifest.config())?, names: name.into_iter().collect(), skipped })
    }
    // ANCHOR_END: with-layer

    /// Keeps the config and the manifest.
    fn keep(self, change: &mut Change) -> Result<(Descriptor, ImageManifest)> {
        let mut config = serde_json::to_value(self.config).context("write the image's config")?;
        if let Some(old) = self.old {
            keep_unknown(&mut config, &old)?;
        }
        let manifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .config(change.keep_json(MediaType::ImageConfig, &config)?)
            .layers(self.layers)
            .build()?;
        Ok((change.keep_json(MediaType::ImageManifest, &manifest)?, manifest))
    }
}

/// Docker's configs hold more than the OCI spec knows (a health check, the shell). What isn't
/// known here is taken over as it is, on the outer level and in `config`.
fn keep_unknown(new: &mut Value, old: &Value) -> Result<()> {
    let known: ImageConfiguration = serde_json::from_value(old.clone())?;
    let known = serde_json::to_value(known)?;
    let add = |new: &mut Value, old: &Value, known: &Value| {
        let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) else { return };
        let unknown =
            old.iter().filter(|(key, value)| known.get(key).is_none() && !value.is_null());
        for (key, value) in unknown {
            new.entry(key).or_insert_with(|| value.clone());
        }
    };
    add(new, old, &known);
    if let (Some(old), Some(known)) = (old.get("config"), known.get("config")) {
        let config = new.as_object_mut().map(|new| new.entry("config"));
        if let Some(config) = config {
            add(config.or_insert_with(|| Map::new().into()), old, known);
        }
    }
    Ok(())
}

/// The config of an image that is made from a bare rootfs: a shell, and where commands are.
pub(crate) fn bare_config() -> ImageConfiguration {
    let mut config = Config::default();
    config.set_env(Some(vec![format!("PATH={}", chroot::program::DEFAULT_PATH)]));
    config.set_cmd(Some(vec!["/bin/sh".into()]));
    let mut image = ImageConfiguration::default(); // this machine's architecture
    image.set_config(Some(config));
    image
}

/// A time as in RFC 3339, in UTC, with nanoseconds.
fn timestamp(time: SystemTime) -> Result<String> {
    Ok(jiff::Timestamp::try_from(time).context("read the clock")?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_spec_does_not_know_is_kept() {
        let old = serde_json::json!({
            "architecture": "amd64", "os": "linux", "docker_version": "27", "container": null,
            "rootfs": { "type": "layers", "diff_ids": [] },
            "config": { "Cmd": ["sh"], "Healthcheck": { "Test": ["NONE"] }, "OnBuild": null },
        });
        let mut typed: ImageConfiguration = serde_json::from_value(old.clone()).unwrap();
        let mut config = typed.config().clone().unwrap();
        config.set_cmd(None);
        typed.set_config(Some(config));

        let mut new = serde_json::to_value(typed).unwrap();
        keep_unknown(&mut new, &old).unwrap();
        assert_eq!(new["docker_version"], "27");
        assert_eq!(new["config"], serde_json::json!({ "Healthcheck": { "Test": ["NONE"] } }));
    }
}
