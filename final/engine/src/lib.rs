//! Images, containers, networks: what keel knows and keeps. containerd's and libnetwork's seat.
//!
//! An [`Engine`] is a state folder ([`home`]) and what can be done with it. There is no daemon: every
//! command opens the folder, does its work under a lock, and `keel run` stays with its container
//! to the end. What a container is made of comes from the steps' libraries, by way of the runtime; what
//! this crate adds is names, records, and the care that nothing is left behind.

mod attach;
mod container;
mod files;
pub mod home;
mod images;
mod inspect;
pub mod log;
mod names;
mod options;
mod repair;
mod run;
mod spec;
mod storage;

use anyhow::{Context, Result, ensure};
use cgroups::Cgroup;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::geteuid;
use overlayfs::Change;
use serde_json::Value;
use veth_bridge::{Bridge, Network, Subnet};
use xray::Facts;

pub use container::{Container, NotFound, State};
pub use home::Home;
pub use options::Options;
pub use storage::Driver;
use storage::Storage;

/// A state folder, opened.
#[derive(Debug)]
pub struct Engine {
    home: Home,
    /// Whether the caller is an ordinary user outside, and root only in a user namespace of ours.
    rootless: bool,
}

/// What a command is going to do with the state folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Look,
    /// Make, change or remove something.
    Change,
}

/// All containers, and what is wrong with those that can't be read.
#[derive(Debug, Default)]
pub struct Containers {
    /// The newest first.
    pub list: Vec<Container>,
    /// One sentence for each damaged one.
    pub damaged: Vec<anyhow::Error>,
}

impl Engine {
    /// Opens the state folder, and clears away what killed commands have left there.
    ///
    /// An ordinary user becomes root in a user namespace to change something: a container's files
    /// may belong to nobody but root, and its namespaces need an owner. To look takes no such powers,
    /// and some views (xray's) are clearer from outside.
    ///
    /// # Errors
    /// When the folder can't be made or written; when an ordinary user may make no user namespace.
    pub fn open(home: Home, access: Access) -> Result<Engine> {
        let rootless = !geteuid().is_root();
        if rootless && access == Access::Change {
            unshare::user::become_root(&[])?;
        }
        let engine = Engine { home: home.open()?, rootless };
        if access == Access::Change || !rootless {
            engine.repair()?;
        }
        Ok(engine)
    }

    /// All containers.
    ///
    /// # Errors
    /// When the state folder can't be read. A damaged container is told of in the result.
    pub fn containers(&self) -> Result<Containers> {
        let mut containers = Containers::default();
        for id in self.home.ids()? {
            match self.read(&id) {
                Ok(container) => containers.list.push(container),
                // Just being made or removed: no record yet, or no more.
                Err(_) if self.is_marked(&id)? => {}
                // Removed since the list was made.
                Err(_) if !self.home.container(&id).exists() => {}
                Err(error) => containers.damaged.push(error),
            }
        }
        containers.list.sort_by_key(|container| std::cmp::Reverse(container.created));
        Ok(containers)
    }

    /// The container that `text` means: by its name, its id, or the first digits of that.
    ///
    /// # Errors
    /// When there is none, or more than one, or it is damaged.
    pub fn container(&self, text: &str) -> Result<Container> {
        self.read(&container::find(&self.home, text)?)
    }

    /// What a container has written, oldest first.
    ///
    /// # Errors
    /// As [`Engine::container`]; each entry, when its line is damaged.
    pub fn logs(&self, text: &str) -> Result<impl Iterator<Item = Result<log::Entry>> + use<>> {
        let container = self.container(text)?;
        log::read(&self.home.container(&container.id).join("log.json"))
    }

    /// Which files a container has added, changed and deleted.
    ///
    /// # Errors
    /// As [`Engine::container`]; when its files can't be read.
    pub fn diff(&self, text: &str) -> Result<Vec<Change>> {
        let container = self.container(text)?;
        let _frozen = self.freeze(&container)?;
        Storage::of(&self.home, &container).changes()
    }

    /// All about a container, in the form of `docker inspect`.
    ///
    /// # Errors
    /// As [`Engine::container`].
    pub fn inspect(&self, text: &str) -> Result<Value> {
        inspect::inspect(&self.home, &self.container(text)?)
    }

    /// What a running container looks like from outside.
    ///
    /// # Errors
    /// As [`Engine::container`]; when it doesn't run.
    pub fn xray(&self, text: &str) -> Result<Facts> {
        xray::observe(self.container(text)?.pid()?)
    }

    /// The network of a container for which none is asked.
    pub fn default_network(&self) -> Network {
        if self.rootless { Network::None } else { Network::Bridge }
    }

    fn require_bridge(&self) -> Result<()> {
        ensure!(
            !self.rootless,
            "--network bridge takes root, to make a network device on the host \
             (use sudo, 'cargo workshop lab', or --network none or host)"
        );
        Ok(())
    }

    fn bridge(&self) -> Result<Bridge> {
        Bridge::new("keel0", Subnet::default(), &self.home.network())
    }

    /// The record, put right where its keel has died and nobody has repaired it yet.
    fn read(&self, id: &str) -> Result<Container> {
        let mut container = Container::load(&self.home, id)?;
        if container.is_running() && !self.is_marked(id)? {
            // It may have ended between the two looks.
            container = Container::load(&self.home, id)?;
            container.assume_killed();
        }
        Ok(container)
    }

    /// Whether a living command has the container in hand.
    fn is_marked(&self, id: &str) -> Result<bool> {
        Ok(files::lock_of_another(&self.home.mark(id))?.is_some())
    }

    /// Stops a running container for as long as the result lives, if its cgroup can do that: files
    /// that don't change can be read in peace.
    fn freeze(&self, container: &Container) -> Result<Option<Frozen>> {
        let cgroup = Cgroup::open(container::cgroup(&container.id))?;
        if !container.is_running() || !cgroup.exists() {
            return Ok(None);
        }
        let frozen = Frozen::new(cgroup)?;
        frozen.cgroup.freeze()?;
        Ok(Some(frozen))
    }
}

/// A cgroup whose processes stand still, as long as this lives. What would end the caller, Ctrl-C or
/// SIGTERM, waits until they are let go on.
struct Frozen {
    cgroup: Cgroup,
    mask_before: SigSet,
}

impl Frozen {
    fn new(cgroup: Cgroup) -> Result<Frozen> {
        let ends = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
        let mut mask_before = SigSet::empty();
        let ends: SigSet = ends.into_iter().collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&ends), Some(&mut mask_before))
            .context("block signals")?;
        Ok(Frozen { cgroup, mask_before })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It exists, so it can be thawed; and a container that has ended meanwhile needs no thaw.
        let _ = self.cgroup.thaw();
        // It can't fail: the mask is one that the kernel gave.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask_before), None);
    }
}
