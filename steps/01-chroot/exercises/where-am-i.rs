//! Enters a rootfs and says where that leaves the process, before any exec could change it.

use std::path::Path;
use std::{env, fs, io};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let rootfs = env::args().nth(1).context("name a rootfs")?;
    let before = env::current_dir()?;
    chroot::enter(Path::new(&rootfs))?;
    match env::current_dir() {
        Ok(path) => println!("working directory: {}", path.display()),
        // getcwd(2): ENOENT, when it is not below the root directory.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let at_the_top = fs::exists("lab/rootfs").unwrap_or(false);
            let place = if at_the_top { "the host's /" } else { "where it was" };
            println!("working directory: outside of the root directory, {place}");
        }
        Err(error) => return Err(error.into()),
    }
    // From the old working directory as many times up as it was deep.
    let up = "../".repeat(before.components().count() - 1);
    let out = fs::exists(Path::new(&up).join("lab/rootfs")).unwrap_or(false);
    println!("'..' leads to the host: {}", if out { "yes" } else { "no" });
    Ok(())
}
