//! The `--network` option.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use nix::unistd::Pid;
use unshare::Namespace;

use crate::{Attached, Bridge, NetNs, Port, loopback_up};

/// Which network a container is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// Its own, plugged into a bridge.
    #[default]
    Bridge,
    /// Its own, with a loopback device and nothing else.
    None,
    /// The host's.
    Host,
    /// That of another container, known by this id or by the pid of one of its processes.
    Container(String),
}

impl Network {
    /// The namespace that the container's first process needs for it, if any.
    pub fn namespace(&self) -> Option<Namespace> {
        match self {
            Network::Bridge | Network::None => Some(Namespace::Net),
            Network::Host | Network::Container(_) => None,
        }
    }

    /// The child's part, before it lets go of the host's /proc: enters another's network.
    ///
    /// # Errors
    /// When there is no such process, or without CAP_SYS_ADMIN over its network namespace.
    pub fn join(&self) -> Result<()> {
        let Network::Container(target) = self else { return Ok(()) };
        let join = || {
            let pid = target.parse().ok().filter(|&pid| pid > 0).context("not a process id")?;
            NetNs::of(Pid::from_raw(pid))?.enter()
        };
        join().with_context(|| format!("network {self}"))
    }

    /// The parent's part, while the child waits: gives `container`, the container's first process,
    /// what it needs of `bridge`. The result must live as long as the container.
    ///
    /// # Errors
    /// As [`Bridge::attach`].
    pub fn wire(
        &self,
        bridge: &Bridge,
        container: Pid,
        owner: &str,
        ports: &[Port],
    ) -> Result<Option<Attached>> {
        ensure!(
            ports.is_empty() || *self == Network::Bridge,
            "network {self}: only with --network bridge can ports be published"
        );
        match self {
            Network::Bridge => bridge.attach(container, owner, ports).map(Some),
            Network::None => NetNs::of(container)?.within(loopback_up).map(|()| None),
            Network::Host | Network::Container(_) => Ok(None),
        }
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Network> {
        match (text, text.split_once(':')) {
            ("bridge", _) => Ok(Network::Bridge),
            ("none", _) => Ok(Network::None),
            ("host", _) => Ok(Network::Host),
            (_, Some(("container", target))) if !target.is_empty() => {
                Ok(Network::Container(target.to_owned()))
            }
            _ => bail!("no network '{text}': bridge, none, host or container:ID"),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Bridge => f.pad("bridge"),
            Network::None => f.pad("none"),
            Network::Host => f.pad("host"),
            Network::Container(target) => write!(f, "container:{target}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_reads_back_as_it_is_written() {
        for text in ["bridge", "none", "host", "container:web"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for text in ["", "container:", "web"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
