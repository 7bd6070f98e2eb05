//! The container network's addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};

/// An IPv4 subnet: `10.77.0.0/16`. Its first address is the bridge's, and the containers' gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    network: u32,
    prefix: u8,
}

impl Subnet {
    /// A subnet from its network address and the length of its prefix in bits.
    ///
    /// # Errors
    /// When no container would fit, or `network` has bits outside the prefix.
    pub fn new(network: Ipv4Addr, prefix: u8) -> Result<Subnet> {
        ensure!((8..=30).contains(&prefix), "the prefix must be /8 to /30");
        let subnet = Subnet { network: network.into(), prefix };
        let start = Ipv4Addr::from(subnet.network & subnet.mask());
        ensure!(start == network, "a subnet starts at its first address: write {start}/{prefix}");
        Ok(subnet)
    }

    /// The first address: the bridge's own.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    /// The length of the prefix, in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The addresses for containers: neither the network itself, nor the gateway, nor the broadcast.
    pub fn hosts(&self) -> impl Iterator<Item = Ipv4Addr> + Clone + use<> {
        (self.network + 2..(self.network | !self.mask())).map(Ipv4Addr::from)
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, network: Ipv4Addr, prefix: u8) -> bool {
        let mask = mask(prefix.min(self.prefix));
        self.network & mask == u32::from(network) & mask
    }

    fn mask(&self) -> u32 {
        mask(self.prefix)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl Default for Subnet {
    /// A range that neither Docker (172.17.0.0/16 and up, 192.168.0.0/16) nor Podman (10.88.0.0/16
    /// and up) takes for itself.
    fn default() -> Self {
        Subnet { network: Ipv4Addr::new(10, 77, 0, 0).into(), prefix: 16 }
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Subnet> {
        let parse = || {
            let (network, prefix) = text.split_once('/')?;
            Some((network.parse().ok()?, prefix.parse().ok()?))
        };
        let (network, prefix) =
            parse().context("write a subnet as ADDRESS/PREFIX: 10.77.0.0/16")?;
        Subnet::new(network, prefix)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_knows_its_addresses() {
        let subnet: Subnet = "10.1.2.0/29".parse().unwrap();
        assert_eq!(subnet.gateway(), Ipv4Addr::new(10, 1, 2, 1));
        let hosts: Vec<_> = subnet.hosts().map(|host| host.octets()[3]).collect();
        assert_eq!(hosts, [2, 3, 4, 5, 6]);
    }

    #[test]
    fn overlap_goes_both_ways() {
        let subnet = Subnet::default();
        assert!(subnet.overlaps(Ipv4Addr::new(10, 77, 3, 0), 24));
        assert!(subnet.overlaps(Ipv4Addr::new(10, 0, 0, 0), 8));
        assert!(!subnet.overlaps(Ipv4Addr::new(10, 78, 0, 0), 16));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "10.77.0.0", "10.77.0.0/31", "10.77.0.0/99", "10.77.0.1/16", "x/16"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
