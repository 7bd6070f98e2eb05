//! `keel run`, from the flags to the exit code.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use chroot::exit;
use image_layers::{Image, config};
use jiff::Timestamp;
use nix::unistd::{Pid, gethostname};
use runtime::{Bundle, Created, Ended};
use veth_bridge::files::Files;
use veth_bridge::{Attached, Network};

use crate::Engine;
use crate::attach::{self, Pipes};
use crate::container::{self, Container, State, short};
use crate::files::{self, Durability, Locked};
use crate::log::Log;
use crate::names;
use crate::options::Options;
use crate::spec::{self, Given, NetworkNamespace};
use crate::storage::{Driver, Storage};

impl Engine {
    // ANCHOR: run
    /// Makes a container, runs it, and stays with it until it has ended.
    ///
    /// A container that never came to run its command leaves nothing behind; one that did stays, as
    /// `keel ps -a` shows, unless it is to be removed.
    ///
    /// # Errors
    /// When it can't be made or started: [`chroot::exit::Coded`] with 127 or 126 when that is due to
    /// its command.
    pub fn run(&self, options: &Options) -> Result<Ended> {
        let image = self.image(&options.image)?;
        let network = self.network(options)?;
        let mut own = self.claim(options, &image, &network)?;

        let rootfs = own.storage().prepare()?;
        let names = Files::create(&own.folder())?;
        let bundle = own.bundle(options, &image, &names)?;
        let (theirs, pipes) = attach::pipes(options.interactive)?;
        let how = runtime::Options { stdio: Some(theirs), init: options.init };
        let created = runtime::create(&bundle, how, || rootfs.mount())?;

        let wired = own.wire(&created, options)?;
        let address = wired.as_ref().map(|wired| wired.address);
        names.fill(&own.hostname, &own.network, address)?;
        own.container.address = address;
        own.start(created, pipes, wired)
    }
    // ANCHOR_END: run

    /// The network that is asked for, with a container's name replaced by its process's pid.
    fn network(&self, options: &Options) -> Result<Network> {
        let network = options.network.clone().unwrap_or_else(|| self.default_network());
        if network == Network::Bridge {
            self.require_bridge()?;
        }
        ensure!(
            options.publish.is_empty() || network == Network::Bridge,
            "a port can't be published with --network {network} (it takes --network bridge)"
        );
        let Network::Container(other) = &network else { return Ok(network) };
        ensure!(
            !self.rootless,
            "--network container takes root: each of an ordinary user's containers is in a user namespace \
             of its own (in 'cargo workshop lab' they share one)"
        );
        let pid = self.container(other)?.pid().context("join the network")?;
        Ok(Network::Container(pid.to_string()))
    }

    /// Takes an id and a name for a new container, and makes its folder.
    ///
    /// The mark in `running/` comes first and goes last: whatever moment this process is killed at,
    /// the next command finds an unlocked mark and knows that something is left to clear away.
    fn claim(&self, options: &Options, image: &Image, network: &Network) -> Result<Claimed<'_>> {
        spec::check_limits(options)?;
        let driver = Driver::choose(&self.home)?;
        let command =
            config::command(&image.config, options.entrypoint.as_deref(), &options.command)
                .with_context(|| {
                    format!("{0} (say what to run: keel run {0} sh)", options.image)
                })?;
        if let Some(name) = &options.name {
            names::check(name)?;
        }
        let id = names::new_id()?;

        let lock = self.home.lock()?;
        self.repair_locked()?;
        let mark = files::lock(&self.home.mark(&id))?;
        let container = Container {
            name: String::new(),
            image: options.image.clone(),
            image_id: image.id.to_string(),
            command,
            created: Timestamp::now(),
            state: State::Created,
            driver,
            layers: image.layers.clone(),
            network: options.network.clone().unwrap_or_else(|| self.default_network()).to_string(),
            address: None,
            ports: options.publish.clone(),
            remove: options.remove,
            id,
        };
        let hostname = hostname(options, network, &container);
        let mut claimed = Claimed {
            engine: self,
            container,
            hostname,
            network: network.clone(),
            mark: Some(mark),
            keep: false,
        };
        let made = claimed.make(options.name.as_deref());
        // First this: to undo what was made takes the lock again.
        drop(lock);
        made.map(|()| claimed)
    }

    // ANCHOR: take-name
    /// Links a name to the container `id`. symlink(2) fails when the name is there: so no two
    /// containers can have it.
    fn take_name(&self, wanted: Option<&str>, id: &str) -> Result<String> {
        let target = Path::new("../containers").join(id);
        let mut attempt = 0;
        loop {
            let name = wanted.map_or_else(|| names::invent(attempt), |name| Ok(name.to_owned()))?;
            match symlink(&target, self.home.name(&name)) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("take the name {name}"));
                }
                Err(_) if wanted.is_some() => {
                    let owner = self.home.named(&name).unwrap_or_default();
                    bail!(
                        "the name {name} is in use by container {} ('keel rm {name}' frees it, or choose another)",
                        short(&owner)
                    );
                }
                Err(_) => attempt += 1,
            }
        }
    }
    // ANCHOR_END: take-name
}

