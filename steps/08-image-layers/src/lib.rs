//! Step 8: images.
//!
//! An image is a pile of layers and a note on how to run them. A layer is a tar archive of files that
//! were added, changed or deleted; the note is a JSON file. Everything is named by its digest,
//! so images share what they have in common, and nobody has to be trusted with the content.
//!
//!   [`Store`] keeps images: load them, list them, find one, make a new one, remove it;
//!   [`apply`] turns a layer into a folder, [`diff`] a folder's changes into a layer;
//!   [`root`] is the folder that nothing in a layer can leave;
//!   [`config`] and [`user`] read the note.
//!
//! The store's own format is the one in which images travel, an OCI image layout. See the OCI image
//! spec: <https://github.com/opencontainers/image-spec>.

pub mod apply;
mod archive;
mod change;
mod commit;
mod compression;
pub mod config;
pub mod diff;
pub mod digest;
mod files;
mod folders;
pub mod meta;
pub mod reference;
pub mod root;
pub mod tarball;
pub mod user;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
pub use oci_spec::image::{Config, Descriptor, History, ImageConfiguration, ImageManifest};
use overlayfs::Change as FileChange;
use serde_json::Value;

use crate::archive::Archive;
use crate::change::{Change, layers, name_of};
use crate::commit::{Draft, bare_config};
pub use crate::digest::Digest;
use crate::files::{Files, digest_of};
pub use crate::meta::Skipped;
pub use crate::reference::Reference;
pub use crate::tarball::Limits;

/// A folder full of images. Any number of processes may use it at once.
#[derive(Debug)]
pub struct Store {
    files: Files,
    limits: Limits,
}

/// An image that is ready to run.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of its config. This is what people call the image's id.
    pub id: Digest,
    /// The digest of its manifest, which leads to all else.
    pub digest: Digest,
    /// The manifest: which blobs it is made of.
    pub manifest: ImageManifest,
    /// The names it has in this store.
    pub names: Vec<Reference>,
    /// How to run it.
    pub config: ImageConfiguration,
    /// Its layers, unpacked, topmost first: the lower folders of an overlay.
    pub layers: Vec<PathBuf>,
}

/// One line of the list of images.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The digest of the config.
    pub id: Digest,
    /// The digest of the manifest.
    pub digest: Digest,
    /// Its name. An image loses it when another takes it.
    pub name: Option<Reference>,
    /// When it was made, as in RFC 3339.
    pub created: Option<String>,
    /// The bytes that its blobs take, compressed as they are.
    pub size: u64,
}

/// An image that has come into the store.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The digest of the config.
    pub id: Digest,
    /// The names that it got.
    pub names: Vec<Reference>,
    /// What could not be unpacked for want of privileges.
    pub skipped: Skipped,
}

/// What [`Store::remove`] has done.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<Reference>,
    /// The image itself, if that was its last name.
    pub deleted: Option<Digest>,
}

/// The error for an image that isn't there. Callers know how one gets there, and may add it.
#[derive(Clone, Debug)]
pub struct NotFound(pub String);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image '{}' is not in the store", self.0)
    }
}

impl std::error::Error for NotFound {}

/// As Docker says it.
impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            write!(f, "Loaded image ID: {}", self.id)?;
        }
        for (index, name) in self.names.iter().enumerate() {
            write!(f, "{}Loaded image: {name}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// What stands above the rows of a list of images.
pub const HEADINGS: &str = "REPOSITORY           TAG        IMAGE ID           SIZE";

/// A row of `docker images`: repository, tag, id, size.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "<none>".to_owned();
        let (repository, tag) = match &self.name {
            Some(name) => (name.repository.clone(), name.tag.clone()),
            None => (none(), none()),
        };
        let size = human(self.size);
        write!(f, "{repository:<20} {tag:<10} {:<14} {size:>8}", self.id.short())
    }
}

/// A size with three digits, as Docker prints it: `4.27MB`.
fn human(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if size < 999.5 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    let digits = if unit == "B" || size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    format!("{size:.digits$}{unit}")
}

impl Store {
    /// Opens the store in `dir`, or makes one. What a killed process has left in it is removed.
    pub fn open(dir: &Path) -> Result<Store> {
        // Layers become mount options, which know no working directory.
        let dir = std::path::absolute(dir).context("open the image store")?;
        let files = Files::open(&dir)?;
        Change::sweep(&files)?;
        Ok(Store { files, limits: Limits::default() })
    }

