//! Applies layers, one after the other, to a folder: `apply-layers FOLDER LAYER…`. With `--pile` before the folder each gets a
//! folder of its own in it, `1`, `2` and so on, ready to be the lower folders of an overlay.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, Result};
use image_layers::Limits;
use image_layers::apply::{Layer, apply};
use image_layers::root::Root;

fn main() -> ExitCode {
    chroot::exit::report(run().map(|()| ExitCode::SUCCESS))
}

fn run() -> Result<()> {
    let mut words: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let pile = words.first().is_some_and(|word| word == Path::new("--pile"));
    if pile {
        words.remove(0);
    }
    let (folder, layers) =
        words.split_first().context("usage: apply-layers [--pile] FOLDER LAYER…")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let mut below: Vec<PathBuf> = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        if pile {
            let own = folder.join((index + 1).to_string());
            fs::create_dir(&own).with_context(|| format!("make {}", own.display()))?;
            Layer::read(layer, Limits::default())?.apply(Root::overlay(&own, &below)?)?;
            below.insert(0, own);
        } else {
            apply(layer, folder, Limits::default())?;
        }
    }
    Ok(())
}
