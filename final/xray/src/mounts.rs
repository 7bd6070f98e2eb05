//! The mounts that a process sees, from /proc/PID/mountinfo.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::proc::ProcDir;

/// One mount. See proc_pid_mountinfo(5).
#[derive(Debug, Clone, Serialize)]
pub struct Mount {
    /// Its id, unique as long as it exists.
    pub id: u64,
    /// The id of the mount that it is mounted on.
    pub parent: u64,
    /// Where it is mounted, as the process sees it.
    pub mount_point: String,
    /// Which folder or file of its filesystem this is: other than `/` for a bind mount.
    pub root: String,
    /// The filesystem's instance, as major:minor. Equal numbers mean the same files.
    pub device: String,
    /// The filesystem's type, such as `tmpfs`.
    pub fs_type: String,
    /// What was mounted: a device, or any word.
    pub source: String,
    /// The options of this mount alone, such as `ro` and `nosuid`.
    pub options: Vec<String>,
    /// The options of the filesystem, which all its mounts share.
    pub fs_options: Vec<String>,
    /// Where mounts made below it show up too.
    pub propagation: Propagation,
    /// The layers, if it is an overlay.
    pub layers: Option<Layers>,
    /// The same folder or file in the observer's own mount table, if it can be reached there.
    pub from: Option<String>,
    /// Whether the observer has this very mount at this very place.
    pub as_host: bool,
    /// Whether another mount lies over it, so that nobody sees it.
    pub covered: bool,
}

/// Where mounts made below a mount show up too. See mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Nowhere.
    Private,
    /// In its peers, and theirs in it.
    Shared,
    /// Nowhere, but those of its master show up here.
    Slave,
    /// In its peers, and those of its master show up in all of them.
    SlaveShared,
    /// Nowhere; nor can it be bind mounted.
    Unbindable,
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Propagation::Private => "private",
            Propagation::Shared => "shared",
            Propagation::Slave => "slave",
            Propagation::SlaveShared => "slave and shared",
            Propagation::Unbindable => "unbindable",
        })
    }
}

/// The layers of an overlay. Without an upper one it can't be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layers {
    /// What is read, topmost first.
    pub lower: Vec<String>,
    /// What takes the changes.
    pub upper: Option<String>,
    /// Where the kernel prepares a change before it moves it to the upper layer.
    pub work: Option<String>,
}

impl Mount {
    /// Whether nothing can be written through it.
    pub fn is_read_only(&self) -> bool {
        let ro = |options: &[String]| options.iter().any(|option| option == "ro");
        ro(&self.options) || ro(&self.fs_options)
    }

    /// `ro` or `rw`, then what else it forbids: `nosuid`, `nodev`, `noexec`.
    pub fn access(&self) -> String {
        let mut access = vec![if self.is_read_only() { "ro" } else { "rw" }];
        let forbids = ["nosuid", "nodev", "noexec"];
        access.extend(forbids.iter().filter(|flag| self.options.iter().any(|o| o == *flag)));
        access.join(" ")
    }

    /// Whether it covers a file or folder of /proc or /sys, so that the process can't read it.
    ///
    /// Files are covered with /dev/null, folders with an empty tmpfs.
    pub fn is_mask(&self) -> bool {
        let kernels = self.is_below("/proc") || self.is_below("/sys");
        let cgroups = self.is_cgroup();
        kernels && !cgroups && (self.root.ends_with("/null") || self.fs_type == "tmpfs")
    }

    /// Whether it is a part of /proc or /sys, mounted again on itself to be read-only.
    pub fn is_read_only_part(&self) -> bool {
        let itself = |top: &str| self.mount_point == format!("{top}{}", self.root);
        self.root != "/" && self.is_read_only() && (itself("/proc") || itself("/sys"))
    }

    /// Whether it is a device node, bound from another /dev.
    pub fn is_device_node(&self) -> bool {
        let node = Path::new(&self.root).file_name();
        self.root != "/"
            && Path::new(&self.mount_point).parent() == Some(Path::new("/dev"))
            && (node == Path::new(&self.mount_point).file_name() || self.fs_type == "devpts")
    }

    /// Whether it belongs to the cgroup file system: one mount with cgroup v2, a dozen with v1.
    pub fn is_cgroup(&self) -> bool {
        self.mount_point == "/sys/fs/cgroup" || self.is_below("/sys/fs/cgroup")
    }

