//! Links, addresses and routes, from /proc/PID/net: it shows the network of that process, so there is
//! no need to enter it.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use serde::{Serialize, Serializer};

use crate::proc::ProcDir;

/// A network namespace. See network_namespaces(7).
#[derive(Debug, Clone, Default, Serialize)]
pub struct Network {
    /// Its network interfaces, in the kernel's order.
    pub links: Vec<Link>,
    /// The IPv4 routes that aren't a link's own subnet, and the IPv6 default.
    pub routes: Vec<Route>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<Address>,
}

impl Link {
    /// Whether it is one that some kernel modules put into every new network namespace.
    pub fn comes_by_itself(&self) -> bool {
        const FALLBACK: [&str; 9] = [
            "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0",
            "ip6gre0",
        ];
        FALLBACK.contains(&self.name.as_str()) && !self.up
    }
}

/// An address with the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// How many of its bits name the network.
    pub prefix: u32,
}

impl Address {
    /// Whether the kernel made it up for one link: fe80::/10.
    pub fn is_link_local(&self) -> bool {
        matches!(self.ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where packets for a network go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The network; `None` stands for everything else, the default.
    pub network: Option<Address>,
    /// The router, if the network isn't directly on the link.
    pub gateway: Option<IpAddr>,
    /// The link.
    pub link: String,
}

impl Network {
    /// The network of `process`. A kernel without IPv6, or with that switched off, has none to show.
    pub(crate) fn look(process: &ProcDir) -> Result<Self> {
        let read =
            |name: &str| process.read_if_any(&format!("net/{name}")).map(Option::unwrap_or_default);
        let multicast = read("igmp")?;
        let up = links_up(&multicast);
        let mut links: Vec<Link> = link_names(&read("dev")?)
            .map(|name| Link {
                name: name.to_owned(),
                up: up.contains(name),
                addresses: Vec::new(),
            })
            .collect();
        let mut routes = routes4(&read("route")?);
        for ip in local4(&read("fib_trie")?) {
            place4(ip, &routes, &mut links);
        }
        for (name, address) in addresses6(&read("if_inet6")?) {
            let link = links.iter_mut().find(|link| link.name == name);
            link.into_iter().for_each(|link| link.addresses.push(address));
        }
        routes.retain(|route| route.gateway.is_some() || route.network.is_none());
        routes.extend(default6(&read("ipv6_route")?));
        Ok(Network { links, routes })
    }
}

/// The names in /proc/net/dev: a table with two lines of headings.
fn link_names(dev: &str) -> impl Iterator<Item = &str> {
    dev.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()))
}

/// The links that are switched on, in /proc/net/igmp.
///
/// No file under /proc/net has the flags. But a link joins the group of all hosts, 224.0.0.1, when it
/// is switched on, and leaves it when switched off.
fn links_up(igmp: &str) -> HashSet<&str> {
    let all_hosts = format!("{:08X}", u32::from_ne_bytes([224, 0, 0, 1]));
    let mut link = "";
    let mut up = HashSet::new();
    for line in igmp.lines() {
        let mut words = line.split_whitespace();
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            link = words.nth(1).unwrap_or_default().trim_end_matches(':');
        } else if words.next() == Some(&all_hosts) {
            up.insert(link);
        }
    }
    up
}

/// The addresses of this host in /proc/net/fib_trie.
///
/// The file draws the routing table as a tree; a leaf `|-- ADDRESS` followed by `/32 host LOCAL` is an
/// address that packets end at.
fn local4(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut leaf = None;
    let mut addresses = Vec::new();
    for line in fib_trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            // The tree is drawn once for each table, and two tables are one at first.
            addresses.extend(leaf.filter(|address| !addresses.contains(address)));
        }
    }
    addresses
}

/// The routes in /proc/net/route.
fn routes4(route: &str) -> Vec<Route> {
    // Addresses are the bytes of the packet, printed as this machine's number.
    let address = |word: &str| -> Option<Ipv4Addr> {
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes().into())
    };
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [link, network, gateway, _, _, _, _, mask, ..] = words[..] else { return None };
        let (ip, gateway) = (address(network)?, address(gateway)?);
        let prefix = address(mask)?.to_bits().count_ones();
        let network = Address { ip: ip.into(), prefix };
        Some(Route {
            network: (prefix > 0).then_some(network),
            gateway: (!gateway.is_unspecified()).then_some(gateway.into()),
            link: link.to_owned(),
        })
    };
    route.lines().skip(1).filter_map(line).collect()
}

