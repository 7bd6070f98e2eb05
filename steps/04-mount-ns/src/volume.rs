//! What a command line says about mounts: `--volume` and `--tmpfs`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use rustix::mount::MountAttrFlags as Attr;

use crate::mount::Mount;

/// A file or directory of the host that the container sees too: `SRC:DST[:ro|rw]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The path on the host, absolute.
    pub source: PathBuf,
    /// The path in the container, absolute.
    pub target: PathBuf,
    /// Whether the container may only read it, and all that is mounted below it.
    pub read_only: bool,
}

impl FromStr for Volume {
    type Err = Error;

    /// A relative source starts at the working directory of now, not of later.
    fn from_str(text: &str) -> Result<Volume> {
        let mut parts = text.split(':');
        let (source, target) = match (parts.next(), parts.next()) {
            (Some(source), Some(target)) if !source.is_empty() => (source, target),
            _ => bail!("volume '{text}': must be SOURCE:TARGET, with :ro to make it read-only"),
        };
        let read_only = match (parts.next(), parts.next()) {
            (None | Some("rw"), None) => false,
            (Some("ro"), None) => true,
            _ => bail!("volume '{text}': after the target only :ro or :rw may follow"),
        };
        let source = std::path::absolute(source).context("get the working directory")?;
        Ok(Volume { source, target: inside(target)?, read_only })
    }
}

impl Volume {
    /// The line of the table that this volume is.
    pub fn mount(&self) -> Mount {
        let (source, target) = (self.source.clone(), self.target.clone());
        let attributes = if self.read_only { Attr::MOUNT_ATTR_RDONLY } else { Attr::empty() };
        Mount { kind: "rbind".to_owned(), source, target, attributes, data: vec![] }
    }
}

/// A filesystem in memory, gone with the container: `PATH[:OPTIONS]`, such as `/run:size=64m,mode=1777`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// The path in the container, absolute.
    pub target: PathBuf,
    /// Options as in tmpfs(5), separated by commas. `nosuid,nodev,noexec` hold unless they say
    /// otherwise (`exec`).
    pub options: String,
}

impl FromStr for Tmpfs {
    type Err = Error;

    fn from_str(text: &str) -> Result<Tmpfs> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        Ok(Tmpfs { target: inside(target)?, options: options.to_owned() })
    }
}

impl Tmpfs {
    /// The line of the table that this tmpfs is.
    ///
    /// # Errors
    /// When the options ask for propagation other than private.
    pub fn mount(&self) -> Result<Mount> {
        let defaults = ["nosuid", "nodev", "noexec"];
        let options = defaults.into_iter().chain(self.options.split(','));
        Mount::new("tmpfs", Path::new("tmpfs"), &self.target, options)
    }
}

/// A path in the container that something can be mounted on.
fn inside(target: &str) -> Result<PathBuf> {
    let path = PathBuf::from(target);
    ensure!(path.is_absolute(), "mount target '{target}': must begin with /");
    ensure!(path.file_name().is_some(), "mount target '{target}': can't be the root itself");
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_as_docker_writes_them() {
        let volume: Volume = "/srv/data:/data:ro".parse().unwrap();
        assert_eq!(volume.source, Path::new("/srv/data"));
        assert_eq!(volume.target, Path::new("/data"));
        assert!(volume.read_only);
        assert!(!"/a:/b:rw".parse::<Volume>().unwrap().read_only);
        assert!(!"/a:/b".parse::<Volume>().unwrap().read_only);
    }

    #[test]
    fn a_relative_source_starts_here() {
        let volume: Volume = "data:/data".parse().unwrap();
        assert_eq!(volume.source, std::env::current_dir().unwrap().join("data"));
    }

    #[test]
    fn volumes_that_say_nothing_clear_are_refused() {
        for text in ["", "/a", ":/b", "/a:", "/a:b", "/a:/", "/a:/..", "/a:/b:x", "/a:/b:ro:rw"] {
            assert!(text.parse::<Volume>().is_err(), "'{text}'");
        }
    }

    #[test]
    fn a_tmpfs_is_harmless_unless_told_otherwise() {
        let mount = "/run:size=64m,exec".parse::<Tmpfs>().unwrap().mount().unwrap();
        assert_eq!(mount.attributes, Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV);
        assert_eq!(mount.data, [("size".to_owned(), Some("64m".to_owned()))]);
        assert!("/run".parse::<Tmpfs>().unwrap().mount().unwrap().data.is_empty());
    }
}
