//! Step 8, the container so far: own names, processes, mounts, limits, layers and network; and now its
//! files come from an image, and can become one again.

use std::io::{Write, stdout};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Error, Result};
use cgroups::{Limits, Scope};
use chroot::program::Program;
use clap::{Args, Parser, Subcommand};
use image_layers::user::User;
use image_layers::{History, Image, NotFound, Store, config};
use mount_ns::View;
use overlayfs::Overlay;
use pid_ns::Parent;
use unshare::Namespace::{self, Ipc, Mount, Pid, Uts};
use veth_bridge::files::Files;
use veth_bridge::{Bridge, Network, Port};

/// Run a command on the layers of an image.
///
/// Still the host's: its users.
#[derive(Parser)]
#[command(
    name = "step08-image-layers",
    after_help = "Example: step08-image-layers import rootfs busybox
         step08-image-layers run --upper mine busybox touch /new
         step08-image-layers commit mine busybox busybox:new"
)]
struct Step {
    /// The folder that holds the images
    #[arg(long, default_value = "store", value_name = "FOLDER", global = true)]
    store: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take the images from an archive: an OCI image layout, or what 'docker save' writes
    Load { file: PathBuf },
    /// Make an image with one layer from a rootfs
    Import { rootfs: PathBuf, name: String },
    /// List the images
    Images,
    /// Run a command on an image
    Run(Box<Run>),
    /// Make an image from another one and what was written to the folder of 'run --upper'
    Commit { upper: PathBuf, image: String, name: String },
}

#[derive(Args)]
struct Run {
    /// Keep what the command writes in this folder; without it, in memory until the command ends
    #[arg(long, value_name = "FOLDER")]
    upper: Option<PathBuf>,
    /// The network: bridge, none, host, or container:PID to share that of another container
    #[arg(long, default_value = "bridge", value_name = "NETWORK")]
    network: Network,
    /// Open a port of the host that leads to one of the container's
    #[arg(short, long, value_name = "[ADDRESS:]HOST:CONTAINER[/udp]")]
    publish: Vec<Port>,
    #[command(flatten)]
    limits: Limits,
    /// The container's own hostname
    #[arg(long, default_value = "container", value_name = "NAME")]
    hostname: String,
    /// Put a small init in front of the command: it reaps orphans and passes signals on
    #[arg(long)]
    init: bool,
    /// Run as this user of the image's /etc/passwd, in the place of the one that the image names
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    #[command(flatten)]
    view: View,
    /// The image's name, or the start of its id
    image: String,
    /// The command to run inside, with its arguments; without it, the image's own
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    chroot::exit::report(step(chroot::exit::parse()))
}

// ANCHOR: main
fn step(Step { store, command }: Step) -> Result<ExitCode> {
    let store = Store::open(&store)?;
    let mut out = stdout();
    match command {
        Command::Load { file } => {
            store.load(&file)?.iter().try_for_each(|image| writeln!(out, "{image}"))?;
        }
        Command::Import { rootfs, name } => {
            writeln!(out, "{}", store.import_rootfs(&rootfs, &name)?.id)?;
        }
        Command::Images => {
            let images = store.images()?;
            writeln!(out, "{}", image_layers::HEADINGS)?;
            images.iter().try_for_each(|image| writeln!(out, "{image}"))?;
        }
        Command::Run(run) => return container(find(&store, &run.image)?, *run),
        Command::Commit { upper, image, name } => {
            let (image, upper) = (find(&store, &image)?, upper.join("upper"));
            let changes = overlayfs::changes(&image.layers, &upper)?;
            let (name, history) = (name.parse()?, History::default());
            let new = store.commit(&image, &upper, &changes, Some(name), history, |_| ())?;
            writeln!(out, "{}", new.id)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
// ANCHOR_END: main

fn find(store: &Store, image: &str) -> Result<Image> {
    store.find(image).map_err(|error| match error.downcast_ref::<NotFound>() {
        Some(_) => Error::msg(format!("{error} (load it with 'step08-image-layers load FILE')")),
        None => error,
    })
}

fn container(image: Image, run: Run) -> Result<ExitCode> {
    let Run { upper, network, publish, limits, hostname, init, user, mut view, command, .. } = run;
    let args = config::command(&image.config, None, &command)?;
    let user = user.as_deref().unwrap_or(config::user(&image.config));
    let cwd = config::working_dir(&image.config);
    let rootfs = &image.layers[0];
    let kept = upper.map(|folder| Overlay::in_folder(&image.layers, &folder)).transpose()?;
    let cgroup = Scope::new(&limits)?;
    view.cgroup = cgroup.exists();
    let files = Files::temporary()?; // /etc/hosts, /etc/hostname, /etc/resolv.conf
    view.volumes.splice(..0, files.volumes());

    let namespaces: Vec<_> =
        [Uts, Ipc, Pid, Mount].into_iter().chain(network.namespace()).collect();
    let birthplace = cgroup.birthplace()?;
    let born_in = birthplace.as_ref().map(AsFd::as_fd);
    let parent = Parent::this()?;
    let container = pid_ns::spawn_into(born_in, &namespaces, || {
        cgroup.join()?;
        unshare::leave(&[Namespace::Cgroup])?;
        unshare::set_hostname(&hostname)?;
        network.join()?;
        // On top of the uppermost layer: covered in here, and outside as it was.
        mount_ns::make_private()?;
        match &kept {
            Some(overlay) => overlay.mount(rootfs)?,
            None => overlayfs::mount_in_memory(&image.layers, rootfs)?,
        }
        config::make_working_dir(rootfs, &cwd)?;
        mount_ns::pivot_into(rootfs, &view)?;
        if init {
            pid_ns::become_init()?;
        }
        // Who that is stands in the image's own /etc/passwd, and that is here now.
        let user = User::resolve(Path::new("/"), user)?;
        let env = config::environment(&image.config, &user, &[]);
        user.switch_to()?;
        parent.take_me_along()?; // the kernel forgets that when the user changes
        Program { args, env, cwd }.exec()
    })?;

    // The child waits. Only from here can its cable be plugged in, and its address is known only now.
    let pid = container.pid();
    let attached = network.wire(&Bridge::standard()?, pid, &pid.to_string(), &publish)?;
    if let Some(warning) = attached.as_ref().and_then(|attached| attached.warning.as_ref()) {
        eprintln!("{warning}");
    }
    files.fill(&hostname, &network, attached.as_ref().map(|attached| attached.address))?;
    Ok(container.release()?.wait()?.into())
}
