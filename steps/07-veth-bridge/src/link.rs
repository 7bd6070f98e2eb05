//! The bridge and the cables: what is asked of the kernel, one function a thing.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, State,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use crate::Subnet;
use crate::netlink::{Netlink, Request};
use crate::netns::NetNs;

/// The name of the container's end of the cable.
const INSIDE: &str = "eth0";
/// The loopback device is the first in every network namespace.
const LOOPBACK: u32 = 1;

/// A link that is there.
pub(crate) struct Found {
    pub index: u32,
    pub is_up: bool,
    /// Up, and something at the other end is up as well.
    pub is_operational: bool,
    pub is_bridge: bool,
    pub mac: Option<Vec<u8>>,
}

/// The hardware address that goes with an IP address, as in Docker's networks. When an address finds
/// a new owner, what its neighbours remember about it stays right. The 2 in front says that it
/// belongs to no manufacturer.
pub(crate) fn mac(address: Ipv4Addr) -> Vec<u8> {
    [&[0x02, 0x42], &address.octets()[..]].concat()
}

/// The name of the cable's end on the host. A device's name has at most 15 bytes.
pub(crate) fn cable_name(owner: &str) -> String {
    let id: String = owner.chars().filter(char::is_ascii_alphanumeric).take(11).collect();
    format!("veth{id}")
}

/// Finds a link by its name.
pub(crate) fn find(netlink: &mut Netlink, name: &str) -> Result<Option<Found>> {
    match netlink.ask(vec![Request::get(format!("look for {name}"), get(name))]) {
        Ok(answers) => Ok(answers.into_iter().find_map(found_link)),
        Err(error) if error.downcast_ref() == Some(&Errno::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

// ANCHOR: bridge
/// Makes a bridge, a switch in software, which stays down. A fixed hardware address keeps it from
/// taking on that of one of its ports, and from changing it as they come and go.
pub(crate) fn make_bridge(netlink: &mut Netlink, name: &str, gateway: Ipv4Addr) -> Result<()> {
    let mut bridge = LinkMessage::default();
    bridge.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac(gateway)),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    let what = format!("make the bridge {name}");
    let make = RouteNetlinkMessage::NewLink(bridge);
    let ask = || netlink.ask(vec![Request::create(what.clone(), make.clone())]);
    needs_module("bridge", while_loading("bridge", ask))
}

/// Gives the bridge its address, and brings it up. That it is up is the sign that it is complete.
pub(crate) fn start_bridge(
    netlink: &mut Netlink,
    name: &str,
    index: u32,
    subnet: &Subnet,
) -> Result<()> {
    let address = subnet.gateway();
    netlink.ask(vec![Request::ensure(
        format!("give {name} the address {address}"),
        new_address(index, address, subnet.prefix()),
    )])?;
    netlink.ask(vec![Request::change(format!("bring {name} up"), up(index, None))])?;
    Ok(())
}
// ANCHOR_END: bridge

// ANCHOR: plug
/// Makes a cable (veth(4)): one end, `name`, sits in the bridge, the other is `eth0` in `netns`, and
/// never was on the host.
pub(crate) fn plug(
    netlink: &mut Netlink,
    name: &str,
    bridge: u32,
    netns: &NetNs,
    address: Ipv4Addr,
) -> Result<()> {
    let mut inside = LinkMessage::default();
    inside.attributes = vec![
        LinkAttribute::IfName(INSIDE.to_owned()),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
        LinkAttribute::Address(mac(address)),
    ];
    let mut cable = LinkMessage::default();
    cable.header.flags = LinkFlags::Up;
    cable.header.change_mask = LinkFlags::Up;
    cable.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Controller(bridge),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside))),
        ]),
    ];
    // A container that calls its own published port gets its packet back through the port by which it
    // came, where a module that Docker loads, br_netfilter, makes the bridge do the rules' work.
    let mut hairpin = LinkMessage::default();
    hairpin.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
        ]),
    ];
    let made = netlink.ask(vec![
        Request::create(format!("make the cable {name}"), RouteNetlinkMessage::NewLink(cable)),
        Request::change(format!("set hairpin on {name}"), RouteNetlinkMessage::NewLink(hairpin)),
    ]);
    needs_module("veth", made)
}
// ANCHOR_END: plug

