//! Lists what an upper directory changed in a stack of layers: `changes-of UPPER LAYER…`, topmost layer first.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    chroot::exit::report(run().map(|()| ExitCode::SUCCESS))
}

fn run() -> Result<()> {
    let words: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let (upper, layers) = words.split_first().context("usage: changes-of UPPER LAYER…")?;
    for change in overlayfs::changes(layers, upper)? {
        println!("{change}");
    }
    Ok(())
}
