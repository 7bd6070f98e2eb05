//! Where the store keeps what. It is an OCI image layout, with three things added:
//!
//! ```text
//! oci-layout              says that this is one
//! index.json              the images: their names, and the digests of their manifests
//! blobs/sha256/<digest>   manifests, configs and layers, each named by its content
//! layers/<chain id>       layers unpacked, ready to be an overlay's lower folders
//! tmp/                    what isn't done yet
//! lock                    held by whoever changes something
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::image::{Descriptor, ImageIndex, ImageIndexBuilder, MediaType};
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;

use crate::digest::{Digest, Hashing};
use crate::folders::OrIo;

/// The most that a manifest, a config or an index may hold.
pub(crate) const JSON: u64 = 8 << 20;

/// The store's folder.
#[derive(Debug)]
pub(crate) struct Files(PathBuf);

impl Files {
    /// Makes the store if there is none.
    pub fn open(dir: &Path) -> Result<Files> {
        let files = Files(dir.into());
        if !dir.join("oci-layout").exists() || !files.layers().exists() {
            files.make().with_context(|| format!("make the image store {}", dir.display()))?;
        }
        Ok(files)
    }

    fn make(&self) -> Result<()> {
        fs::create_dir_all(&self.0)?;
        for entry in self.0.read_dir()? {
            let known = ["blobs", "layers", "tmp", "lock", "index.json", "oci-layout"];
            let name = entry?.file_name();
            ensure!(known.iter().any(|it| name == *it), "the folder holds other things already");
        }
        // Somebody else may be at it too, and have images in the store in no time.
        let lock = self.lock_file()?;
        flock(&lock, FlockOperation::LockExclusive).io()?;
        fs::create_dir_all(self.blobs())?;
        // Layers hold other people's setuid programs. No user of this machine should reach them.
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        private.create(self.layers())?;
        private.create(self.tmp())?;
        if !self.0.join("index.json").exists() {
            self.write_images(&[], &self.tmp().join("index.json"))?;
        }
        // Last: from here on it is a store.
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        replace(&self.0.join("oci-layout"), layout, &self.tmp().join("oci-layout"))
    }

    pub fn blobs(&self) -> PathBuf {
        self.0.join("blobs/sha256")
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub fn layers(&self) -> PathBuf {
        self.0.join("layers")
    }

    pub fn layer(&self, chain: &Digest) -> PathBuf {
        self.layers().join(chain.hex())
    }

    pub fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    pub fn lock_file(&self) -> Result<File> {
        let path = self.0.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        file.with_context(|| format!("open {}", path.display()))
    }

    /// The images in the store, as `index.json` lists them.
    pub fn images(&self) -> Result<Vec<Descriptor>> {
        let path = self.0.join("index.json");
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let index: ImageIndex = serde_json::from_slice(&text).with_context(|| {
            let path = path.display();
            format!("{path} is damaged (restore it, or remove the store and load again)")
        })?;
        Ok(index.manifests().clone())
    }

    pub fn write_images(&self, images: &[Descriptor], tmp: &Path) -> Result<()> {
        let index = ImageIndexBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageIndex)
            .manifests(images)
            .build()?;
        replace(&self.0.join("index.json"), &serde_json::to_vec_pretty(&index)?, tmp)
    }

    /// Reads a manifest or a config, and makes sure that it is the one that is meant.
    pub fn json<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T> {
        let digest = digest_of(descriptor)?;
        let mut text = Vec::new();
        let mut read = || -> std::io::Result<Digest> {
            let mut reader = Hashing::new(File::open(self.blob(&digest))?.take(JSON));
            reader.read_to_end(&mut text)?;
            Ok(reader.finish().1)
        };
        let found = read().with_context(|| format!("read the blob {digest}"))?;
        ensure!(found == digest, "the blob {digest} is damaged (load its image again)");
        serde_json::from_slice(&text).with_context(|| format!("read the blob {digest}"))
    }
}

/// The digest in a descriptor.
pub(crate) fn digest_of(descriptor: &Descriptor) -> Result<Digest> {
    descriptor.digest().as_ref().parse()
}

/// Replaces a file so that after a crash there is either the old one or the new one, and whole.
fn replace(path: &Path, content: &[u8], tmp: &Path) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(tmp)?;
        file.write_all(content)?;
        file.sync_all()?; // else the name could reach the disk before the content
        fs::rename(tmp, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().with_context(|| format!("write {}", path.display()))
}
