//! Step 7: a network of its own, wired to others.
//!
//! A new network namespace is an island: one loopback device, and that one is down. [`Bridge::attach`]
//! builds what leads off it:
//!
//!   a cable (veth) with one end in the container, as its `eth0`, and one on the host;
//!   a switch (bridge) on the host, into which the cables of all containers are plugged;
//!   an address from the bridge's subnet, leased for as long as the container lives;
//!   a default route to the host, which forwards, under its own address (NAT);
//!   and, for a published port, a rule that turns what comes in there off to the container.
//!
//! Links, addresses and routes are made by netlink messages (link.rs), the packet filter's rules by
//! nft (nat.rs, with rules.nft). lease.rs keeps the book of addresses. [`Network`] is the `--network`
//! option, [`files`] writes the container's hosts and resolv.conf, and [`view`](mod@view) looks at the
//! network of any process.
//!
//! # The order
//! The packet filter comes before the bridge, the bridge before the cables, and the book before what
//! it speaks of. So a crash at any point leaves nothing that the next run can't see: a bridge that is
//! down isn't finished, a lease whose process is gone is taken back with its published ports, and a
//! cable dies with its namespace.

pub mod files;
mod lease;
mod link;
mod mode;
mod nat;
mod netlink;
mod netns;
mod port;
mod route;
mod subnet;
mod sysctl;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::unistd::Pid;
use unshare::Namespace;

use lease::Book;
pub use lease::Lease;
pub use mode::Network;
use netlink::Netlink;
pub use netns::NetNs;
use port::Reserved;
pub use port::{Port, Protocol};
pub use subnet::Subnet;

/// A network for containers: a bridge, its subnet, and the folder in which its addresses are kept.
#[derive(Debug, Clone)]
pub struct Bridge {
    name: String,
    subnet: Subnet,
    folder: PathBuf,
}

/// A container's place in a network.
///
/// Dropping it takes back what the container had: its address and its published ports.
#[derive(Debug)]
pub struct Attached {
    /// The container's address.
    pub address: Ipv4Addr,
    /// Why the container can't reach more than its own network, if it can't.
    pub warning: Option<String>,
    /// Taken by the first detach.
    owner: Option<String>,
    bridge: Bridge,
    _reserved: Vec<Reserved>,
}

impl Bridge {
    /// The network that containers are in by default: `keel0`, with the subnet 10.77.0.0/16.
    ///
    /// # Errors
    /// When there is no folder for the leases.
    pub fn standard() -> Result<Bridge> {
        Bridge::new("keel0", Subnet::default(), &lease::default_folder()?)
    }

