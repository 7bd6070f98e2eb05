//! keel-runtime: an OCI bundle becomes a process. The engine uses the library; this is for trying a
//! `config.json` by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use runtime::{Bundle, Options};

/// Run a container from an OCI bundle: a folder with a config.json and a rootfs.
#[derive(Parser)]
#[command(name = "keel-runtime")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a container, start it, and wait for its end
    Run {
        /// The folder with config.json
        #[arg(default_value = ".")]
        bundle: PathBuf,
        /// Put a small init in front of the command: it reaps orphans and passes signals on
        #[arg(long)]
        init: bool,
    },
}

fn main() -> ExitCode {
    chroot::exit::report(container(chroot::exit::parse()))
}

fn container(args: Args) -> Result<ExitCode> {
    let Command::Run { bundle, init } = args.command;
    let bundle = Bundle::load(&bundle)?;
    let created = runtime::create(&bundle, Options { stdio: None, init }, || Ok(()))?;
    let ended = created.start()?.wait()?;
    Ok(ended.exit.into())
}
