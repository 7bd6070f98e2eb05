//! Images that come from elsewhere: an OCI image layout, or what `docker save` writes. Either may be a folder, a tar
//! archive, or a compressed one; what Docker writes since version 25 is both at once.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use oci_spec::image::{
    Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, ImageManifestBuilder,
    MediaType, Os,
};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::change::{Change, REF_NAME, Staged, layers};
use crate::compression::{decompress, media_type};
use crate::files::{JSON, digest_of};
use crate::folders::{OrIo, open_folder};
use crate::reference::Reference;
use crate::tarball::{Entries, Kind, Limits};

/// The annotation in which containerd and Docker keep the full name.
const FULL_NAME: &str = "io.containerd.image.name";

/// An image whose blobs are in the store.
pub(crate) struct Found {
    /// As it is listed in an index.
    pub descriptor: Descriptor,
    pub manifest: ImageManifest,
    pub names: Vec<Reference>,
}

/// The files of an archive, by name.
pub(crate) enum Archive {
    Folder(OwnedFd),
    Tar { files: HashMap<PathBuf, Staged>, links: HashMap<PathBuf, PathBuf> },
}

/// What `manifest.json` says of an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

impl Archive {
    pub fn folder(path: &Path) -> Result<Archive> {
        Ok(Archive::Folder(open_folder(path)?))
    }

    /// Reads a stream to its end: its files can come in any order, so each is set aside.
    pub fn tar(reader: impl Read, change: &mut Change, limits: Limits) -> Result<Archive> {
        let (mut files, mut links) = (HashMap::new(), HashMap::new());
        let mut entries = Entries::new(decompress(reader).context("read the archive")?, limits);
        while let Some(entry) = entries.next()? {
            let name = plain(&entry.path);
            match entry.kind {
                Kind::File => drop(files.insert(name, change.stage(entries.content())?)),
                Kind::HardLink => drop(links.insert(name, plain(&entry.link))),
                // Docker before version 25 put a layer once and linked to it: `../<id>/layer.tar`.
                Kind::Symlink => {
                    let folder = name.parent().unwrap_or(Path::new(""));
                    let target = plain(&folder.join(&entry.link));
                    links.insert(name, target);
                }
                _ => {}
            }
        }
        entries.finish()?;
        Ok(Archive::Tar { files, links })
    }

    /// Puts the blobs of all images for this machine into the store.
    pub fn images(&mut self, change: &mut Change) -> Result<Vec<Found>> {
        let saved: Option<Vec<Saved>> = self.json(change, "manifest.json")?;
        if let Some(index) = self.json::<ImageIndex>(change, "index.json")? {
            let mut images = Vec::new();
            for image in self.for_this_machine(change, &index, true)? {
                images.push(self.take_image(change, &image, saved.as_deref().unwrap_or(&[]))?);
            }
            return Ok(images);
        }
        let Some(saved) = saved else {
            bail!(
                "it is neither an OCI image layout (no index.json) nor made by 'docker save' (no manifest.json)"
            );
        };
        saved.iter().map(|image| self.take_saved(change, image)).collect()
    }

    /// The images in an index that are made for this machine; of one that is there for several
    /// machines the first that fits.
    fn for_this_machine(
        &mut self,
        change: &mut Change,
        index: &ImageIndex,
        top: bool,
    ) -> Result<Vec<Descriptor>> {
        let (os, arch) = (Os::Linux, Arch::default());
        let fits = |image: &Descriptor| {
            let platform = image.platform().as_ref();
            platform.is_none_or(|it| *it.os() == os && *it.architecture() == arch)
        };
        let mut images = Vec::new();
        for image in index.manifests().iter().filter(|image| fits(image)) {
            if is_index(image.media_type()) {
                let nested = self.blob(change, image)?;
                let nested: ImageIndex = read_json(&nested, "an index")?;
                ensure!(top, "an index in an index in an index");
                for mut inner in self.for_this_machine(change, &nested, false)? {
                    inner.set_annotations(image.annotations().clone());
                    images.push(inner);
                }
            } else {
                images.push(image.clone());
            }
        }
        if !top {
            images.truncate(1);
        }
        ensure!(!images.is_empty(), "it holds no image for {os}/{arch}");
        Ok(images)
    }

    /// Takes an image from an OCI layout.
    fn take_image(
        &mut self,
        change: &mut Change,
        image: &Descriptor,
        saved: &[Saved],
    ) -> Result<Found> {
        let file = self.blob(change, image)?;
        let manifest: ImageManifest = read_json(&file, "a manifest")?;
        for blob in manifest.layers().iter().chain([manifest.config()]) {
            let blob = self.blob(change, blob)?;
            change.keep(&blob)?;
        }
        change.keep(&file)?;
        let config = digest_of(manifest.config())?;
        let tags = saved.iter().filter(|saved| saved.config.contains(config.hex()));
        let mut names: Vec<Reference> = tags
            .flat_map(|saved| saved.repo_tags.iter().flatten())
            .filter_map(|tag| tag.parse().ok())
            .collect();
        names.extend(annotated_name(image));
        names.sort();
        names.dedup();
        Ok(Found { descriptor: file.descriptor(image.media_type().clone())?, manifest, names })
    }