// ANCHOR: configure
/// Configures the container's end, from inside: loopback and `eth0` up, its address, and the bridge
/// as the way to everywhere else.
pub(crate) fn configure(netlink: &mut Netlink, address: Ipv4Addr, subnet: &Subnet) -> Result<()> {
    let answers = netlink.ask(vec![
        Request::change("bring lo up", up(LOOPBACK, None)),
        Request::change("bring eth0 up", up(0, Some(INSIDE))),
        Request::get("look for eth0", get(INSIDE)),
    ])?;
    let index = answers.into_iter().find_map(found_link).context("look for eth0")?.index;

    let gateway = subnet.gateway();
    netlink.ask(vec![
        Request::create(
            format!("give eth0 the address {address}"),
            new_address(index, address, subnet.prefix()),
        ),
        Request::create(format!("make {gateway} the default route"), default_route(index, gateway)),
    ])?;
    Ok(())
}
// ANCHOR_END: configure

/// Waits until packets can flow from `cable` to `bridge`.
///
/// The kernel tells a bridge a moment later, in the background, that a port is ready, and the rest of
/// the kernel that the bridge is. What a container sends before that is lost, and TCP and ARP try
/// again only after a second. Since Linux 6.9 the question itself brings the news forward.
pub(crate) fn wait_until_up(netlink: &mut Netlink, cable: &str, bridge: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let ask = |name| Request::get(format!("look for {name}"), get(name));
        let found = netlink.ask(vec![ask(cable), ask(bridge)])?;
        if found.into_iter().filter_map(found_link).all(|link| link.is_operational) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the cable {cable} does not come up");
        thread::sleep(Duration::from_micros(100));
    }
}

/// Brings the loopback device up: 127.0.0.1 and ::1 come with it.
pub(crate) fn loopback_up(netlink: &mut Netlink) -> Result<()> {
    netlink.ask(vec![Request::change("bring lo up", up(LOOPBACK, None))]).map(drop)
}

/// Deletes a link, if it is there. Both ends of a cable go at once.
pub(crate) fn delete(netlink: &mut Netlink, name: &str) -> Result<()> {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let what = format!("delete {name}");
    match netlink.ask(vec![Request::change(what, RouteNetlinkMessage::DelLink(link))]) {
        Err(error) if error.downcast_ref() == Some(&Errno::ENODEV) => Ok(()),
        outcome => outcome.map(drop),
    }
}

fn get(name: &str) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
    ];
    RouteNetlinkMessage::GetLink(link)
}

fn found_link(answer: RouteNetlinkMessage) -> Option<Found> {
    let RouteNetlinkMessage::NewLink(link) = answer else { return None };
    let is_bridge = link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.contains(&LinkInfo::Kind(InfoKind::Bridge)),
        _ => false,
    });
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(mac) => Some(mac.clone()),
        _ => None,
    });
    let is_up = link.header.flags.contains(LinkFlags::Up);
    let is_operational = link.attributes.contains(&LinkAttribute::OperState(State::Up));
    Some(Found { index: link.header.index, is_up, is_operational, is_bridge, mac })
}

/// A link is named by its index or, where that is 0, by its name.
fn up(index: u32, name: Option<&str>) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link.attributes = name.map(|name| LinkAttribute::IfName(name.to_owned())).into_iter().collect();
    RouteNetlinkMessage::SetLink(link)
}

fn new_address(index: u32, address: Ipv4Addr, prefix: u8) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
    ];
    RouteNetlinkMessage::NewAddress(message)
}

fn default_route(index: u32, gateway: Ipv4Addr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Gateway(IpAddr::V4(gateway).into()), RouteAttribute::Oif(index)];
    RouteNetlinkMessage::NewRoute(message)
}

/// Asks again for as long as `module` is there and doesn't answer yet.
///
/// The kernel has a module loaded, by modprobe(8), when somebody needs it. busybox's modprobe takes one that is just being
/// loaded for somebody else for loaded: then the kernel says that there is none, and a moment later there is.
fn while_loading<T>(module: &str, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match ask() {
            Err(error)
                if error.downcast_ref() == Some(&Errno::EOPNOTSUPP)
                    && Path::new("/sys/module").join(module).exists()
                    && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(10));
            }
            answered => return answered,
        }
    }
}

fn needs_module<T>(name: &str, outcome: Result<T>) -> Result<()> {
    match outcome {
        // What is only changed is there already, and so is its module.
        Err(error)
            if error.downcast_ref() == Some(&Errno::EOPNOTSUPP)
                && error.to_string().starts_with("make ") =>
        {
            Err(error.context(format!("the kernel has no '{name}' (try: modprobe {name})")))
        }
        outcome => outcome.map(drop),
    }
}
