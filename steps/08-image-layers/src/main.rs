//! Step 8, the container so far: own names, processes, mounts, limits and network; and now its files
//! come from an image.

use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use anyhow::{Context, Error, Result};
use cgroups::{Cgroup, Limits};
use chroot::program::Program;
use clap::{Args, Parser};
use image_layers::user::User;
use image_layers::{History, Image, Loaded, NotFound, Store, config};
use mount_ns::{View, Volume};
use overlayfs::Overlay;
use pid_ns::Exit;
use unshare::Namespace::{self, Ipc, Mount, Pid, Uts};
use veth_bridge::{Bridge, Network, Port};

// ANCHOR: args
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

#[derive(clap::Subcommand)]
enum Command {
    /// Take the images from an archive: an OCI image layout, or what 'docker save' writes
    Load { file: PathBuf },
    /// Make an image with one layer from a rootfs
    Import { rootfs: PathBuf, name: String },
    /// List the images
    Images,
    /// Run a command on an image
    Run(Run),
    /// Make an image from another one and what was written to the folder of 'run --upper'
    Commit { upper: PathBuf, image: String, name: String },
}

#[derive(Args)]
struct Run {
    /// Keep what the command writes in this folder; without it, in memory until the command ends
    #[arg(long, value_name = "FOLDER")]
    upper: Option<PathBuf>,
    #[command(flatten)]
    limits: Limits,
    /// The container's own hostname
    #[arg(long, default_value = "container", value_name = "NAME")]
    hostname: String,
    /// Put a small init in front of the command: it reaps orphans and passes signals on
    #[arg(long)]
    init: bool,
    /// Show a file or folder of the host inside; :ro makes it read-only, with all mounts below it
    #[arg(short, long = "volume", value_name = "SOURCE:TARGET[:ro]")]
    volumes: Vec<Volume>,
    /// The network: bridge, none, host, or container:PID
    #[arg(long, default_value = "bridge", value_name = "NETWORK")]
    network: Network,
    /// Open a port of the host that leads to one of the container's
    #[arg(short, long, value_name = "[ADDRESS:]HOST:CONTAINER[/udp]")]
    publish: Vec<Port>,
    /// Run as this user of the image's /etc/passwd, in the place of the image's own
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The image, as 'images' lists it
    image: String,
    /// The command in the place of the image's own, with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}
// ANCHOR_END: args

// ANCHOR: main
fn main() -> ExitCode {
    chroot::exit::report(step(Step::parse()))
}

fn step(Step { store, command }: Step) -> Result<ExitCode> {
    let store = Store::open(&store)?;
    match command {
        Command::Load { file } => {
            for image in store.load(&file)? {
                println!("{image}");
                note(&image);
            }
        }
        Command::Import { rootfs, name } => {
            let image = store.import_rootfs(&rootfs, &name)?;
            println!("{}", image.id);
            note(&image);
        }
        Command::Images => {
            println!("{:<20} {:<10} {:<14} {:>8}", "REPOSITORY", "TAG", "IMAGE ID", "SIZE");
            for image in store.images()? {
                println!("{image}");
            }
        }
        Command::Run(run) => return limited(find(&store, &run.image)?, run).map(ExitCode::from),
        Command::Commit { upper, image, name } => {
            let image = find(&store, &image)?;
            let upper = upper.join("upper");
            let changes = overlayfs::changes(&image.layers, &upper)?;
            let name = Some(name.parse()?);
            let new = store.commit(&image, &upper, &changes, name, History::default(), |_| ())?;
            println!("{}", new.id);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what an ordinary user's image lacks.
fn note(image: &Loaded) {
    if !image.skipped.is_none() {
        eprintln!("left out, for want of privileges: {}", image.skipped);
    }
}

fn find(store: &Store, image: &str) -> Result<Image> {
    store.find(image).map_err(|error| match error.downcast_ref::<NotFound>() {
        Some(_) => Error::msg(format!("{error} (load it with 'step08-image-layers load FILE')")),
        None => error,
    })
}

/// Makes the cgroup, and removes it again however the container's life goes.
fn limited(image: Image, run: Run) -> Result<Exit> {
    if run.limits.is_none() {
        return container(image, run, None);
    }
    let mut cgroup = Cgroup::create(&format!("step08-{}", process::id()))?;
    let ended = cgroup.limit(&run.limits).and_then(|()| container(image, run, Some(&cgroup)));
    cgroup.remove()?;
    ended
}

fn container(image: Image, run: Run, cgroup: Option<&Cgroup>) -> Result<Exit> {
    let args = config::command(&image.config, None, &run.command)?;
    let user = run.user.as_deref().unwrap_or(config::user(&image.config));
    let cwd = config::working_dir(&image.config);
    let view = View { volumes: run.volumes, cgroup: cgroup.is_some(), ..View::default() };
    let rootfs = image.layers[0].clone();
    let kept = run.upper.map(|folder| Overlay::in_folder(&image.layers, &folder)).transpose()?;

    let namespaces: Vec<Namespace> =
        [Uts, Ipc, Pid, Mount].into_iter().chain(run.network.namespace()).collect();
    let container = pid_ns::spawn(&namespaces, || {
        cgroup.map_or(Ok(()), Cgroup::join)?;
        unshare::leave(&[Namespace::Cgroup])?; // after the join: this cgroup becomes its root
        unshare::set_hostname(&run.hostname)?;
        run.network.join()?;

        mount_ns::make_private()?;
        match &kept {
            Some(overlay) => overlay.mount(&rootfs)?,
            None => overlayfs::mount_in_memory(&image.layers, &rootfs)?,
        }
        config::make_working_dir(&rootfs, &cwd)?;
        mount_ns::pivot_into(&rootfs, &view)?;
        if run.init {
            pid_ns::become_init()?;
        }
        let user = User::resolve(Path::new("/"), user)?;
        user.switch_to()?;
        Program { args: args.clone(), env: config::environment(&image.config, &user, &[]), cwd }
            .exec()
    })?;
    let owner = format!("step08-{}", container.pid());
    let _attached =
        run.network.wire(&Bridge::standard()?, container.pid(), &owner, &run.publish)?;
    container.release()?.wait().context("wait for the container")
}
// ANCHOR_END: main