    /// A network of this name. Nothing is made before the first container is attached.
    ///
    /// # Errors
    /// When a network device can't have that name.
    pub fn new(name: &str, subnet: Subnet, folder: &Path) -> Result<Bridge> {
        // The kernel takes almost anything, up to 15 bytes; nft(8) wants an identifier.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            name.len() <= 15
                && name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(plain),
            "network '{name}': the name must start with a letter, and have at most 15 letters, digits, '-' and '_'"
        );
        Ok(Bridge { name: name.to_owned(), subnet, folder: folder.to_owned() })
    }

    /// The bridge's own address, the containers' default route.
    pub fn gateway(&self) -> Ipv4Addr {
        self.subnet.gateway()
    }

    // ANCHOR: attach
    /// Plugs the network namespace of `container`, the container's first process, into the bridge,
    /// and publishes `ports`. `owner` is the container's id; its first eleven letters and digits name
    /// the cable.
    ///
    /// # Errors
    /// When a port or all addresses are in use, or the kernel refuses. Nothing stays behind.
    pub fn attach(&self, container: Pid, owner: &str, ports: &[Port]) -> Result<Attached> {
        let netns = NetNs::of(container)?;
        let mut netlink = Netlink::open(NETLINK_ROUTE)?;

        let mut book = self.book()?;
        self.sweep(&mut book)?;
        let (bridge, nat) = self.ready(&mut netlink, &book)?;
        let reserved = port::reserve(ports, book.leases().iter().flat_map(|lease| &lease.ports))?;
        let address = book.lease(&self.subnet, owner, container, ports)?;
        // The book is written: nobody else can get this address or these ports any more.
        drop(book);

        // From here on, an error drops this, and so gives the lease back.
        let mut attached = Attached {
            address,
            warning: None,
            owner: Some(owner.to_owned()),
            bridge: self.clone(),
            _reserved: reserved,
        };
        let mut inside = netns.within(|| {
            sysctl::no_ipv6("default");
            Netlink::open(NETLINK_ROUTE)
        })?;
        let cable = link::cable_name(owner);
        link::plug(&mut netlink, &cable, bridge, &netns, address)?;
        link::configure(&mut inside, address, &self.subnet)?;
        link::wait_until_up(&mut netlink, &cable, &self.name)?;
        if ports.is_empty() {
            let no_way_out =
                |error| format!("no way out of {}: {}", self.name, chroot::exit::sentence(&error));
            attached.warning = nat.err().map(no_way_out);
        } else {
            nat?;
            nat::publish(&self.name, address, ports)?;
        }
        Ok(attached)
    }
    // ANCHOR_END: attach

    /// Sees to it that rules and bridge are there. Returns the bridge's index, and whether its
    /// containers can reach the world.
    ///
    /// Almost always they are there, and two questions to the kernel tell.
    fn ready(&self, netlink: &mut Netlink, book: &Book) -> Result<(u32, Result<()>)> {
        let name = &self.name;
        let mut nat = Ok(());
        if !nat::is_loaded(name) {
            nat = sysctl::allow_forwarding()
                .and_then(|()| nat::load(name, &self.subnet, book.leases()));
        }

        let found = match link::find(netlink, name)? {
            Some(found) => found,
            None => {
                self.require_free_subnet(netlink)?;
                link::make_bridge(netlink, name, self.gateway())?;
                link::find(netlink, name)?.context("look for the new bridge")?
            }
        };
        ensure!(found.is_bridge, "{name} exists and is not a bridge: choose another name");
        ensure!(
            found.mac == Some(link::mac(self.gateway())),
            "the bridge {name} has another subnet than {}: choose another name",
            self.subnet
        );
        if !found.is_up {
            nat = nat.and_then(|()| sysctl::allow_localhost(name));
            sysctl::no_ipv6(name);
            link::start_bridge(netlink, name, found.index, &self.subnet)?;
        }
        Ok((found.index, nat))
    }

    /// A subnet that the host reaches elsewhere would be cut off from it.
    fn require_free_subnet(&self, netlink: &mut Netlink) -> Result<()> {
        let routes = route::list(netlink)?;
        let taken = routes.iter().find(|route| self.subnet.overlaps(route.network, route.prefix));
        let Some(taken) = taken else { return Ok(()) };
        let by = taken.device_name(netlink).unwrap_or_else(|| "another route".to_owned());
        bail!("the subnet {} is in use by {by}: choose another", self.subnet)
    }

    /// Takes back what dead containers have left: leases and published ports. [`Bridge::attach`]
    /// starts with it.
    ///
    /// # Errors
    /// When the book can't be read or written, or nft fails.
    pub fn repair(&self) -> Result<()> {
        self.sweep(&mut self.book()?)
    }

    fn sweep(&self, book: &mut Book) -> Result<()> {
        self.end(book, |lease| !lease.is_alive())
    }

    /// Takes back what the container `owner` had.
    ///
    /// # Errors
    /// As [`Bridge::repair`].
    pub fn detach(&self, owner: &str) -> Result<()> {
        self.end(&mut self.book()?, |lease| lease.owner == owner)
    }

    fn end(&self, book: &mut Book, which: impl Fn(&Lease) -> bool) -> Result<()> {
        let ended: Vec<Lease> =
            book.leases().iter().filter(|lease| which(lease)).cloned().collect();
        for lease in ended.iter().filter(|lease| !lease.ports.is_empty()) {
            // In this order: an address must not be given out while a port still leads to it.
            if nat::is_loaded(&self.name) {
                nat::unpublish(&self.name, lease.address, &lease.ports)?;
            }
        }
        if ended.is_empty() { Ok(()) } else { book.end(|lease| ended.contains(lease)) }
    }

    /// Takes the whole network away: bridge, rules and leases. Containers in it are cut off.
    ///
    /// # Errors
    /// When the kernel refuses, or nft fails.
    pub fn remove(&self) -> Result<()> {
        let mut book = self.book()?;
        link::delete(&mut Netlink::open(NETLINK_ROUTE)?, &self.name)?;
        nat::unload(&self.name)?;
        book.end(|_| true)
    }

    /// The leases as the book has them.
    ///
    /// # Errors
    /// When the book can't be read.
    pub fn leases(&self) -> Result<Vec<Lease>> {
        Ok(self.book()?.leases().to_vec())
    }

    /// The lease file, locked. Another network namespace is another world, with its own bridge: the
    /// namespace's inode is part of the file's name.
    fn book(&self) -> Result<Book> {
        let inode = Namespace::Net.inode(Pid::this())?;
        Book::open(&self.folder, &format!("{}-{inode}.json", self.name))
    }
}

impl Attached {
    /// Takes back what the container had.
    ///
    /// # Errors
    /// As [`Bridge::repair`].
    pub fn detach(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let owner = self.owner.take();
        owner.map_or(Ok(()), |owner| self.bridge.detach(&owner))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Where this fails, the next run's repair does it.
        let _ = self.end();
    }
}

/// Brings the loopback device of the caller's own network namespace up.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over that namespace. See rtnetlink(7).
pub fn loopback_up() -> Result<()> {
    link::loopback_up(&mut Netlink::open(NETLINK_ROUTE)?)
}