fn hostname(options: &Options, network: &Network, container: &Container) -> String {
    let of_host = || gethostname().ok()?.into_string().ok();
    let named = options.hostname.clone();
    let shared = (*network == Network::Host).then(of_host).flatten();
    named.or(shared).unwrap_or_else(|| container.short_id().to_owned())
}

/// A container that this process has made and is alone to change. Dropping it removes all that there
/// is of it, unless it has run and is to be kept.
struct Claimed<'a> {
    engine: &'a Engine,
    container: Container,
    hostname: String,
    network: Network,
    mark: Option<Locked>,
    /// Whether it stays when this is dropped.
    keep: bool,
}

impl Claimed<'_> {
    fn folder(&self) -> PathBuf {
        self.engine.home.container(&self.container.id)
    }

    /// Takes its name, and makes its folder with the record.
    fn make(&mut self, name: Option<&str>) -> Result<()> {
        self.container.name = self.engine.take_name(name, &self.container.id)?;
        let folder = self.folder();
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        self.container.save(&self.engine.home)
    }

    fn storage(&self) -> Storage {
        Storage::of(&self.engine.home, &self.container)
    }

    /// Writes the OCI config down, and reads it as the runtime does.
    fn bundle(&self, options: &Options, image: &Image, names: &Files) -> Result<Bundle> {
        let rootfs = self.storage().rootfs();
        let network = match &self.network {
            Network::Bridge | Network::None => NetworkNamespace::Own,
            Network::Host => NetworkNamespace::Host,
            Network::Container(pid) => NetworkNamespace::Of(Pid::from_raw(pid.parse()?)),
        };
        let given = Given {
            rootfs: &rootfs,
            hostname: &self.hostname,
            command: &self.container.command,
            cgroup: container::cgroup(&self.container.id),
            network,
            files: names.volumes(),
        };
        let config = spec::runtime_config(options, &image.config, &given)?;
        let file = self.folder().join("config.json");
        files::replace_json(&file, &config, Durability::Process)?;
        Bundle::new(&self.folder(), config)
    }

    /// Connects the network of the process that waits.
    fn wire(&self, created: &Created, options: &Options) -> Result<Option<Attached>> {
        let bridge = self.engine.bridge()?;
        let id = &self.container.id;
        let wired = self.network.wire(&bridge, created.pid(), id, &options.publish)?;
        if let Some(warning) = wired.as_ref().and_then(|wired| wired.warning.as_ref()) {
            eprintln!("keel: {warning}");
        }
        Ok(wired)
    }

    // ANCHOR: start
    /// Lets it run to its end.
    fn start(mut self, created: Created, pipes: Pipes, wired: Option<Attached>) -> Result<Ended> {
        let log = Log::create(&self.folder().join("log.json"))?;
        let (pid, pid_since) = (created.pid().as_raw(), pid_ns::start_time(created.pid())?);
        let started = Timestamp::now();
        // Before its command runs: as long as this can fail, nothing has happened yet.
        self.container.state = State::Running { pid, pid_since, started };
        self.container.save(&self.engine.home)?;
        let running = created.start()?;
        self.keep = !self.container.remove;

        let (ended, rest) = attach::attach(running, pipes, log)?;
        drop(wired);
        let (code, oom_killed) = (ended.exit.code, ended.oom_killed);
        let finished = Timestamp::now();
        self.container.state = State::Exited { code, oom_killed, started, finished };
        if let Err(error) = self.finish() {
            // What counts for the caller is how the container ended.
            eprintln!("keel: {}", exit::sentence(&error));
        }
        rest.write();
        Ok(ended)
    }
    // ANCHOR_END: start

    /// Writes down how it ended, and lets go of it.
    fn finish(mut self) -> Result<()> {
        if self.keep {
            self.container.save(&self.engine.home)?;
            let _lock = self.engine.home.lock()?;
            files::remove_file(&self.engine.home.mark(&self.container.id))?;
            self.mark = None;
        }
        Ok(())
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        // What can't be done now, the next command's repair does: the mark tells it.
        if let Some(mark) = self.mark.take().filter(|_| !self.keep) {
            let _ = self.engine.discard(&self.container.id, Some(&self.container.name), mark);
        }
    }
}
