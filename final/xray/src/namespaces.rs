//! Which namespaces a process is in, and whether they are the observer's too.

use anyhow::{Context, Result};
use nix::errno::Errno;
use serde::{Serialize, Serializer};
use unshare::Namespace;

use crate::proc::{ProcDir, errno};

/// One of the eight namespaces that a process is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// Which of the eight.
    #[serde(rename = "name", serialize_with = "by_name")]
    pub kind: Namespace,
    /// Its inode: two processes share a namespace exactly when these are equal.
    pub inode: u64,
    /// Whether it is another than the observer's.
    pub own: bool,
    /// Whether the process's children will be in another than the process itself. Only pid and time
    /// namespaces part like that: unshare(2) and setns(2) move the children, not the caller.
    pub children_elsewhere: bool,
}

fn by_name<S: Serializer>(kind: &Namespace, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

// ANCHOR: look
/// The namespaces of `process`, in the table's order. A kind that the kernel lacks is left out.
pub(crate) fn look(process: &ProcDir, me: &ProcDir) -> Result<Vec<Membership>> {
    let mut memberships = Vec::with_capacity(Namespace::ALL.len());
    for kind in Namespace::ALL {
        let name = kind.name();
        let Some(mine) = inode(me, name)? else { continue };
        let theirs = inode(process, name)?.with_context(|| format!("no {name} namespace"))?;
        let children = match kind {
            // The link is there but leads nowhere between unshare(2) and the first fork(2).
            Namespace::Pid | Namespace::Time => inode(process, &format!("{name}_for_children"))?,
            _ => Some(theirs),
        };
        memberships.push(Membership {
            kind,
            inode: theirs,
            own: theirs != mine,
            children_elsewhere: children != Some(theirs),
        });
    }
    Ok(memberships)
}
// ANCHOR_END: look

/// The number in a link such as `mnt:[4026531841]`.
fn inode(process: &ProcDir, name: &str) -> Result<Option<u64>> {
    match process.link(&format!("ns/{name}")) {
        Ok(target) => parse(&target).with_context(|| format!("read {target}")).map(Some),
        Err(error) if errno(&error) == Some(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(target: &str) -> Option<u64> {
    target.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_holds_the_inode() {
        assert_eq!(parse("mnt:[4026531841]"), Some(4026531841));
        assert_eq!(parse("/etc/passwd"), None);
    }

    #[test]
    fn the_observer_owns_nothing() {
        let me = ProcDir::myself().unwrap();
        let mine = look(&me, &me).unwrap();
        assert!(mine.iter().all(|namespace| !namespace.own));
    }
}
