//! One change to the store: all of it, or nothing.
//!
//! Whatever a change makes is made in a folder of its own under `tmp/`, and moved by rename(2), in
//! the order blobs, layers, index. The index is what counts: a blob or a layer that it doesn't lead
//! to isn't there for anybody. So a change that fails (a wrong digest, a full disk) is undone by
//! removing what the index doesn't lead to. One that was killed leaves its folder in `tmp/`, and
//! whoever comes next undoes it then.
//!
//! What survives a power cut is a matter of fsync(2). A blob and the index are synced before they get
//! their names. A layer has thousands of files, each of which would cost a write to the disk, so
//! a whole layer is synced once, by syncfs(2). The folders that hold the names come last.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageManifest, MediaType};
use rustix::fs::{FlockOperation, flock, syncfs};
use rustix::io::Errno;
use serde::Serialize;

use crate::apply::Layer;
use crate::compression;
use crate::digest::{Digest, Hashing};
use crate::files::{Files, digest_of};
use crate::folders::{OrIo, names, open_folder, remove_tree};
use crate::meta::Skipped;
use crate::reference::Reference;
use crate::root::Root;
use crate::tarball::Limits;

/// A change in the making. Dropped before [`Change::finish`], it undoes itself.
pub(crate) struct Change<'s> {
    files: &'s Files,
    limits: Limits,
    /// Holds the lock as long as it is open (flock(2)).
    _lock: File,
    /// The folder for all that isn't done yet.
    tmp: PathBuf,
    /// How many files `tmp` has had.
    count: u64,
    /// The images that the store lists.
    pub images: Vec<Descriptor>,
    finished: bool,
}

/// A file in the change's folder: hashed, but without a place in the store yet.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub path: PathBuf,
    pub digest: Digest,
    pub size: u64,
}

impl<'s> Change<'s> {
    /// Waits until nobody else changes the store.
    pub fn begin(files: &'s Files, limits: Limits) -> Result<Change<'s>> {
        let lock = files.lock_file()?;
        flock(&lock, FlockOperation::LockExclusive).io().context("lock the image store")?;
        // Whoever holds the lock is alone: what lies in tmp/ belongs to nobody who is still alive.
        undo(files)?;
        let images = files.images()?;
        let tmp = files.tmp().join("change");
        fs::create_dir(&tmp).with_context(|| format!("make {}", tmp.display()))?;
        Ok(Change { files, limits, _lock: lock, tmp, count: 0, images, finished: false })
    }

    /// Cleans up behind a change that was killed, unless one is going on, which has done so.
    pub fn sweep(files: &'s Files) -> Result<()> {
        let lock = files.lock_file()?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => undo(files),
            Err(Errno::WOULDBLOCK) => Ok(()),
            error => error.io().context("lock the image store"),
        }
    }

    /// A name for a file or folder in the making.
    fn temporary(&mut self) -> PathBuf {
        self.count += 1;
        self.tmp.join(self.count.to_string())
    }

    /// Copies content into the store's temporary folder, hashing it on the way.
    pub fn stage(&mut self, reader: impl Read) -> Result<Staged> {
        let mut reader = Hashing::new(reader);
        self.stage_with(|mut file| Ok(io::copy(&mut reader, &mut file).map(drop)?))
            .map(|(file, ())| file)
    }

    /// The same for content that `write` makes.
    pub fn stage_with<T>(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> Result<T>,
    ) -> Result<(Staged, T)> {
        let path = self.temporary();
        let doing = || format!("write {}", path.display());
        let file = BufWriter::new(File::create_new(&path).with_context(doing)?);
        let mut file = Hashing::new(file);
        let result = write(&mut file)?;
        file.flush().with_context(doing)?;
        let size = file.size();
        let digest = file.finish().1;
        Ok((Staged { path, digest, size }, result))
    }