    /// Sets how much an archive and each layer may hold.
    pub fn with_limits(self, limits: Limits) -> Store {
        Store { limits, ..self }
    }

    // ANCHOR: load
    /// Loads all images from an archive: a folder or a tar file, an OCI image layout or one that `docker save`
    /// made. Either all of them are in the store afterwards, or nothing has changed.
    pub fn load(&self, path: &Path) -> Result<Vec<Loaded>> {
        let load = || {
            if path.is_dir() {
                self.take(|_| Archive::folder(path))
            } else {
                let file = File::open(path)?;
                self.take(|change| Archive::tar(file, change, self.limits))
            }
        };
        load().with_context(|| format!("load {}", path.display()))
    }

    /// The same for an archive that comes through a pipe.
    pub fn load_from(&self, reader: impl Read) -> Result<Vec<Loaded>> {
        self.take(|change| Archive::tar(reader, change, self.limits)).context("load the archive")
    }

    fn take(&self, open: impl FnOnce(&mut Change) -> Result<Archive>) -> Result<Vec<Loaded>> {
        let mut change = Change::begin(&self.files, self.limits)?;
        let mut archive = open(&mut change)?;
        let mut loaded = Vec::new();
        for image in archive.images(&mut change)? {
            let (_, skipped) = change.unpack(&image.manifest)?;
            if image.names.is_empty() {
                change.list(image.descriptor.clone(), None);
            }
            for name in &image.names {
                change.list(image.descriptor.clone(), Some(name));
            }
            loaded.push(Loaded {
                id: digest_of(image.manifest.config())?,
                names: image.names,
                skipped,
            });
        }
        change.finish()?;
        Ok(loaded)
    }
    // ANCHOR_END: load

    /// Makes an image with one layer from a rootfs. It runs a shell.
    pub fn import_rootfs(&self, rootfs: &Path, name: &str) -> Result<Loaded> {
        let name: Reference = name.parse()?;
        let files = diff::everything(rootfs)?;
        ensure!(!files.is_empty(), "{} is empty", rootfs.display());
        let mut history = History::default();
        history.set_created_by(Some("import".into()));
        let import = || {
            let change = Change::begin(&self.files, self.limits)?;
            let draft = Draft { config: bare_config(), old: None, layers: Vec::new() };
            draft.with_layer(change, rootfs, &files, history, Some(name))
        };
        import().with_context(|| format!("import {}", rootfs.display()))
    }

    /// Makes an image from another one and what was changed since.
    ///
    /// `folder` is an overlay's upper folder and `changes` come from [`overlayfs::changes`]; or it is a copy
    /// of the layers, with [`overlayfs::changes_by_walk`]. `configure` may change how the image is run.
    /// `history` is kept with the image; its time is now, unless it says another one.
    pub fn commit(
        &self,
        base: &Image,
        folder: &Path,
        changes: &[FileChange],
        name: Option<Reference>,
        history: History,
        configure: impl FnOnce(&mut Config),
    ) -> Result<Loaded> {
        let commit = || {
            let change = Change::begin(&self.files, self.limits)?;
            let old: Value = self.files.json(base.manifest.config())?;
            let mut config = base.config.clone();
            let mut run = config.config().clone().unwrap_or_default();
            configure(&mut run);
            config.set_config(Some(run));
            config.set_author(history.author().clone().or(config.author().clone()));
            let draft = Draft { config, old: Some(old), layers: base.manifest.layers().clone() };
            draft.with_layer(change, folder, changes, history, name)
        };
        commit().context("commit")
    }

    /// Finds an image by name (`busybox`, `busybox:1.36`) or by id, of which the start is enough.
    ///
    /// # Errors
    /// [`NotFound`] when there is none; a sentence when there are several.
    pub fn find(&self, wanted: &str) -> Result<Image> {
        let entry = self.look_up(wanted)?;
        let manifest: ImageManifest = self.files.json(&entry)?;
        let config: ImageConfiguration = self.files.json(manifest.config())?;
        let mut folders: Vec<PathBuf> = layers(&manifest, &config)?
            .iter()
            .rev()
            .map(|(_, _, chain)| self.files.layer(chain))
            .collect();
        if !folders.iter().all(|folder| folder.exists()) {
            // Somebody has made room. The blobs are all that is needed.
            let mut change = Change::begin(&self.files, self.limits)?;
            (folders, _) = change.unpack(&manifest)?;
            change.finish()?;
        }
        ensure!(!folders.is_empty(), "image '{wanted}' has no layers");
        // Only from the index: another image that is damaged is no reason to refuse this one.
        let listed = self.files.images()?.into_iter().filter(|it| it.digest() == entry.digest());
        Ok(Image {
            id: digest_of(manifest.config())?,
            digest: digest_of(&entry)?,
            names: listed.filter_map(|it| name_of(&it)).collect(),
            config,
            layers: folders,
            manifest,
        })
    }

