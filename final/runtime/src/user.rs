//! Who the container's process is, and that it dies with its parent.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image_layers::user::User;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

/// A user as the config names it.
#[derive(Debug)]
pub(crate) enum Who {
    /// By numbers.
    Numbers { uid: u32, gid: u32, groups: Vec<u32> },
    /// By `USER[:GROUP]`, to be looked up in the container.
    Name(String),
}

impl Who {
    /// Looks the user up in the container, whose root is the caller's by now: a link in the image
    /// can't lead to the host's users.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub(crate) fn find(&self) -> Result<User> {
        let root = Path::new("/");
        let mut user = match self {
            Who::Name(name) => User::resolve(root, name)?,
            Who::Numbers { uid, gid, groups } => {
                let home = User::resolve(root, &uid.to_string())?.home;
                User { uid: *uid, gid: *gid, groups: groups.clone(), home }
            }
        };
        // user_namespaces(7): where one id is mapped, the kernel forbids setgroups(2), since a group can
        // also keep somebody out. The caller's groups stay.
        if fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny") {
            user.groups.clear();
        }
        Ok(user)
    }
}

/// The parent, held in a way that no other process with the same pid can be taken for it.
#[derive(Debug)]
pub(crate) struct Parent(OwnedFd);

impl Parent {
    /// The calling process, as the parent of a child to come.
    pub(crate) fn this() -> Result<Parent> {
        let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).map_err(io::Error::from);
        Ok(Parent(pidfd.context("open a pidfd of this process")?))
    }

    /// Asks the kernel to kill the calling process when the parent dies.
    ///
    /// prctl(2), PR_SET_PDEATHSIG: a change of user clears the signal that was set before. A parent
    /// that died in between sends none, and getppid(2) can't tell: a parent outside of the pid
    /// namespace is always 0. But its pidfd is readable once it has ended.
    pub(crate) fn take_me_along(&self) -> Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL).context("set the parent-death signal")?;
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let ended = poll(&mut fds, PollTimeout::ZERO).context("look at the parent")?;
        ensure!(ended == 0, "the parent was killed");
        Ok(())
    }
}
