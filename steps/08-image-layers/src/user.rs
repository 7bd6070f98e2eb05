//! Who runs in a container: the image's user, looked up in the image's own `/etc/passwd`.
//!
//! The host's users mean nothing inside, and the C library would ask the host's (and its LDAP server),
//! so the two files are read here. See passwd(5), group(5).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno as NixErrno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::folders::{OrIo, open_folder};

/// The most of `/etc/passwd` that is read.
const SIZE: u64 = 16 << 20;

/// A user, as the kernel and the program want to know him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The primary group's number.
    pub gid: u32,
    /// The other groups' numbers, sorted.
    pub groups: Vec<u32>,
    /// The home folder, for `HOME`.
    pub home: PathBuf,
}

impl User {
    /// Reads `USER[:GROUP]`, each a name or a number, against the rootfs; as Docker does.
    ///
    /// No user means root. A number needs no entry in the files. With a group, the user has that group
    /// alone; without one, his own and all that list him.
    ///
    /// # Errors
    /// When a name isn't in the files, or a number is out of range.
    pub fn resolve(rootfs: &Path, spec: &str) -> Result<User> {
        User::read(&file(rootfs, "etc/passwd")?, &file(rootfs, "etc/group")?, spec)
    }

    fn read(passwd: &str, group: &str, spec: &str) -> Result<User> {
        let (user, group_spec) = spec.split_once(':').unwrap_or((spec, ""));
        let user = if user.is_empty() { "0" } else { user };
        let mut found = User { uid: 0, gid: 0, groups: Vec::new(), home: "/".into() };
        let mut name = None;
        // name:password:uid:gid:comment:home:shell
        let entry =
            passwd.lines().map(fields).find(|it| it.len() >= 6 && (it[0] == user || it[2] == user));
        match (entry, number(user)?) {
            (Some(entry), _) => {
                let bad = || format!("read the entry of '{}' in /etc/passwd", entry[0]);
                found.uid = number(entry[2])?.with_context(bad)?;
                found.gid = number(entry[3])?.with_context(bad)?;
                found.home = if entry[5].is_empty() { "/".into() } else { entry[5].into() };
                name = Some(entry[0]);
            }
            (None, Some(uid)) => found.uid = uid,
            (None, None) => bail!("unable to find user {user}: no matching entries in passwd file"),
        }
        // name:password:gid:members
        let mut groups = group.lines().map(fields).filter(|it| it.len() >= 3);
        if !group_spec.is_empty() {
            let entry = groups.find(|it| it[0] == group_spec || it[2] == group_spec);
            let gid = match entry {
                Some(entry) => number(entry[2])?,
                None => number(group_spec)?,
            };
            found.gid = gid.with_context(|| {
                format!("unable to find group {group_spec}: no matching entries in group file")
            })?;
        } else if let Some(name) = name {
            let member =
                |it: &Vec<&str>| it.get(3).is_some_and(|all| all.split(',').any(|one| one == name));
            found.groups = groups.filter(member).filter_map(|it| it[2].parse().ok()).collect();
            found.groups.sort();
            found.groups.dedup();
        }
        Ok(found)
    }

    /// Makes the calling process this user. The groups come first: who isn't root any more may
    /// not change them. See credentials(7).
    ///
    /// # Errors
    /// EPERM when the process isn't root; a sentence when its user namespace has no such user.
    pub fn switch_to(&self) -> Result<()> {
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        match setgroups(&groups) {
            // An ordinary user's namespace keeps its groups (user_namespaces(7), setgroups).
            Err(NixErrno::EPERM) if groups.is_empty() => {}
            result => result.context("set the user's groups")?,
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let absent = |error| match error {
            NixErrno::EINVAL => anyhow::anyhow!(
                "user {}:{} doesn't exist in this user namespace (run the container as user 0)",
                self.uid,
                self.gid
            ),
            error => anyhow::Error::from(error).context(format!("become user {}", self.uid)),
        };
        setresgid(gid, gid, gid).map_err(absent)?;
        setresuid(uid, uid, uid).map_err(absent)
    }
}

fn fields(line: &str) -> Vec<&str> {
    line.split(':').map(str::trim).collect()
}

/// A number, if it is one.
fn number(text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|number| *number <= i32::MAX as u32);
    ensure!(number.is_some(), "uids and gids must be in range 0-{}, not {text}", i32::MAX);
    Ok(number)
}

/// A file of the rootfs, links followed inside it; nothing if there is no such file.
fn file(rootfs: &Path, path: &str) -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Should /etc be a link to the host's: RESOLVE_IN_ROOT takes the rootfs for `/`.
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut text = Vec::new();
    match openat2(open_folder(rootfs)?, path, flags, Mode::empty(), inside) {
        Err(Errno::NOENT | Errno::NOTDIR) => {}
        file => {
            let doing = || format!("read /{path} in the rootfs");
            let file = File::from(file.io().with_context(doing)?);
            file.take(SIZE).read_to_end(&mut text).with_context(doing)?;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\nlogs:x:4:web,other\nssl:x:9:web\n";

    fn user(spec: &str) -> Result<User> {
        User::read(PASSWD, GROUP, spec)
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        let make = |uid, gid, groups: &[u32], home: &str| User {
            uid,
            gid,
            groups: groups.into(),
            home: home.into(),
        };
        for (spec, expected) in [
            ("", make(0, 0, &[], "/root")),
            ("web", make(33, 33, &[4, 9], "/var/www")),
            ("33", make(33, 33, &[4, 9], "/var/www")),
            ("web:logs", make(33, 4, &[], "/var/www")),
            ("web:1000", make(33, 1000, &[], "/var/www")),
            ("1000", make(1000, 0, &[], "/")),
            ("1000:1000", make(1000, 1000, &[], "/")),
            (":4", make(0, 4, &[], "/root")),
        ] {
            assert_eq!(user(spec).unwrap(), expected, "{spec}");
        }
    }

    #[test]
    fn strangers_are_refused() {
        let sentence = |spec| user(spec).unwrap_err().to_string();
        assert_eq!(sentence("bob"), "unable to find user bob: no matching entries in passwd file");
        assert_eq!(
            sentence("0:bobs"),
            "unable to find group bobs: no matching entries in group file"
        );
        assert_eq!(
            sentence("4294967296"),
            "uids and gids must be in range 0-2147483647, not 4294967296"
        );
        assert!(user("-1").is_err());
    }
}