    /// All images, the newest first. One with two names is listed twice.
    pub fn images(&self) -> Result<Vec<Summary>> {
        let mut images = Vec::new();
        for (entry, id) in self.entries()? {
            let manifest: ImageManifest = self.files.json(&entry)?;
            let config: ImageConfiguration = self.files.json(manifest.config())?;
            let blobs = manifest.layers().iter().chain([manifest.config(), &entry]);
            images.push(Summary {
                id,
                digest: digest_of(&entry)?,
                name: name_of(&entry),
                created: config.created().clone(),
                size: blobs.map(|blob| blob.size()).sum(),
            });
        }
        images.sort_by(|one, other| (&other.created, &one.name).cmp(&(&one.created, &other.name)));
        Ok(images)
    }

    /// Gives an image another name, which is taken from the image that had it.
    pub fn tag(&self, wanted: &str, name: &str) -> Result<()> {
        let name: Reference = name.parse()?;
        let mut change = Change::begin(&self.files, self.limits)?;
        let image = self.look_up(wanted)?;
        change.list(image, Some(&name));
        change.finish()
    }

    /// Takes a name from an image; with its last name the image goes, and with it all blobs and layers
    /// that no other image has. Given an id, all names go, if that is one at most.
    ///
    /// Whether a container still uses the image is for the caller to know.
    pub fn remove(&self, wanted: &str) -> Result<Removed> {
        let mut change = Change::begin(&self.files, self.limits)?;
        let image = self.look_up(wanted)?;
        let id = self.id_of(&image)?;
        let same = |other: &Descriptor| other.digest() == image.digest();
        let names: Vec<Reference> =
            change.images.iter().filter(|it| same(it)).filter_map(name_of).collect();

        let name = wanted.parse().ok().filter(|name| names.contains(name));
        if name.is_none() && names.len() > 1 {
            let names: Vec<String> = names.iter().map(Reference::to_string).collect();
            bail!(
                "image {} has several names; remove them one by one: {}",
                id.short(),
                names.join(", ")
            );
        }
        let untagged: Vec<Reference> = name.map_or(names.clone(), |name| vec![name]);
        untagged.iter().for_each(|name| change.unname(name));
        let last = untagged.len() == names.len();
        if last {
            change.images.retain(|it| !same(it));
        }
        change.finish()?;
        Ok(Removed { untagged, deleted: last.then_some(id) })
    }

    /// The entries of the index, each with its image's id.
    fn entries(&self) -> Result<Vec<(Descriptor, Digest)>> {
        let images = self.files.images()?;
        let entries = images.iter().map(|entry| Ok((entry.clone(), self.id_of(entry)?)));
        entries.collect()
    }

    fn id_of(&self, image: &Descriptor) -> Result<Digest> {
        digest_of(self.files.json::<ImageManifest>(image)?.config())
    }

    fn look_up(&self, wanted: &str) -> Result<Descriptor> {
        let name = wanted.parse::<Reference>();
        let images = self.files.images()?;
        if let Ok(name) = &name
            && let Some(image) = images.iter().find(|image| name_of(image).as_ref() == Some(name))
        {
            return Ok(image.clone());
        }
        let start = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        let mut found: Vec<Descriptor> = Vec::new();
        if !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            for (image, id) in self.entries()? {
                let fits =
                    id.hex().starts_with(start) || digest_of(&image)?.hex().starts_with(start);
                if fits && found.iter().all(|other| other.digest() != image.digest()) {
                    found.push(image);
                }
            }
        }
        match (found.pop(), found.is_empty()) {
            (Some(image), true) => Ok(image),
            (Some(_), false) => bail!("several images have an id that starts with '{start}'"),
            (None, _) => Err(NotFound(name.map_or(wanted.into(), |name| name.to_string())).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (4_270_000, "4.27MB"),
            (99_960_000, "100MB"),
            (5_000_000_000_000, "5000GB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