    fn is_below(&self, folder: &str) -> bool {
        self.mount_point.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// A mount table.
pub(crate) fn table(process: &ProcDir) -> anyhow::Result<Vec<Mount>> {
    let mut mounts = process.read("mountinfo")?.lines().filter_map(parse).collect();
    cover(&mut mounts);
    Ok(mounts)
}

/// Marks the mounts that others lie over.
fn cover(mounts: &mut Vec<Mount>) {
    let mut children: HashMap<u64, Vec<(u64, PathBuf)>> = HashMap::new();
    for Mount { id, parent, mount_point, .. } in mounts.iter() {
        children.entry(*parent).or_default().push((*id, PathBuf::from(mount_point)));
    }
    let on = |mount: u64| children.get(&mount).into_iter().flatten();
    // Its place may be out of reach: below a folder that a later mount on the same parent covers.
    let mut unreachable: HashSet<u64> = HashSet::new();
    for Mount { id, parent, mount_point, .. } in mounts.iter() {
        let place = Path::new(mount_point);
        let beside = on(*parent).filter(|(other, _)| other != id);
        let mut above = beside.filter(|(_, path)| path != place && place.starts_with(path));
        if unreachable.contains(parent) || above.next().is_some() {
            unreachable.insert(*id);
        }
    }
    for mount in mounts {
        let place = Path::new(&mount.mount_point);
        let has_lid = on(mount.id).any(|(_, path)| path == place);
        mount.covered = has_lid || unreachable.contains(&mount.id);
    }
}

/// Fills in what only the comparison with the observer's mounts can tell.
///
/// A mount counts as the host's where the table is a copy of the host's. After a pivot it isn't: a
/// /sys that is the same as the host's was mounted all the same.
pub(crate) fn compare(mounts: &mut [Mount], mine: &[Mount]) {
    let place = |mount: &Mount| {
        let Mount { mount_point, device, root, options, .. } = mount;
        (mount_point.clone(), device.clone(), root.clone(), options.clone())
    };
    let places: HashSet<_> = mine.iter().map(place).collect();
    let mut roots = mounts.iter().filter(|mount| mount.mount_point == "/" && !mount.covered);
    let pivoted = roots.any(|root| !places.contains(&place(root)));
    for mount in mounts {
        mount.as_host = !pivoted && places.contains(&place(mount));
        mount.from = origin(mount, mine);
    }
}

/// Where what is mounted can be found in the observer's mount table.
fn origin(mount: &Mount, mine: &[Mount]) -> Option<String> {
    let same_files = mine.iter().filter(|candidate| candidate.device == mount.device);
    let rest = same_files.filter_map(|candidate| {
        let rest = Path::new(&mount.root).strip_prefix(&candidate.root).ok()?;
        Some((rest.as_os_str().len(), Path::new(&candidate.mount_point).join(rest)))
    });
    let (_, nearest) = rest.min_by_key(|(length, _)| *length)?;
    let path = nearest.to_string_lossy();
    Some(if path == "/" { path.into() } else { path.trim_end_matches('/').to_owned() })
}

/// One line of mountinfo:
/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
fn parse(line: &str) -> Option<Mount> {
    // Any number of optional fields ends with a lone hyphen.
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ');
    let mut filesystem = filesystem.split(' ');
    let words = |list: &str| list.split(',').map(unescape).collect::<Vec<_>>();

    let id = mount.next()?.parse().ok()?;
    let parent = mount.next()?.parse().ok()?;
    let device = mount.next()?.to_owned();
    let root = unescape(mount.next()?);
    let mount_point = unescape(mount.next()?);
    let options = words(mount.next()?);
    let propagation = propagation(mount);
    let fs_type = filesystem.next()?.to_owned();
    let source = unescape(filesystem.next()?);
    let fs_options = filesystem.next()?;
    let layers = (fs_type == "overlay").then(|| layers(fs_options));
    let fs_options = words(fs_options);
    Some(Mount {
        id,
        parent,
        mount_point,
        root,
        device,
        fs_type,
        source,
        options,
        fs_options,
        propagation,
        layers,
        from: None,
        as_host: false,
        covered: false,
    })
}

/// The optional fields: `shared:N`, `master:N`, `propagate_from:N`, `unbindable`.
fn propagation<'a>(fields: impl Iterator<Item = &'a str>) -> Propagation {
    let (mut shared, mut slave, mut unbindable) = (false, false, false);
    for field in fields {
        shared |= field.starts_with("shared:");
        slave |= field.starts_with("master:");
        unbindable |= field == "unbindable";
    }
    match (shared, slave, unbindable) {
        (_, _, true) => Propagation::Unbindable,
        (true, true, _) => Propagation::SlaveShared,
        (true, false, _) => Propagation::Shared,
        (false, true, _) => Propagation::Slave,
        (false, false, _) => Propagation::Private,
    }
}

/// The layers in an overlay's options.
///
/// Mounted with mount(2), they are one `lowerdir=a:b`; with fsconfig(2), one `lowerdir+=a` each.
fn layers(options: &str) -> Layers {
    let mut layers = Layers { lower: Vec::new(), upper: None, work: None };
    for option in options.split(',') {
        let Some((name, value)) = option.split_once('=') else { continue };
        let value = unescape(value);
        match name {
            "lowerdir" => layers.lower = lower_dirs(&value),
            "lowerdir+" | "datadir+" => layers.lower.push(value),
            "upperdir" => layers.upper = Some(value),
            "workdir" => layers.work = Some(value),
            _ => {}
        }
    }
    layers
}

/// Splits `lowerdir`: colons part the layers, and a colon in a name has a backslash before it.
fn lower_dirs(list: &str) -> Vec<String> {
    let mut layers = vec![String::new()];
    let mut letters = list.chars();
    while let Some(letter) = letters.next() {
        let last = layers.len() - 1;
        match letter {
            ':' => layers.push(String::new()),
            '\\' => layers[last].extend(letters.next()),
            _ => layers[last].push(letter),
        }
    }
    // Two colons in a row begin the layers that hold data alone.
    layers.retain(|layer| !layer.is_empty());
    layers
}

/// The kernel writes blanks, backslashes, commas and the like as `\040`: three octal digits.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = (byte == b'\\').then(|| octal(tail.get(..3)?)).flatten();
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_every_kind_of_optional_field() {
        let line = "36 35 98:0 /mnt1 /my\\040data rw,noatime shared:7 master:1 propagate_from:2 - \
                    ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.mount_point, "/my data");
        assert_eq!(mount.root, "/mnt1");
        assert_eq!(mount.options, ["rw", "noatime"]);
        assert_eq!(mount.fs_options, ["rw", "errors=continue"]);
        assert_eq!(mount.propagation, Propagation::SlaveShared);
    }

