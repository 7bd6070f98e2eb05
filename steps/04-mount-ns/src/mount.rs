//! Mounts as data: one line of a table says what is mounted where, and how.
//!
//! The words are those of mount(8), of fstab(5) and of the `mounts` of an OCI config: a kind of
//! filesystem, a source, a target, options. So the same lines serve the defaults below, the flags
//! of a command line, and a runtime that is handed a list.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rustix::mount::MountAttrFlags as Attr;

// ANCHOR: default-mounts
/// What every container sees, as Docker's default (moby, `daemon/pkg/oci/defaults.go`): kind,
/// source, target, options. The order is that of the paths: /dev before what lies in it.
pub const DEFAULT: [(&str, &str, &str, &str); 6] = [
    ("proc", "proc", "/proc", "nosuid,nodev,noexec"),
    // Read-only: through a writable /sys, root inside reconfigures the machine's devices.
    ("sysfs", "sysfs", "/sys", "ro,nosuid,nodev,noexec"),
    // Not nodev: the device nodes are made in here.
    ("tmpfs", "tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k"),
    // Every mount of devpts is a new one, with its own terminals. Group 5 is tty, as in /etc/group.
    ("devpts", "devpts", "/dev/pts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("tmpfs", "shm", "/dev/shm", "nosuid,nodev,noexec,mode=1777,size=65536k"),
    ("mqueue", "mqueue", "/dev/mqueue", "nosuid,nodev,noexec"),
];
// ANCHOR_END: default-mounts

/// The mounts of [`DEFAULT`].
///
/// # Errors
/// When a line of the table is wrong; a test reads them all.
pub fn defaults() -> Result<Vec<Mount>> {
    DEFAULT
        .iter()
        .map(|(kind, source, target, options)| {
            Mount::new(kind, source.as_ref(), target.as_ref(), options.split(','))
        })
        .collect()
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// A kind of filesystem out of /proc/filesystems; or `bind` for what `source` already shows; or
    /// `rbind` for that and all that is mounted below it.
    pub kind: String,
    /// For a bind, a path on the host; for a filesystem without a device, only a name to be shown.
    pub source: PathBuf,
    /// Where it goes, as the container sees it.
    pub target: PathBuf,
    /// What holds for this mount whatever filesystem it shows: read-only, nosuid, nodev, noexec, ….
    pub attributes: Attr,
    /// What only this kind of filesystem understands: name, and value if it has one.
    pub data: Vec<(String, Option<String>)>,
}

/// The words of mount(8) for attributes: the word, and what it adds (`true`) or takes away again.
const ATTRIBUTES: [(&str, bool, Attr); 17] = [
    ("ro", true, Attr::MOUNT_ATTR_RDONLY),
    ("rro", true, Attr::MOUNT_ATTR_RDONLY),
    ("rw", false, Attr::MOUNT_ATTR_RDONLY),
    ("nosuid", true, Attr::MOUNT_ATTR_NOSUID),
    ("suid", false, Attr::MOUNT_ATTR_NOSUID),
    ("nodev", true, Attr::MOUNT_ATTR_NODEV),
    ("dev", false, Attr::MOUNT_ATTR_NODEV),
    ("noexec", true, Attr::MOUNT_ATTR_NOEXEC),
    ("exec", false, Attr::MOUNT_ATTR_NOEXEC),
    ("noatime", true, Attr::MOUNT_ATTR_NOATIME),
    ("atime", false, Attr::MOUNT_ATTR_NOATIME),
    ("strictatime", true, Attr::MOUNT_ATTR_STRICTATIME),
    ("relatime", false, Attr::MOUNT_ATTR__ATIME),
    ("nodiratime", true, Attr::MOUNT_ATTR_NODIRATIME),
    ("diratime", false, Attr::MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", true, Attr::MOUNT_ATTR_NOSYMFOLLOW),
    ("symfollow", false, Attr::MOUNT_ATTR_NOSYMFOLLOW),
];

/// Words that ask for what is done anyway.
const DONE_ANYWAY: [&str; 4] = ["", "defaults", "private", "rprivate"];

/// Words that ask for mounts to travel between host and container.
const PROPAGATION: [&str; 6] =
    ["shared", "rshared", "slave", "rslave", "unbindable", "runbindable"];

impl Mount {
    /// Reads a list of options, as in fstab(5) or an OCI config. Of two that contradict each other,
    /// the later one holds. What isn't an attribute of any mount is left to the filesystem.
    ///
    /// # Errors
    /// When an option asks for propagation other than private.
    pub fn new<'a>(
        kind: &str,
        source: &Path,
        target: &Path,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Result<Mount> {
        let mut mount = Mount {
            kind: kind.to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            attributes: Attr::empty(),
            data: Vec::new(),
        };
        for option in options {
            if let Some((_, add, attribute)) = ATTRIBUTES.iter().find(|(word, ..)| *word == option)
            {
                // The access-time attributes are values of one field: a new one replaces the old.
                if Attr::MOUNT_ATTR__ATIME.contains(*attribute) {
                    mount.attributes.remove(Attr::MOUNT_ATTR__ATIME);
                }
                mount.attributes.set(*attribute, *add);
            } else if option == "bind" || option == "rbind" {
                mount.kind = option.to_owned();
            } else if !DONE_ANYWAY.contains(&option) {
                ensure!(
                    !PROPAGATION.contains(&option),
                    "mount option {option}: not supported, every mount of a container is private"
                );
                mount.data.push(match option.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (option.to_owned(), None),
                });
            }
        }
        Ok(mount)
    }

    /// Whether this shows what is already mounted elsewhere, rather than a filesystem of its own.
    pub fn is_bind(&self) -> bool {
        self.kind == "bind" || self.kind == "rbind"
    }

    /// Whether the filesystem's own option `name` is given.
    pub fn has(&self, name: &str) -> bool {
        self.data.iter().any(|(given, _)| given == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Mount {
        Mount::new("tmpfs", "tmpfs".as_ref(), "/run".as_ref(), text.split(',')).unwrap()
    }

    #[test]
    fn the_default_table_can_be_read() {
        let mounts = defaults().unwrap();
        assert_eq!(mounts.len(), DEFAULT.len());
        assert!(mounts[1].attributes.contains(Attr::MOUNT_ATTR_RDONLY), "/sys is read-only");
        assert!(!mounts[2].attributes.contains(Attr::MOUNT_ATTR_NODEV), "/dev has devices");
    }

    #[test]
    fn attributes_and_the_filesystems_own_options_are_told_apart() {
        let mount = options("nosuid,size=64m,ro,huge");
        assert_eq!(mount.attributes, Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_RDONLY);
        assert_eq!(
            mount.data,
            [("size".to_owned(), Some("64m".to_owned())), ("huge".to_owned(), None)]
        );
    }

    #[test]
    fn the_later_word_holds() {
        assert_eq!(options("noexec,exec").attributes, Attr::empty());
        assert_eq!(options("rw,ro").attributes, Attr::MOUNT_ATTR_RDONLY);
        assert_eq!(options("noatime,strictatime").attributes, Attr::MOUNT_ATTR_STRICTATIME);
    }

    #[test]
    fn bind_is_a_kind_wherever_it_is_said() {
        let mount = Mount::new("none", "/a".as_ref(), "/b".as_ref(), ["rbind", "rro", "rprivate"]);
        let mount = mount.unwrap();
        assert!(mount.is_bind() && mount.data.is_empty());
        assert!(Mount::new("bind", "/a".as_ref(), "/b".as_ref(), ["rslave"]).is_err());
    }
}
