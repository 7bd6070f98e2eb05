//! Where everything is.
//!
//! ```text
//! KEEL_ROOT/
//!   lock               held while containers, names or marks change
//!   driver             how rootfs are stacked here: overlay or vfs
//!   images/            the images' store (step 8)
//!   network/           the leases of addresses (step 7)
//!   names/NAME         a link to the container of that name
//!   running/ID         a mark, locked as long as the `keel run` of that container lives
//!   containers/ID/
//!     container.json   what keel knows of it
//!     config.json      what its process was made from, an OCI runtime config
//!     upper/ work/     its changes, and the overlay's workshop
//!     rootfs/          where the overlay is mounted, in the container's own mount namespace: empty
//!                      from outside. With the vfs driver, the copied files.
//!     hosts hostname resolv.conf
//!     log.json         what it wrote
//! ```

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use crate::files::{self, Locked};

/// The state folder.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// `$KEEL_ROOT`; else /var/lib/keel for root, and the data folder for anybody else.
    ///
    /// # Errors
    /// When there is neither KEEL_ROOT nor HOME.
    pub fn standard() -> Result<Home> {
        let from = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty());
        let of_user = || {
            let data = from("XDG_DATA_HOME").map(PathBuf::from);
            data.or_else(|| Some(PathBuf::from(from("HOME")?).join(".local/share")))
        };
        let root = match from("KEEL_ROOT") {
            Some(root) => std::path::absolute(root).context("KEEL_ROOT")?,
            None if geteuid().is_root() => "/var/lib/keel".into(),
            None => of_user().context("no home folder: set KEEL_ROOT to a folder")?.join("keel"),
        };
        Ok(Home(root))
    }

    /// Makes the folders that aren't there yet.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn open(self) -> Result<Home> {
        // For nobody else: an image's set-user-ID programs must not be within other users' reach.
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(&self.0).with_context(|| {
            format!("make {} (set KEEL_ROOT to a folder of your own)", self.0.display())
        })?;
        for part in ["containers", "names", "running"] {
            let folder = self.0.join(part);
            private.create(&folder).with_context(|| format!("make {}", folder.display()))?;
        }
        Ok(self)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    pub(crate) fn network(&self) -> PathBuf {
        self.0.join("network")
    }

    pub(crate) fn driver(&self) -> PathBuf {
        self.0.join("driver")
    }

    pub(crate) fn names(&self) -> PathBuf {
        self.0.join("names")
    }

    pub(crate) fn name(&self, name: &str) -> PathBuf {
        self.names().join(name)
    }

    pub(crate) fn marks(&self) -> PathBuf {
        self.0.join("running")
    }

    pub(crate) fn mark(&self, id: &str) -> PathBuf {
        self.marks().join(id)
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.0.join("containers")
    }

    pub(crate) fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// Waits until no other keel changes anything, and keeps others waiting as long as the result
    /// lives.
    pub(crate) fn lock(&self) -> Result<Locked> {
        files::lock(&self.0.join("lock"))
    }

    /// The id of the container called `name`.
    pub(crate) fn named(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.name(name)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// The name of the container `id`: for one whose own record can't tell.
    pub(crate) fn name_of(&self, id: &str) -> Result<Option<String>> {
        let names = list(&self.names())?;
        Ok(names.into_iter().find(|name| self.named(name).as_deref() == Some(id)))
    }

    /// The ids of all containers.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        list(&self.containers())
    }
}

/// The names of the files in `folder`; none when it isn't there.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("read {}", folder.display()))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("read {}", folder.display()))?.file_name();
        // A file that is being written. See `files::replace`.
        if !name.as_bytes().starts_with(b".") {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
