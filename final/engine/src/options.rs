//! What a user asks of a new container: the flags of `keel run`.

use std::path::PathBuf;

use cgroups::Limits;
use mount_ns::{Tmpfs, Volume};
use veth_bridge::{Network, Port};

/// How a container is to be. What is `None` or empty is as the image has it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The image's name or id.
    pub image: String,
    /// The command; replaces that of the image.
    pub command: Vec<String>,
    /// What comes in front of the command; an empty text takes the image's away.
    pub entrypoint: Option<String>,
    /// Its name; else one is invented.
    pub name: Option<String>,
    /// Whether it is removed when it ends.
    pub remove: bool,
    /// Whether it reads what is typed.
    pub interactive: bool,
    /// `NAME=value`, or `NAME` for the value that it has here.
    pub env: Vec<String>,
    /// Its working directory.
    pub workdir: Option<PathBuf>,
    /// `USER[:GROUP]`, each a name in the container or a number.
    pub user: Option<String>,
    /// Files and folders of the host that it sees.
    pub volumes: Vec<Volume>,
    /// Folders in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Whether its rootfs can't be written.
    pub read_only: bool,
    /// Its hostname; else its short id.
    pub hostname: Option<String>,
    /// What it may use at most.
    pub limits: Limits,
    /// Whether it gets no cgroup.
    pub without_cgroup: bool,
    /// Its network; [`Engine::default_network`](crate::Engine::default_network) for `None`.
    pub network: Option<Network>,
    /// The ports of the host that lead to it.
    pub publish: Vec<Port>,
    /// Whether a small init is its first process.
    pub init: bool,
}
