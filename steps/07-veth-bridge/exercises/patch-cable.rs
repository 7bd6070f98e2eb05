//! Lays a cable between two containers, with no bridge, and nothing on the host.
//!
//! `patch-cable PID ADDRESS PID ADDRESS` takes a process of each, and the addresses that the two ends get, like 192.168.7.1/30.

use std::env;
use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::unistd::Pid;
use veth_bridge::NetNs;

/// What both ends are called.
const NAME: &str = "patch0";

/// An end of the cable: where it is, and its address.
struct End {
    netns: NetNs,
    address: Ipv4Addr,
    prefix: u8,
}

fn main() -> ExitCode {
    chroot::exit::report(run().map(|()| ExitCode::SUCCESS))
}

fn run() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [pid, address, other_pid, other_address] = &words[..] else {
        bail!("usage: patch-cable PID ADDRESS/PREFIX PID ADDRESS/PREFIX")
    };
    let (one, other) = (end(pid, address)?, end(other_pid, other_address)?);
    lay(&one, &other)?;
    set_up(&one)?;
    set_up(&other)
}

fn end(pid: &str, address: &str) -> Result<End> {
    let parse = || {
        let (address, prefix) = address.split_once('/')?;
        Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?))
    };
    let (address, prefix) =
        parse().with_context(|| format!("'{address}' is not ADDRESS/PREFIX"))?;
    let pid = pid.parse().ok().filter(|&pid| pid > 0).context("not a process id")?;
    Ok(End { netns: NetNs::of(Pid::from_raw(pid))?, address, prefix })
}

/// Makes the cable: each end is called [`NAME`], and is born where it belongs.
///
/// # Errors
/// EEXIST when one of the two has a device of that name. See veth(4) and rtnetlink(7).
fn lay(one: &End, other: &End) -> Result<()> {
    let end = |end: &End| {
        vec![LinkAttribute::IfName(NAME.to_owned()), LinkAttribute::NetNsFd(end.netns.as_raw_fd())]
    };
    let mut peer = LinkMessage::default();
    peer.attributes = end(other);
    let mut cable = LinkMessage::default();
    cable.attributes = end(one);
    cable.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    ask(RouteNetlinkMessage::NewLink(cable), NLM_F_CREATE | NLM_F_EXCL).context("make the cable")
}

/// Gives an end its address, and brings it up.
///
/// # Errors
/// When there is no such end, or the address is no host's.
fn set_up(end: &End) -> Result<()> {
    // A device's index, its addresses and a netlink socket all belong to one network namespace.
    end.netns.within(|| {
        let name = CString::new(NAME)?;
        // SAFETY: if_nametoindex(3) reads a C string, which lives until it returns.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error()).with_context(|| format!("look for {NAME}"));
        }

        let mut address = AddressMessage::default();
        address.header.family = AddressFamily::Inet;
        address.header.prefix_len = end.prefix;
        address.header.index = index;
        let ip = IpAddr::V4(end.address);
        address.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
        ask(RouteNetlinkMessage::NewAddress(address), NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("give {NAME} the address {}", end.address))?;

        let mut up = LinkMessage::default();
        up.header.index = index;
        up.header.flags = LinkFlags::Up;
        up.header.change_mask = LinkFlags::Up;
        ask(RouteNetlinkMessage::SetLink(up), 0).with_context(|| format!("bring {NAME} up"))
    })
}

/// Asks the kernel, in the network namespace of the calling thread, for one thing. See netlink(7).
///
/// # Errors
/// When it refuses.
fn ask(message: RouteNetlinkMessage, flags: u16) -> Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    let socket = Socket::new(NETLINK_ROUTE).context("open a netlink socket")?;
    socket.send(&buffer, 0).context("send to netlink")?;

    let mut answer = Vec::with_capacity(32 * 1024);
    socket.recv(&mut answer, 0).context("receive from netlink")?;
    let answer: NetlinkMessage<RouteNetlinkMessage> =
        NetlinkMessage::deserialize(&answer).context("read netlink's answer")?;
    let NetlinkPayload::Error(outcome) = answer.payload else {
        bail!("netlink gave another answer than was asked for")
    };
    // An acknowledgement is an error message with the code 0.
    let code = outcome.code.map_or(0, |code| -code.get());
    ensure!(code == 0, Errno::from_raw(code));
    Ok(())
}
