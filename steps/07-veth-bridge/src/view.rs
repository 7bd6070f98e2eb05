//! The network of any process, as the kernel tells it: for xray, which believes nobody else.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::unistd::Pid;
use serde::Serialize;

use crate::NetNs;
use crate::netlink::{Netlink, Request};

/// What is in a network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NetView {
    /// The network devices, by their index.
    pub links: Vec<Link>,
    /// The main routing table.
    pub routes: Vec<Route>,
}

/// A network device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its number in this namespace.
    pub index: u32,
    /// Its name: "eth0".
    pub name: String,
    /// What the kernel calls its kind: "veth", "bridge". Hardware and loopback have none.
    pub kind: Option<String>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is the loopback device.
    pub loopback: bool,
    /// Its hardware address: "02:42:0a:4d:00:02".
    pub mac: Option<String>,
    /// The largest packet it takes, in bytes.
    pub mtu: Option<u32>,
    /// The index of the bridge that it is plugged into.
    pub bridge: Option<u32>,
    /// Its addresses, each with the length of its prefix in bits.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A way to somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Where it leads: an address and the length of its prefix. `None` is the default route.
    pub destination: Option<(IpAddr, u8)>,
    /// Through which neighbour.
    pub gateway: Option<IpAddr>,
    /// Through which device.
    pub device: Option<String>,
}

/// Looks at the network of `pid`.
///
/// # Errors
/// When there is no such process, or without CAP_SYS_ADMIN over its network namespace.
pub fn view(pid: Pid) -> Result<NetView> {
    NetNs::of(pid)?.within(here)
}

/// Looks at the calling thread's network.
///
/// # Errors
/// When the kernel's answer can't be read.
pub fn here() -> Result<NetView> {
    use RouteNetlinkMessage::*;
    let mut netlink = Netlink::open(NETLINK_ROUTE)?;
    let mut dump = |what, message| netlink.ask(vec![Request::dump(what, message)]);

    let mut links = BTreeMap::new();
    for answer in dump("list the links", GetLink(LinkMessage::default()))? {
        if let NewLink(message) = answer {
            links.insert(message.header.index, link(message));
        }
    }
    for answer in dump("list the addresses", GetAddress(AddressMessage::default()))? {
        if let NewAddress(message) = answer
            && let Some(link) = links.get_mut(&message.header.index)
        {
            link.addresses.extend(address(&message));
        }
    }
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut all = RouteMessage::default();
        all.header.address_family = family;
        for answer in dump("list the routes", GetRoute(all))? {
            if let NewRoute(message) = answer
                && message.header.table == RouteHeader::RT_TABLE_MAIN
            {
                routes.push(route(message, &links));
            }
        }
    }
    Ok(NetView { links: links.into_values().collect(), routes })
}

fn link(message: LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        loopback: flags.contains(LinkFlags::Loopback),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = Some(mtu),
            LinkAttribute::Controller(index) => link.bridge = Some(index),
            LinkAttribute::Address(bytes) => {
                let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                link.mac = Some(bytes.join(":"));
            }
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

fn address(message: &AddressMessage) -> Option<(IpAddr, u8)> {
    let find =
        |pick: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(pick);
    // On a point-to-point link "address" is the peer's, and "local" the own.
    let local = find(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let any = find(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    Some((local.or(any)?, message.header.prefix_len))
}

fn route(message: RouteMessage, links: &BTreeMap<u32, Link>) -> Route {
    let mut route = Route { destination: None, gateway: None, device: None };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => {
                let prefix = message.header.destination_prefix_length;
                route.destination = ip(&to).map(|to| (to, prefix));
            }
            RouteAttribute::Gateway(by) => route.gateway = ip(&by),
            RouteAttribute::Oif(index) => {
                route.device = links.get(&index).map(|link| link.name.clone());
            }
            _ => {}
        }
    }
    route
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
