//! Where the host's packets go already.

use std::net::Ipv4Addr;

use anyhow::Result;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::{Netlink, Request};

/// A route of the main table that leads to a network. The default route leads to none.
#[derive(Debug)]
pub(crate) struct Route {
    /// The network's address.
    pub(crate) network: Ipv4Addr,
    /// The length of its prefix, in bits.
    pub(crate) prefix: u8,
    /// The index of the device by which it is reached.
    device: Option<u32>,
}

/// The IPv4 routes of the network that `netlink` speaks to.
pub(crate) fn list(netlink: &mut Netlink) -> Result<Vec<Route>> {
    let mut all = RouteMessage::default();
    all.header.address_family = AddressFamily::Inet;
    let question = Request::dump("list the routes", RouteNetlinkMessage::GetRoute(all));
    Ok(netlink.ask(vec![question])?.into_iter().filter_map(Route::read).collect())
}

impl Route {
    fn read(answer: RouteNetlinkMessage) -> Option<Route> {
        let RouteNetlinkMessage::NewRoute(message) = answer else { return None };
        if message.header.table != RouteHeader::RT_TABLE_MAIN {
            return None;
        }
        let network = message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(network)) => Some(*network),
            _ => None,
        })?;
        let device = message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        Some(Route { network, prefix: message.header.destination_prefix_length, device })
    }

    /// The name of its device, for a sentence.
    pub(crate) fn device_name(&self, netlink: &mut Netlink) -> Option<String> {
        let mut link = LinkMessage::default();
        link.header.index = self.device?;
        let question = Request::get("look for a device", RouteNetlinkMessage::GetLink(link));
        let answers = netlink.ask(vec![question]).ok()?;
        answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => {
                link.attributes.into_iter().find_map(|attribute| match attribute {
                    LinkAttribute::IfName(name) => Some(name),
                    _ => None,
                })
            }
            _ => None,
        })
    }
}