    #[test]
    fn a_line_without_source_and_one_that_is_cut() {
        let mount = parse("24 27 0:6 / /dev rw - devtmpfs  rw").unwrap();
        assert_eq!((mount.source.as_str(), mount.propagation), ("", Propagation::Private));
        assert!(parse("24 27 0:6 / /dev").is_none());
        assert!(parse("").is_none());
    }

    #[test]
    fn layers_of_both_interfaces() {
        let old = layers("rw,lowerdir=/a\\134:b:/c\\054d,upperdir=/u\\040p,workdir=/w,index=off");
        assert_eq!(old.lower, ["/a:b", "/c,d"]);
        assert_eq!(old.upper.as_deref(), Some("/u p"));
        let new = layers("ro,lowerdir+=/a:b,lowerdir+=/c,datadir+=/d");
        assert_eq!(new.lower, ["/a:b", "/c", "/d"]);
        assert_eq!(new.upper, None);
    }

    #[test]
    fn an_escape_that_is_none_stays() {
        assert_eq!(unescape("a\\134b\\9zz\\"), "a\\b\\9zz\\");
        assert_eq!(unescape("\\303\\251"), "é");
    }

    #[test]
    fn masks_and_read_only_parts() {
        let is = |line: &str| {
            let mount = parse(line).unwrap();
            (mount.is_mask(), mount.is_read_only_part(), mount.is_device_node())
        };
        assert_eq!(is("1 2 0:5 /null /proc/kcore ro - tmpfs tmpfs rw"), (true, false, false));
        assert_eq!(is("1 2 0:5 / /proc/acpi ro - tmpfs tmpfs rw"), (true, false, false));
        assert_eq!(is("1 2 0:6 /sys /proc/sys ro - proc proc rw"), (false, true, false));
        assert_eq!(is("1 2 0:7 /null /dev/null rw - devtmpfs udev rw"), (false, false, true));
        assert_eq!(is("1 2 0:8 / /sys/fs/cgroup ro - tmpfs tmpfs rw"), (false, false, false));
        assert_eq!(is("1 2 0:9 / /dev/shm rw - tmpfs shm rw"), (false, false, false));
    }

    #[test]
    fn a_mount_may_lie_over_others() {
        let mut mounts: Vec<_> = [
            "1 0 8:1 / / rw - ext4 x rw",
            "2 1 0:2 / /dev rw - devtmpfs x rw",
            "3 2 0:3 / /dev/pts rw - devpts x rw",
            "4 2 0:4 / /dev rw - tmpfs x rw",
            "5 4 0:5 / /dev/pts rw - devpts x rw",
            "6 1 0:6 / /device rw - tmpfs x rw",
        ]
        .iter()
        .filter_map(|line| parse(line))
        .collect();
        cover(&mut mounts);
        let seen = mounts.iter().filter(|mount| !mount.covered).map(|mount| mount.id);
        assert_eq!(seen.collect::<Vec<_>>(), [1, 4, 5, 6]);
    }

    #[test]
    fn a_bind_mount_is_found_in_the_observers_table() {
        let mine: Vec<_> = ["1 0 8:1 / / rw - ext4 x rw", "2 1 8:2 /sub /mnt rw - ext4 y rw"]
            .iter()
            .filter_map(|line| parse(line))
            .collect();
        let from = |line: &str| origin(&parse(line).unwrap(), &mine);
        assert_eq!(from("9 8 8:1 /home/me /data rw - ext4 x rw").as_deref(), Some("/home/me"));
        assert_eq!(from("9 8 8:2 /sub /data rw - ext4 y rw").as_deref(), Some("/mnt"));
        assert_eq!(from("9 8 8:2 /other /data rw - ext4 y rw"), None);
        assert_eq!(from("9 8 0:50 / /proc rw - proc proc rw"), None);
    }
}