    /// Gives a staged file its place among the blobs.
    pub fn keep(&mut self, staged: &Staged) -> Result<()> {
        let blob = self.files.blob(&staged.digest);
        let doing = || format!("write {}", blob.display());
        File::open(&staged.path).and_then(|file| file.sync_all()).with_context(doing)?;
        // A second name rather than another one: an image may have the same layer twice. And if the
        // store's own blob of that name is damaged, this mends it.
        let link = self.temporary();
        fs::hard_link(&staged.path, &link).with_context(doing)?;
        fs::rename(&link, &blob).with_context(doing)
    }

    /// Keeps a JSON file. The same value gives the same bytes, and so the same digest.
    pub fn keep_json(
        &mut self,
        media_type: MediaType,
        value: &impl Serialize,
    ) -> Result<Descriptor> {
        // Not directly: some of the types hold maps that come in any order; a `Value` is sorted.
        let bytes = serde_json::to_vec(&serde_json::to_value(value)?)?;
        let staged = self.stage(&bytes[..])?;
        self.keep(&staged)?;
        staged.descriptor(media_type)
    }

    // ANCHOR: unpack
    /// Makes sure that an image's layers are unpacked. Returns them, topmost first, and what
    /// had to be left out of those that were new.
    pub fn unpack(&mut self, image: &ImageManifest) -> Result<(Vec<PathBuf>, Skipped)> {
        let config: ImageConfiguration = self.files.json(image.config())?;
        let mut skipped = Skipped::default();
        let mut below: Vec<PathBuf> = Vec::new();
        for (blob, diff_id, chain) in layers(image, &config)? {
            let folder = self.files.layer(&chain);
            if !folder.exists() {
                skipped += self
                    .unpack_layer(blob, &diff_id, &below, &folder)
                    .with_context(|| format!("unpack the layer {}", blob.digest()))?;
            }
            below.insert(0, folder);
        }
        Ok((below, skipped))
    }

    fn unpack_layer(
        &mut self,
        blob: &Descriptor,
        diff_id: &Digest,
        below: &[PathBuf],
        folder: &Path,
    ) -> Result<Skipped> {
        compression::check_media_type(blob.media_type())?;
        let layer = Layer::read(&self.files.blob(&digest_of(blob)?), self.limits)?;
        ensure!(
            layer.diff_id == *diff_id,
            "the image's config says that it unpacks to {diff_id}, but it is {}",
            layer.diff_id
        );
        let new = self.temporary();
        fs::create_dir(&new).with_context(|| format!("make {}", new.display()))?;
        let skipped = layer.apply(Root::overlay(&new, below)?)?;
        let written = File::open(&new).and_then(|dir| syncfs(dir).io());
        written.with_context(|| format!("write {}", new.display()))?;
        fs::rename(&new, folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(skipped)
    }
    // ANCHOR_END: unpack

    /// Lists an image in the index, under `name` if it has one. The name leaves the image that had it.
    pub fn list(&mut self, mut image: Descriptor, name: Option<&Reference>) {
        if let Some(name) = name {
            self.unname(name);
            image.set_annotations(Some([(REF_NAME.into(), name.to_string())].into()));
        }
        self.images.push(image);
        self.tidy();
    }

    /// Takes a name from the image that has it; the image stays.
    pub fn unname(&mut self, name: &Reference) {
        for image in &mut self.images {
            if name_of(image).as_ref() == Some(name) {
                image.set_annotations(None);
            }
        }
        self.tidy();
    }

    /// An image with names needs no entry without one, and one such entry is enough.
    fn tidy(&mut self) {
        let named = self.images.iter().filter(|image| name_of(image).is_some());
        let mut seen: HashSet<String> = named.map(|image| image.digest().to_string()).collect();
        self.images
            .retain(|image| name_of(image).is_some() || seen.insert(image.digest().to_string()));
    }

    /// Makes the change count: from the rename of the index on, it has happened.
    pub fn finish(mut self) -> Result<()> {
        for folder in [self.files.blobs(), self.files.layers()] {
            let synced = File::open(&folder).and_then(|folder| folder.sync_all());
            synced.with_context(|| format!("write {}", folder.display()))?;
        }
        let index = self.temporary();
        self.files.write_images(&self.images, &index)?;
        self.finished = true;
        undo(self.files) // what the new index doesn't lead to any more
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // If this fails too, `tmp/` stays as a sign for the next one to try.
            let _ = undo(self.files);
        }
    }
}

