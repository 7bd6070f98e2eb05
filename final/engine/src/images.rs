//! Images: step 8's store, with the engine's words around it.

use std::io;
use std::path::Path;

use anyhow::{Context, Error, Result};
use image_layers::{Digest, History, Image, Loaded, NotFound, Reference, Store, Summary};

use crate::Engine;
use crate::storage::Storage;

impl Engine {
    /// Makes an image called `name` of the folder `rootfs`. Returns its id.
    ///
    /// # Errors
    /// When there is no such folder, it is empty, or can't be read.
    pub fn import(&self, rootfs: &Path, name: &str) -> Result<Digest> {
        chroot::require_rootfs(rootfs)?;
        let loaded = self.store()?.import_rootfs(rootfs, name)?;
        tell_of_skipped(&loaded);
        Ok(loaded.id)
    }

    /// Takes the images out of an archive, or of standard input. Returns their names, and the id of
    /// one that has none.
    ///
    /// # Errors
    /// When it is no archive of images, or is damaged: then nothing has changed.
    pub fn load(&self, archive: Option<&Path>) -> Result<Vec<String>> {
        let store = self.store()?;
        let loaded = match archive {
            Some(path) => store.load(path)?,
            None => store.load_from(io::stdin().lock())?,
        };
        loaded.iter().for_each(tell_of_skipped);
        let names = |loaded: &Loaded| match loaded.names.as_slice() {
            [] => vec![loaded.id.to_string()],
            names => names.iter().map(Reference::to_string).collect(),
        };
        Ok(loaded.iter().flat_map(names).collect())
    }

    /// All images, the newest first.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn images(&self) -> Result<Vec<Summary>> {
        self.store()?.images()
    }

    /// Makes an image of what `text`, a container, has made of its own. Returns its id.
    ///
    /// # Errors
    /// When there is no such container, or its image is gone.
    pub fn commit(&self, text: &str, name: Option<&str>) -> Result<Digest> {
        let name = name.map(str::parse).transpose()?;
        let container = self.container(text)?;
        let base = self.image(&container.image_id)?;
        let storage = Storage::of(&self.home, &container);
        let mut history = History::default();
        history.set_created_by(Some(container.command.join(" ")));
        let _frozen = self.freeze(&container)?;
        let changes = storage.changes()?;
        let store = self.store()?;
        let made = store.commit(&base, &storage.changed(), &changes, name, history, |_| {})?;
        Ok(made.id)
    }

    /// The image that `text` means, by its name or id.
    pub(crate) fn image(&self, text: &str) -> Result<Image> {
        self.store()?.find(text).map_err(|error| match error.downcast_ref() {
            Some(NotFound(name)) => Error::msg(format!(
                "no image '{name}' ('keel images' lists them; 'keel import ROOTFS {text}' or 'keel load FILE' brings one in)"
            )),
            None => error,
        })
    }

    fn store(&self) -> Result<Store> {
        Store::open(&self.home.images()).context("the images")
    }
}

/// Layers that were unpacked without root's powers may lack something. Better to hear it now.
fn tell_of_skipped(loaded: &Loaded) {
    if !loaded.skipped.is_none() {
        eprintln!("keel: left out, since it takes root to make them: {}", loaded.skipped);
    }
}
