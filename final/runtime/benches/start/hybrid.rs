//! A view of the cgroups for those who can't stand two versions at once.
//!
//! crun refuses a hybrid host on which version 2 has controllers. So there it is shown the
//! hierarchies of version 1 alone, in a mount namespace that nobody else is in.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::contestant::in_thread;

const CGROUPS: &str = "/sys/fs/cgroup";
const UNIFIED: &str = "unified";

/// A mount namespace, held open.
pub struct World(File);

impl World {
    /// One in which version 2 is not to be seen; `None` where it needs no hiding.
    ///
    /// # Errors
    /// When something can't be mounted.
    pub fn without_unified() -> Result<Option<Arc<World>>> {
        let controllers = Path::new(CGROUPS).join(UNIFIED).join("cgroup.controllers");
        if fs::read_to_string(controllers).unwrap_or_default().trim().is_empty() {
            return Ok(None);
        }
        let world = in_thread(make).context("show cgroups of version 1 alone")?;
        Ok(Some(Arc::new(World(world))))
    }

    /// Does some work in it.
    ///
    /// # Errors
    /// Those of the work.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_thread(|| {
            // setns(2): not as long as the working directory is shared with other threads.
            unshare(CloneFlags::CLONE_FS).context("unshare the working directory")?;
            setns(&self.0, CloneFlags::CLONE_NEWNS).context("enter a mount namespace")?;
            work()
        })
    }
}

/// Makes it around the calling thread.
fn make() -> Result<File> {
    unshare(CloneFlags::CLONE_NEWNS).context("unshare mnt")?;
    let none = None::<&str>;
    let place = Path::new("/tmp/cgroups");
    fs::create_dir(place).context("make a folder")?;
    mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), none).context("mount a tmpfs")?;
    for entry in fs::read_dir(CGROUPS).context("read the hierarchies")? {
        let entry = entry.context("read the hierarchies")?;
        if entry.file_name() != UNIFIED && entry.file_type()?.is_dir() {
            let target = place.join(entry.file_name());
            fs::create_dir(&target).context("make a folder")?;
            mount(Some(&entry.path()), &target, none, MsFlags::MS_BIND, none)
                .with_context(|| format!("bind {}", entry.path().display()))?;
        }
    }
    mount(Some(place), CGROUPS, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .context("bind the hierarchies")?;
    File::open("/proc/thread-self/ns/mnt").context("open the mount namespace")
}