impl Staged {
    /// How an index or a manifest speaks of it.
    pub fn descriptor(&self, media_type: MediaType) -> Result<Descriptor> {
        let digest: oci_spec::image::Digest = self.digest.to_string().parse()?;
        Ok(Descriptor::new(media_type, self.size, digest))
    }
}

/// The annotation that holds an image's name (OCI image spec, annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The name under which the index lists an image.
pub(crate) fn name_of(image: &Descriptor) -> Option<Reference> {
    image.annotations().as_ref()?.get(REF_NAME)?.parse().ok()
}

/// The layers of an image, the lowest first: the blob, its diff id, and the chain up to it.
pub(crate) fn layers<'i>(
    image: &'i ImageManifest,
    config: &ImageConfiguration,
) -> Result<Vec<(&'i Descriptor, Digest, Digest)>> {
    let diff_ids = config.rootfs().diff_ids();
    let (blobs, ids) = (image.layers().len(), diff_ids.len());
    ensure!(blobs == ids, "the image has {blobs} layers, but its config speaks of {ids}");
    let mut below = None;
    let mut layers = Vec::new();
    for (blob, diff_id) in image.layers().iter().zip(diff_ids) {
        let diff_id = diff_id.parse()?;
        let chain = Digest::chain(below.as_ref(), &diff_id);
        below = Some(chain.clone());
        layers.push((blob, diff_id, chain));
    }
    Ok(layers)
}

/// Removes what a change has left, whether it is done, or failed, or was killed.
fn undo(files: &Files) -> Result<()> {
    let tmp = open_folder(&files.tmp())?;
    let left = names(&tmp).io().context("read the image store's tmp")?;
    if left.is_empty() {
        return Ok(());
    }
    // A damaged image hides what belongs to it. Then all is kept, until it is removed or loaded again.
    let _ = collect_garbage(files);
    left.iter()
        .try_for_each(|name| remove_tree(&tmp, name).io())
        .context("empty the image store's tmp")
}

/// Removes every blob and layer to which the index doesn't lead. Whoever calls it holds the lock.
fn collect_garbage(files: &Files) -> Result<()> {
    let (mut blobs, mut used) = (HashSet::new(), HashSet::new());
    for image in &files.images()? {
        let manifest: ImageManifest = files.json(image)?;
        let config: ImageConfiguration = files.json(manifest.config())?;
        for descriptor in manifest.layers().iter().chain([image, manifest.config()]) {
            blobs.insert(digest_of(descriptor)?.hex().to_owned());
        }
        used.extend(
            layers(&manifest, &config)?.into_iter().map(|(_, _, chain)| chain.hex().to_owned()),
        );
    }
    remove_others(&files.blobs(), &blobs, files)?;
    remove_others(&files.layers(), &used, files)
}

fn remove_others(folder: &Path, used: &HashSet<String>, files: &Files) -> Result<()> {
    let unused = |name: &OsStr| name.to_str().is_none_or(|name| !used.contains(name));
    for name in names(&open_folder(folder)?).io()?.into_iter().filter(|name| unused(name)) {
        // A layer that is removed file by file would pass for whole if that were interrupted, so
        // it loses its name first.
        let (from, to) = (folder.join(&name), files.tmp().join("garbage"));
        let doing = || format!("remove {}", from.display());
        fs::rename(&from, &to).with_context(doing)?;
        remove_tree(open_folder(&files.tmp())?, OsStr::new("garbage")).io().with_context(doing)?;
    }
    Ok(())
}
