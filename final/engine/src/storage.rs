//! How a container gets its rootfs: an overlay on its image's layers, or a copy of them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};
use chroot::exit::{self, Coded};
use overlayfs::{Change, Overlay};
use serde::{Deserialize, Serialize};
use unshare::Namespace;

use crate::container::Container;
use crate::files::{self, Durability};
use crate::home::Home;

/// How rootfs are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A copy-on-write view on the image's layers.
    Overlay,
    /// A full copy of them for each container: slow, but it works everywhere.
    Vfs,
}

impl Driver {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Overlay => "overlay",
            Driver::Vfs => "vfs",
        }
    }

    fn parse(text: &str) -> Option<Driver> {
        [Driver::Overlay, Driver::Vfs].into_iter().find(|driver| driver.name() == text.trim())
    }

    /// The driver for new containers: what `KEEL_STORAGE` says; else what was found out when `home`
    /// was first used.
    ///
    /// # Errors
    /// When KEEL_STORAGE names none, or the finding can't be kept.
    pub(crate) fn choose(home: &Home) -> Result<Driver> {
        if let Some(name) = env::var_os("KEEL_STORAGE").filter(|name| !name.is_empty()) {
            let name = name.to_string_lossy();
            return Driver::parse(&name)
                .with_context(|| format!("KEEL_STORAGE={name}: must be overlay or vfs"));
        }
        let file = home.driver();
        if let Some(driver) = fs::read_to_string(&file).ok().and_then(|text| Driver::parse(&text)) {
            return Ok(driver);
        }
        let driver = match probe(home.path())? {
            Ok(()) => Driver::Overlay,
            Err(error) => {
                eprintln!(
                    "keel: each container gets a full copy of its image, for lack of an overlay: {}",
                    exit::sentence(&error)
                );
                Driver::Vfs
            }
        };
        files::replace(&file, format!("{}\n", driver.name()).as_bytes(), Durability::Process)?;
        Ok(driver)
    }
}

/// Tries to mount an overlay with its upper directory below `folder`, in a mount namespace that ends
/// with the attempt. The inner result is the attempt's.
fn probe(folder: &Path) -> Result<Result<()>> {
    let scratch = folder.join(format!(".probe.{}", process::id()));
    let attempt = try_overlay(&scratch);
    files::remove_folder(&scratch)?;
    attempt
}

// ANCHOR: try-overlay
fn try_overlay(scratch: &Path) -> Result<Result<()>> {
    let (lower, target) = (scratch.join("lower"), scratch.join("target"));
    for folder in [&lower, &target] {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let overlay = Overlay::in_folder(&[lower], scratch)?;
    let attempt = pid_ns::spawn(&[Namespace::Mount], || {
        mount_ns::make_private()?;
        overlay.mount(&target)?;
        // There is nothing to execute. Success too goes to the parent as a message, with code 0.
        Err(Coded { code: 0, message: "mounted".to_owned() }.into())
    })?;
    match attempt.release() {
        Err(error) if exit::code(&error) == 0 => Ok(Ok(())),
        Err(error) => Ok(Err(error)),
        Ok(_) => bail!("probe the overlay: unexpected end"),
    }
}
// ANCHOR_END: try-overlay

/// A container's rootfs.
#[derive(Debug)]
pub(crate) struct Storage {
    driver: Driver,
    layers: Vec<PathBuf>,
    folder: PathBuf,
    /// Whether the container's changes go when it ends.
    passing: bool,
}

impl Storage {
    pub(crate) fn of(home: &Home, container: &Container) -> Storage {
        Storage {
            driver: container.driver,
            layers: container.layers.clone(),
            folder: home.container(&container.id),
            passing: container.remove,
        }
    }

    /// Where the rootfs is, or will be mounted.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// What can be done before the container's process exists. The result is to be mounted in there.
    pub(crate) fn prepare(&self) -> Result<Prepared> {
        let rootfs = self.rootfs();
        fs::create_dir(&rootfs).with_context(|| format!("make {}", rootfs.display()))?;
        let overlay = match self.driver {
            Driver::Overlay => Some(Overlay::in_folder(&self.layers, &self.folder)?),
            Driver::Vfs => {
                overlayfs::copy_layers(&self.layers, &rootfs)?;
                None
            }
        };
        Ok(Prepared { overlay, rootfs, volatile: self.passing })
    }

    /// The folder that holds the files which [`Storage::changes`] tells of.
    pub(crate) fn changed(&self) -> PathBuf {
        match self.driver {
            Driver::Overlay => self.folder.join("upper"),
            Driver::Vfs => self.rootfs(),
        }
    }

    /// What the container has done to its files.
    pub(crate) fn changes(&self) -> Result<Vec<Change>> {
        match self.driver {
            Driver::Overlay => overlayfs::changes(&self.layers, &self.changed()),
            Driver::Vfs => overlayfs::changes_by_walk(&self.layers, &self.changed()),
        }
    }
}

/// A rootfs that only needs to be mounted.
#[derive(Debug)]
pub(crate) struct Prepared {
    overlay: Option<Overlay>,
    rootfs: PathBuf,
    volatile: bool,
}

impl Prepared {
    /// Mounts it, in the caller's mount namespace: the container's own.
    pub(crate) fn mount(&self) -> Result<()> {
        let mounted = match &self.overlay {
            Some(overlay) if self.volatile => overlay.mount_volatile(&self.rootfs),
            Some(overlay) => overlay.mount(&self.rootfs),
            None => return Ok(()),
        };
        mounted.context("stack the image's layers (KEEL_STORAGE=vfs does it by copying)")
    }
}