    /// Takes an image as Docker saved it before version 25, which has no manifest: we write one.
    fn take_saved(&mut self, change: &mut Change, saved: &Saved) -> Result<Found> {
        let config = self.needed(change, &saved.config)?;
        // Read now, so that what isn't a config doesn't become a blob.
        let parsed: ImageConfiguration = read_json(&config, "a config")?;
        let mut blobs = Vec::new();
        for name in &saved.layers {
            let layer = self.needed(change, name)?;
            let kind = media_type(File::open(&layer.path)?)?;
            blobs.push((layer.descriptor(kind)?, layer));
        }
        for (_, layer) in &blobs {
            change.keep(layer)?;
        }
        change.keep(&config)?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .config(config.descriptor(MediaType::ImageConfig)?)
            .layers(blobs.into_iter().map(|(descriptor, _)| descriptor).collect::<Vec<_>>())
            .build()?;
        layers(&manifest, &parsed)?;
        let names = saved.repo_tags.iter().flatten();
        let names = names.map(|tag| tag.parse()).collect::<Result<Vec<_>>>()?;
        let descriptor = change.keep_json(MediaType::ImageManifest, &manifest)?;
        Ok(Found { descriptor, manifest, names })
    }

    // ANCHOR: blob
    /// A blob from an OCI layout. Its name must be its digest, whatever the archive calls it.
    fn blob(&mut self, change: &mut Change, descriptor: &Descriptor) -> Result<Staged> {
        let (digest, size) = (digest_of(descriptor)?, descriptor.size());
        let blob = self.needed(change, &format!("blobs/sha256/{}", digest.hex()))?;
        let found = &blob.digest;
        ensure!(*found == digest, "the blob {digest} is damaged: its digest is {found}");
        ensure!(blob.size == size, "the blob {digest} has {} bytes instead of {size}", blob.size);
        Ok(blob)
    }
    // ANCHOR_END: blob

    fn needed(&mut self, change: &mut Change, name: &str) -> Result<Staged> {
        let file = self.file(change, name)?;
        file.with_context(|| format!("'{name}' is missing (is the archive complete?)"))
    }

    fn json<T: DeserializeOwned>(&mut self, change: &mut Change, name: &str) -> Result<Option<T>> {
        let Some(file) = self.file(change, name)? else { return Ok(None) };
        read_json(&file, name).map(Some)
    }

    /// A file of the archive, staged.
    fn file(&mut self, change: &mut Change, name: &str) -> Result<Option<Staged>> {
        match self {
            Archive::Tar { files, links } => {
                let mut name = plain(Path::new(name));
                for _ in 0..2 {
                    if let Some(target) = links.get(&name) {
                        name = target.clone();
                    }
                }
                Ok(files.get(&name).cloned())
            }
            Archive::Folder(folder) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                // The names stand in files of the archive: none may lead out of it.
                let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                match openat2(folder, name, flags, Mode::empty(), inside) {
                    Err(Errno::NOENT) => Ok(None),
                    file => {
                        let file = File::from(file.io().with_context(|| format!("open '{name}'"))?);
                        change.stage(file).map(Some)
                    }
                }
            }
        }
    }
}

fn read_json<T: DeserializeOwned>(file: &Staged, what: &str) -> Result<T> {
    ensure!(file.size <= JSON, "{what} of {} bytes is too large", file.size);
    let text = fs::read(&file.path).with_context(|| format!("read {what}"))?;
    serde_json::from_slice(&text).with_context(|| format!("read {what}"))
}

fn is_index(media_type: &MediaType) -> bool {
    let docker = "application/vnd.docker.distribution.manifest.list.v2+json";
    *media_type == MediaType::ImageIndex || media_type.as_ref() == docker
}

/// The name of an image, where its index has it. Some tools write the tag only; that is no name.
fn annotated_name(image: &Descriptor) -> Option<Reference> {
    let annotations = image.annotations().as_ref()?;
    let name = annotations
        .get(FULL_NAME)
        .or_else(|| annotations.get(REF_NAME).filter(|name| name.contains([':', '/'])))?;
    name.parse().ok()
}

/// A name without `.`, `..` and a leading `/`. Only for looking up: no file gets this name.
fn plain(path: &Path) -> PathBuf {
    let mut plain: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain.iter().collect()
}
