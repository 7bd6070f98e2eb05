//! Who the container's process is.

use std::fs;
use std::path::Path;

use anyhow::Result;
use image_layers::user::User;

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
