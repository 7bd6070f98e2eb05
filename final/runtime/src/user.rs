//! Who the container's process is.
//!
//! `/etc/passwd` and `/etc/group` are the container's own, so they are read after the root has been
//! changed: a symlink in an image can't lead the reader to the host's files then.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// A process's identity: numbers, as the kernel wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// What /etc/passwd says; `None` when nobody has looked.
    pub(crate) home: Option<String>,
}

impl User {
    /// What `name` means in the container whose root is the caller's: `USER[:GROUP]`, each a name
    /// or a number, as for `docker run --user`.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub(crate) fn find(name: &str) -> Result<User> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        look_up(name, &passwd, &group)
    }

    /// Its home folder in the container whose root is the caller's; `/` if it has none.
    pub(crate) fn home(&self) -> String {
        let look = || User::find(&self.uid.to_string()).ok()?.home;
        self.home.clone().or_else(look).unwrap_or_else(|| "/".to_owned())
    }

    // ANCHOR: become
    /// Makes the calling process this user, for good.
    ///
    /// # Errors
    /// EINVAL when an id has no meaning in the user namespace; EPERM without CAP_SETUID. See setuid(2).
    pub(crate) fn r#become(&self) -> Result<()> {
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        // The groups first: after setuid(2) the right to change them is gone. An empty list matters
        // too, since the caller's own groups would open host files that a volume shows.
        match setgroups(&groups) {
            // user_namespaces(7): with one id mapped, the kernel forbids it. The caller's groups stay.
            Err(Errno::EPERM) if setgroups_denied() => {}
            other => other.context("set the groups")?,
        }
        self.explain(setgid(Gid::from_raw(self.gid)), "group", self.gid)?;
        self.explain(setuid(Uid::from_raw(self.uid)), "user", self.uid)
    }
    // ANCHOR_END: become

    fn explain(&self, set: nix::Result<()>, kind: &str, id: u32) -> Result<()> {
        match set {
            Err(Errno::EINVAL) => bail!(
                "{kind} {id} does not exist in this user namespace (it has only 0: run as root to have them all)"
            ),
            other => other.with_context(|| format!("become {kind} {id}")),
        }
    }
}

// ANCHOR: parent-death
/// The parent, held in a way that no other process with the same pid can be taken for it.
#[derive(Debug)]
pub(crate) struct Parent(OwnedFd);

impl Parent {
    /// The calling process, as the parent of a child to come.
    pub(crate) fn this() -> Result<Parent> {
        let pid = rustix::process::getpid();
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        Ok(Parent(pidfd.map_err(std::io::Error::from).context("open a pidfd of keel itself")?))
    }

    /// Asks the kernel to kill the calling process when the parent dies.
    ///
    /// prctl(2), PR_SET_PDEATHSIG: a change of user clears the signal that was set before. A parent
    /// that died in between sends none; getppid(2) can't tell, since a parent outside the pid
    /// namespace is always 0. But its pidfd is readable once it has ended.
    pub(crate) fn take_me_along(&self) -> Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL).context("set the parent-death signal")?;
        ensure!(!has_ended(self.0.as_fd())?, "keel was killed");
        Ok(())
    }
}
// ANCHOR_END: parent-death

fn has_ended(pidfd: BorrowedFd<'_>) -> Result<bool> {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    Ok(poll(&mut fds, PollTimeout::ZERO).context("poll a pidfd")? > 0)
}

fn setgroups_denied() -> bool {
    // After the pivot this is the container's /proc.
    fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// [`User::find`] with the two files' contents.
fn look_up(name: &str, passwd: &str, group: &str) -> Result<User> {
    let (user, explicit_group) = match name.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (name, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let as_number = user.parse().ok();
    let entry =
        entries(passwd).find(|e| e[0] == user || number(e, 2) == as_number && as_number.is_some());
    let uid = entry.as_ref().and_then(|e| number(e, 2)).or(as_number);
    let Some(uid) = uid else {
        bail!("no user '{user}' in the container's /etc/passwd");
    };
    let home = entry.as_ref().and_then(|e| e.get(5).copied()).filter(|home| !home.is_empty());

    let gid = match explicit_group.filter(|name| !name.is_empty()) {
        Some(name) => group_id(name, group)?,
        None => entry.as_ref().and_then(|e| number(e, 3)).unwrap_or(0),
    };
    // A group that is named stands alone; without one, the user gets all that list it.
    let groups = match (explicit_group, &entry) {
        (None, Some(entry)) => member_of(entry[0], group),
        _ => Vec::new(),
    };
    Ok(User { uid, gid, groups, home: home.map(str::to_owned) })
}

fn group_id(name: &str, group: &str) -> Result<u32> {
    let found = entries(group).find(|e| e[0] == name).and_then(|e| number(&e, 2));
    found
        .or_else(|| name.parse().ok())
        .with_context(|| format!("no group '{name}' in the container's /etc/group"))
}

fn member_of(user: &str, group: &str) -> Vec<u32> {
    entries(group)
        .filter(|e| e.get(3).is_some_and(|members| members.split(',').any(|member| member == user)))
        .filter_map(|e| number(&e, 2))
        .collect()
}

/// The lines of passwd(5) or group(5), split at the colons.
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn number(entry: &[&str], field: usize) -> Option<u32> {
    entry.get(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root\nstaff:x:50:web,root\n";

    fn user(name: &str) -> User {
        look_up(name, PASSWD, GROUP).unwrap()
    }

    #[test]
    fn a_user_by_name_has_all_its_groups_and_its_home() {
        let web = User { uid: 33, gid: 34, groups: vec![50], home: Some("/srv".into()) };
        assert_eq!(user("web"), web);
        assert_eq!(user("33"), web);
        assert_eq!(user("").groups, [10, 50]);
    }

    #[test]
    fn a_named_group_stands_alone() {
        let web = user("web:staff");
        assert_eq!((web.gid, web.groups), (50, vec![]));
        assert_eq!(user("7:8"), User { uid: 7, gid: 8, groups: vec![], home: None });
    }

    #[test]
    fn a_number_needs_no_entry_and_a_name_does() {
        assert_eq!(user("1000"), User { uid: 1000, gid: 0, groups: vec![], home: None });
        assert!(look_up("nobody", PASSWD, GROUP).is_err());
        assert!(look_up("web:nobody", PASSWD, GROUP).is_err());
    }
}