/// Gives an IPv4 address to the link whose subnet it is in.
///
/// The routing table's tree has the addresses without their links, the list of routes the links with
/// their subnets.
fn place4(ip: Ipv4Addr, routes: &[Route], links: &mut [Link]) {
    let subnet = |route: &&Route| match route {
        Route {
            network: Some(Address { ip: IpAddr::V4(network), prefix }), gateway: None, ..
        } => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits()
        }
        _ => false,
    };
    let prefix = |route: &&Route| route.network.map_or(0, |network| network.prefix);
    let (name, prefix) = match routes.iter().filter(subnet).max_by_key(prefix) {
        Some(route) => (route.link.as_str(), prefix(&route)),
        None if ip.is_loopback() => ("lo", 8),
        // An address without a subnet: the only other link has it, else it stays with lo.
        None => match links {
            [_, link] => (&*link.name.clone(), 32),
            _ => ("lo", 32),
        },
    };
    let link = links.iter_mut().find(|link| link.name == name);
    link.into_iter().for_each(|link| link.addresses.push(Address { ip: ip.into(), prefix }));
}

/// The addresses in /proc/net/if_inet6, each with its link's name.
fn addresses6(if_inet6: &str) -> impl Iterator<Item = (&str, Address)> {
    if_inet6.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let ip = Ipv6Addr::from_bits(u128::from_str_radix(words.next()?, 16).ok()?);
        let prefix = u32::from_str_radix(words.nth(1)?, 16).ok()?;
        Some((words.nth(2)?, Address { ip: ip.into(), prefix }))
    })
}

/// The default route in /proc/net/ipv6_route.
fn default6(ipv6_route: &str) -> impl Iterator<Item = Route> {
    ipv6_route.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, prefix, _, _, gateway, _, _, _, _, link] = words[..] else { return None };
        let gateway = Ipv6Addr::from_bits(u128::from_str_radix(gateway, 16).ok()?);
        let default = prefix == "00" && !gateway.is_unspecified();
        default.then(|| Route {
            network: None,
            gateway: Some(gateway.into()),
            link: link.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IGMP: &str = "\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
7\tverylongname0:     1      V3
\t\t\t\tFB0000E0     1 0:00000000\t\t0
";
    const FIB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/1 2 0 2
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 10.1.2.0
        /24 link UNICAST
     |-- 10.1.2.3
        /32 host LOCAL
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
Local:
     |-- 10.1.2.3
        /32 host LOCAL
";
    const ROUTE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0102010A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0002010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

    #[test]
    fn up_is_who_is_in_the_group_of_all_hosts() {
        assert_eq!(links_up(IGMP), HashSet::from(["lo"]));
    }

    #[test]
    fn each_address_once() {
        let addresses = local4(FIB_TRIE);
        assert_eq!(addresses, [Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::LOCALHOST]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_address_finds_its_link() {
        let routes = routes4(ROUTE);
        assert_eq!(routes[0].gateway.unwrap().to_string(), "10.1.2.1");
        let link = |name: &str| Link { name: name.into(), up: true, addresses: Vec::new() };
        let mut links = [link("lo"), link("eth1"), link("eth0")];
        for ip in local4(FIB_TRIE) {
            place4(ip, &routes, &mut links);
        }
        assert_eq!(links[0].addresses[0].to_string(), "127.0.0.1/8");
        assert!(links[1].addresses.is_empty());
        assert_eq!(links[2].addresses[0].to_string(), "10.1.2.3/24");
    }

    #[test]
    fn ipv6() {
        let line = "fe80000000000000ac0424fffe314aae 03 40 20 c0       v0\n";
        let (link, address) = addresses6(line).next().unwrap();
        assert_eq!((link, address.to_string().as_str()), ("v0", "fe80::ac04:24ff:fe31:4aae/64"));
        assert!(address.is_link_local());
        let zero = "0".repeat(32);
        let reject = format!("{zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo");
        assert_eq!(default6(&reject).count(), 0);
        let router = format!("{zero} 00 {zero} 00 {:0>32} 400 1 0 00000003 eth0", "1");
        assert_eq!(default6(&router).next().unwrap().link, "eth0");
    }
}
