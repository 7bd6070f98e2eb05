//! The way out, and the way in: masquerade and published ports.
//!
//! The rules stand in rules.nft, in nft's own language, where they can be read. They are loaded by
//! the program nft(8): once for the bridge, and again when a port is published or taken back. A
//! container without published ports starts and ends without any program's help.

use std::io::{self, ErrorKind, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::lease::Lease;
use crate::netlink::{Netlink, Request};
use crate::{Port, Subnet};

/// The rules for the bridge `keel0` with the subnet 10.77.0.0/16.
const RULES: &str = include_str!("rules.nft");

/// Loads the rules, with the published ports of `leases`, in one transaction. It works whatever was
/// there before, so it is also the repair.
pub(crate) fn load(bridge: &str, subnet: &Subnet, leases: &[Lease]) -> Result<()> {
    let rules = RULES.replace("keel0", bridge).replace("10.77.0.0/16", &subnet.to_string());
    let elements = leases.iter().flat_map(|lease| published(bridge, lease.address, &lease.ports));
    nft(&(rules + &elements.collect::<String>()))
}

/// Publishes ports of the container with this address.
pub(crate) fn publish(bridge: &str, address: Ipv4Addr, ports: &[Port]) -> Result<()> {
    nft(&published(bridge, address, ports).collect::<String>())
}

/// Takes them back. Adding an element that is there already changes nothing, and deleting one that
/// isn't there fails; so both, in one transaction, works after any crash.
pub(crate) fn unpublish(bridge: &str, address: Ipv4Addr, ports: &[Port]) -> Result<()> {
    let added = published(bridge, address, ports);
    let deleted = ports
        .iter()
        .map(|port| format!("delete element ip {bridge} published {{ {} }}\n", key(port)));
    nft(&added.chain(deleted).collect::<String>())
}

fn published(bridge: &str, address: Ipv4Addr, ports: &[Port]) -> impl Iterator<Item = String> {
    ports.iter().map(move |port| {
        let (key, to) = (key(port), port.container);
        format!("add element ip {bridge} published {{ {key} : {address} . {to} }}\n")
    })
}

fn key(port: &Port) -> String {
    // The empty prefix matches every address.
    let address =
        if port.address.is_unspecified() { "0.0.0.0/0".into() } else { port.address.to_string() };
    format!("{address} . {} . {}", port.protocol, port.host)
}

/// Takes the whole table away, if it is there.
pub(crate) fn unload(bridge: &str) -> Result<()> {
    if is_loaded(bridge) { nft(&format!("delete table ip {bridge}\n")) } else { Ok(()) }
}

/// Runs nft with `script` as its input.
fn nft(script: &str) -> Result<()> {
    // An ordinary user's PATH often lacks /usr/sbin.
    let spawn = |program| {
        Command::new(program)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    };
    let started = ["nft", "/usr/sbin/nft", "/sbin/nft"]
        .into_iter()
        .map(spawn)
        .find(|started| !matches!(started, Err(error) if error.kind() == ErrorKind::NotFound));
    let mut nft = match started {
        None => bail!("there is no program 'nft': install the package nftables"),
        Some(started) => started.context("start nft")?,
    };
    let mut input = nft.stdin.take().context("write to nft")?;
    let written = input.write_all(script.as_bytes());
    drop(input);
    let output = nft.wait_with_output().context("wait for nft")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        // "/dev/stdin:3:1-17: Error: Could not process rule: …", and then the line itself.
        let first = message.lines().next().unwrap_or_default();
        let reason = first.split_once("Error: ").map_or(first, |(_, reason)| reason);
        bail!("nft: {}", reason.trim());
    }
    written.or_else(|error| match error.kind() {
        // It succeeded all the same.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error).context("write to nft"),
    })
}

/// Whether the kernel has the bridge's table: one question by netlink, a thousandth of what starting
/// `nft` costs. A firewall that was reloaded has thrown it away.
pub(crate) fn is_loaded(bridge: &str) -> bool {
    let ask = || {
        let request = Request::get("look for the table", GetTable(bridge.to_owned()));
        Netlink::open(NETLINK_NETFILTER)?.ask(vec![request])
    };
    ask().is_ok()
}

/// From linux/netfilter/nf_tables.h; libc doesn't have it.
const NFTA_TABLE_NAME: u16 = 1;

/// NFT_MSG_GETTABLE, by hand: no crate knows enough of nf_tables yet to be worth its weight here.
struct GetTable(String);

impl GetTable {
    // struct nfgenmsg: the family, and three bytes that are 0.
    const HEADER: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];

    fn name(&self) -> DefaultNla {
        let bytes = [self.0.as_bytes(), b"\0"].concat();
        DefaultNla::new(NFTA_TABLE_NAME, bytes)
    }
}

impl NetlinkSerializable for GetTable {
    fn message_type(&self) -> u16 {
        (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | libc::NFT_MSG_GETTABLE as u16
    }

    fn buffer_len(&self) -> usize {
        Self::HEADER.len() + self.name().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (header, attribute) = buffer.split_at_mut(Self::HEADER.len());
        header.copy_from_slice(&Self::HEADER);
        self.name().emit(attribute);
    }
}

impl NetlinkDeserializable for GetTable {
    type Error = DecodeError;

    /// That there is an answer is all we want to know.
    fn deserialize(_: &NetlinkHeader, _: &[u8]) -> Result<Self, DecodeError> {
        Ok(GetTable(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_names_both_ends() {
        let ports = ["8080:80".parse().unwrap(), "127.0.0.1:53:5353/udp".parse().unwrap()];
        let elements: Vec<_> = published("keel0", Ipv4Addr::new(10, 77, 0, 2), &ports).collect();
        assert_eq!(
            elements,
            [
                "add element ip keel0 published { 0.0.0.0/0 . tcp . 8080 : 10.77.0.2 . 80 }\n",
                "add element ip keel0 published { 127.0.0.1 . udp . 53 : 10.77.0.2 . 5353 }\n",
            ]
        );
    }
}
