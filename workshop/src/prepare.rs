//! What the lab and the tests need on disk: the steps' binaries, and a root filesystem.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The repository: where the workspace's Cargo.toml stands.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("workshop/ stands in the repository")
}

/// The folder of this program's own binary, and of the steps' beside it.
///
/// # Errors
/// When /proc is not mounted.
pub fn bin_dir() -> Result<PathBuf> {
    let exe = env::current_exe().context("find this program's own file")?;
    let dir = exe.parent().context("find this program's own folder")?;
    // The tests' binary stands one folder deeper.
    let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    Ok(dir.to_path_buf())
}

/// Builds every binary of the workspace into [`bin_dir`], with Cargo's own progress on stderr.
///
/// With `KEEL_PREBUILT` in the environment it takes those that are there: for a machine that has no
/// Cargo, such as a virtual one that was handed the target folder.
///
/// # Errors
/// When Cargo can't be started, or the build fails: Cargo has said why.
pub fn build() -> Result<()> {
    build_binaries(false)
}

/// The same with the root filesystem, and without a word where it was done before.
///
/// # Errors
/// As [`build`] and [`rootfs`].
pub fn refresh() -> Result<()> {
    build_binaries(bin_dir()?.join("keel").exists())?;
    rootfs().map(drop)
}

fn build_binaries(quietly: bool) -> Result<()> {
    if env::var_os("KEEL_PREBUILT").is_some() {
        return Ok(());
    }
    let mut cargo = cargo_build()?;
    cargo.args(["--workspace", "--bins"]).args(quietly.then_some("--quiet"));
    let status = cargo.status().context("start cargo")?;
    ensure!(status.success(), "build the steps: cargo ended with {status}");
    Ok(())
}

/// `cargo build`, to be run in the repository, as this program itself was built. It has no input.
///
/// # Errors
/// When /proc is not mounted.
pub fn cargo_build() -> Result<Command> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).arg("build").stdin(Stdio::null());
    if bin_dir()?.ends_with("release") {
        cargo.arg("--release");
    }
    Ok(cargo)
}

/// The busybox root filesystem under the target folder, made if there is none. Returns its path.
///
/// # Errors
/// When the script fails: it has said why, and what to do.
pub fn rootfs() -> Result<PathBuf> {
    let target = bin_dir()?;
    let target = target.parent().context("find the target folder")?;
    let rootfs = target.join("rootfs");
    if rootfs.join("bin/busybox").exists() {
        return Ok(rootfs);
    }
    let script = repository().join("rootfs-scripts/busybox.sh");
    let made = Command::new(&script)
        .arg(&rootfs)
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("start {}", script.display()))?;
    // Somebody else may have made it at the same time.
    if !made.success() && !rootfs.join("bin/busybox").exists() {
        bail!("make a root filesystem: {} failed", script.display());
    }
    Ok(rootfs)
}
