//! Verifies an image, blob by blob, and trusts nothing in it.
//!
//! `verify-layout FOLDER` reads an OCI image layout: it begins at index.json, follows every descriptor, and has a complaint
//! for each blob that isn't what the descriptor promises. The exit code is 1 if there are any. See the OCI image
//! specification: image-layout.md, descriptor.md, manifest.md, config.md.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io};

use anyhow::{Context, Result, ensure};
use image_layers::apply::Layer;
use image_layers::digest::Hashing;
use image_layers::{Descriptor, Digest, ImageConfiguration, ImageManifest, Limits};
use oci_spec::image::{ImageIndex, MediaType};
use serde::de::DeserializeOwned;

/// The most that a manifest, a config or an index may hold: they are read into memory.
const JSON: u64 = 8 << 20;

fn main() -> ExitCode {
    chroot::exit::report(run())
}

fn run() -> Result<ExitCode> {
    let folder = PathBuf::from(env::args_os().nth(1).context("usage: verify-layout FOLDER")?);
    let index = folder.join("index.json");
    let index = fs::read(&index).with_context(|| format!("read {}", index.display()))?;
    let mut layout = Layout { folder, seen: BTreeSet::new(), complaints: BTreeSet::new() };
    layout.index(&serde_json::from_slice(&index).context("read index.json")?);
    // What a damaged manifest leads to isn't known: then nothing can be said about the others.
    if layout.complaints.is_empty() {
        layout.strays()?;
    }
    layout.complaints.iter().for_each(|complaint| println!("{complaint}"));
    println!("blobs: {}, complaints: {}", layout.seen.len(), layout.complaints.len());
    Ok(if layout.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An image layout under examination.
struct Layout {
    folder: PathBuf,
    /// All blobs that something leads to, good or not.
    seen: BTreeSet<Digest>,
    /// What is wrong, each with the digest first. Images share blobs; no complaint is made twice.
    complaints: BTreeSet<String>,
}

impl Layout {
    /// An index leads to manifests, or to further indexes.
    fn index(&mut self, index: &ImageIndex) {
        for descriptor in index.manifests() {
            if *descriptor.media_type() == MediaType::ImageIndex {
                if let Some(nested) = self.json(descriptor) {
                    self.index(&nested);
                }
            } else if let Some(manifest) = self.json(descriptor) {
                self.manifest(&manifest);
            }
        }
    }

    /// A manifest leads to a config and to layers. Each layer, unpacked, must be what the config says: as many diff ids as there
    /// are layers, in the same order. A blob that is not what it should be is not looked into.
    fn manifest(&mut self, manifest: &ImageManifest) {
        let config: Option<ImageConfiguration> = self.json(manifest.config());
        let layers: Vec<_> = manifest.layers().iter().map(|layer| self.blob(layer)).collect();
        let Some(config) = config else { return };
        let diff_ids = config.rootfs().diff_ids();
        if diff_ids.len() != layers.len() {
            let (blobs, ids) = (layers.len(), diff_ids.len());
            self.complain(
                manifest.config(),
                format!("it speaks of {ids} layers, but there are {blobs}"),
            );
        }
        for ((descriptor, file), expected) in manifest.layers().iter().zip(layers).zip(diff_ids) {
            let Some(file) = file else { continue };
            match Layer::read(&file, Limits::default()) {
                Ok(layer) if layer.diff_id.to_string() == *expected => {}
                Ok(layer) => self.complain(
                    descriptor,
                    format!("it unpacks to {}, the config says {expected}", layer.diff_id),
                ),
                Err(error) => self.complain(descriptor, format!("{error:#}")),
            }
        }
    }

    /// Where the blob is that a descriptor means, if that is good.
    fn blob(&mut self, descriptor: &Descriptor) -> Option<PathBuf> {
        let found = self.examine(descriptor);
        found.map_err(|error| self.complain(descriptor, format!("{error:#}"))).ok()
    }

    /// The same for a blob that holds JSON.
    fn json<T: DeserializeOwned>(&mut self, descriptor: &Descriptor) -> Option<T> {
        let file = self.blob(descriptor)?;
        let read = || -> Result<T> {
            ensure!(descriptor.size() <= JSON, "{} bytes are too many", descriptor.size());
            Ok(serde_json::from_slice(&fs::read(&file)?)?)
        };
        read().map_err(|error| self.complain(descriptor, format!("{error:#}"))).ok()
    }

    /// Notes that the blob of this descriptor has been seen, and makes sure that it is a regular file with the size and the
    /// digest that the descriptor names. Returns where it is.
    ///
    /// # Errors
    /// When it isn't, or the descriptor names no SHA-256 digest. See descriptor.md, "Verification".
    fn examine(&mut self, descriptor: &Descriptor) -> Result<PathBuf> {
        // Nothing but 64 digits: a digest that becomes a path can lead nowhere else.
        let digest: Digest = descriptor.digest().as_ref().parse()?;
        let path = self.folder.join("blobs/sha256").join(digest.hex());
        self.seen.insert(digest.clone());
        // Opening a named pipe would wait for somebody who writes to it (fifo(7)).
        let meta = fs::symlink_metadata(&path).context("look at it")?;
        ensure!(meta.is_file(), "it is no regular file");
        let (size, expected) = (meta.len(), descriptor.size());
        ensure!(size == expected, "it has {size} bytes instead of {expected}");
        let mut content = Hashing::new(File::open(&path).context("open it")?);
        io::copy(&mut content, &mut io::sink()).context("read it")?;
        let found = content.finish().1;
        ensure!(found == digest, "its digest is {found}");
        Ok(path)
    }

    /// Complains about every file among the blobs that nothing leads to.
    ///
    /// # Errors
    /// When the folder can't be read.
    fn strays(&mut self) -> Result<()> {
        let folder = self.folder.join("blobs/sha256");
        let doing = || format!("read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(doing)? {
            let name = entry.with_context(doing)?.file_name().display().to_string();
            if !self.seen.iter().any(|digest| digest.hex() == name) {
                self.complaints.insert(format!("sha256:{name}: nothing leads to it"));
            }
        }
        Ok(())
    }

    fn complain(&mut self, about: &Descriptor, what: impl std::fmt::Display) {
        self.complaints.insert(format!("{}: {what}", about.digest()));
    }
}
