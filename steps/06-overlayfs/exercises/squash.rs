//! Makes one layer of several: `squash OUT LAYER…`, topmost layer first.
//!
//! OUT says about any layer below just what the LAYERs say together. So it can be put in their place, as `docker build
//! --squash` does. Files are hard links to the layers' own: no layer is ever changed, so they may share them.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use overlayfs::stack;

fn main() -> ExitCode {
    chroot::exit::report(run().map(|()| ExitCode::SUCCESS))
}

fn run() -> Result<()> {
    let words: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let (out, layers) = words.split_first().context("usage: squash OUT LAYER…")?;
    let top = layers.first().context("no layer to squash")?;
    ensure!(top.is_dir(), "{} is not a directory", top.display());
    fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    squash(layers, out)?;
    like(&fs::metadata(top)?, out)
}

/// Fills the folder `out` with what the merged folders `dirs`, topmost first, say of each name.
///
/// # Errors
/// When a layer can't be read, or `out` lies on another filesystem than they.
fn squash(dirs: &[PathBuf], out: &Path) -> Result<()> {
    for name in stack::names(dirs)? {
        let target = out.join(&name);
        match stack::look_up(dirs, &name)? {
            // Not there, because of a whiteout: below these layers there may be something that it must go on hiding.
            None => stack::make_whiteout(&target)?,
            Some(shown) if shown.metadata.is_dir() => {
                fs::create_dir(&target).with_context(|| format!("make {}", target.display()))?;
                squash(&shown.dirs, &target)?;
                if hides_below(dirs, &name)? {
                    stack::make_opaque(&target)?;
                }
                like(&shown.metadata, &target)?;
            }
            // link(2) doesn't follow a symbolic link; owner, mode and attributes are the file's own, whatever its name.
            Some(shown) => fs::hard_link(&shown.path, &target).with_context(|| {
                format!("link {} to {}", target.display(), shown.path.display())
            })?,
        }
    }
    Ok(())
}

/// Whether the folder that `dirs` show under `name` hides what lies below all of them: one of its parts is opaque, or the
/// search for more of them ended at a whiteout or at something that is no folder.
///
/// # Errors
/// When a layer can't be read.
fn hides_below(dirs: &[PathBuf], name: &OsStr) -> Result<bool> {
    for path in dirs.iter().map(|dir| dir.join(name)) {
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            found => found.with_context(|| format!("stat {}", path.display()))?,
        };
        if !metadata.is_dir() || stack::is_opaque(&path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives a folder the owner, the mode and the time of another.
fn like(metadata: &Metadata, folder: &Path) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        lchown(folder, Some(metadata.uid()), Some(metadata.gid()))?;
        fs::set_permissions(folder, Permissions::from_mode(metadata.mode() & 0o7777))?;
        fs::File::open(folder)?.set_modified(metadata.modified()?)
    };
    copy().with_context(|| format!("set owner, mode and time of {}", folder.display()))
}
