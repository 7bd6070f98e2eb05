//! Published ports: what `-p` says, and how a port is held while a container has it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};

/// A port of the host that leads to a port of a container: `[ADDRESS:]HOST:CONTAINER[/tcp|/udp]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Port {
    /// The host's address at which it is open; 0.0.0.0 means all that the host has.
    pub address: Ipv4Addr,
    /// The port on the host.
    pub host: u16,
    /// The port in the container.
    pub container: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// What a published port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// tcp(7)
    Tcp,
    /// udp(7)
    Udp,
}

impl Port {
    /// Whether the two can't be open at the same time.
    pub fn clashes(&self, other: &Port) -> bool {
        self.protocol == other.protocol
            && self.host == other.host
            && (self.address == other.address
                || self.address.is_unspecified()
                || other.address.is_unspecified())
    }
}

/// Takes `ports` for a container, or fails when one of them is `taken`, or in use by the host.
///
/// Each is held by a socket that nobody ever reads: the packets are turned off to the container
/// before they get there. It keeps others from opening the port, and the kernel closes it with its
/// process, however that ends. `ss -ltn` shows it.
pub(crate) fn reserve<'a>(
    ports: &'a [Port],
    taken: impl Iterator<Item = &'a Port> + Clone,
) -> Result<Vec<Reserved>> {
    let mut reserved = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let socket = if taken.clone().chain(&ports[..i]).any(|other| other.clashes(port)) {
            Err(anyhow!("the port is in use"))
        } else {
            port.open()
        };
        reserved.push(socket.with_context(|| format!("publish {}", port.host))?);
    }
    Ok(reserved)
}

impl Port {
    fn open(&self) -> Result<Reserved> {
        let at = (self.address, self.host);
        let socket = match self.protocol {
            // std sets SO_REUSEADDR, or the last connections of an earlier server would be in the way.
            Protocol::Tcp => TcpListener::bind(at).map(Reserved::Tcp),
            Protocol::Udp => UdpSocket::bind(at).map(Reserved::Udp),
        };
        socket.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => anyhow!("the port is in use"),
            io::ErrorKind::AddrNotAvailable => anyhow!("the host has no address {}", self.address),
            _ => error.into(),
        })
    }
}

/// A port that is ours as long as this value lives.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what their existence does")]
pub(crate) enum Reserved {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl FromStr for Port {
    type Err = Error;

    fn from_str(text: &str) -> Result<Port> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let parts: Vec<_> = ports.split(':').collect();
        let (address, host, container) = match parts[..] {
            [host, container] => ("0.0.0.0", host, container),
            [address, host, container] => (address, host, container),
            _ => return Err(anyhow!("write [ADDRESS:]HOST:CONTAINER[/udp], like 8080:80")),
        };
        Ok(Port {
            address: address.parse().map_err(|_| anyhow!("'{address}' is not an IPv4 address"))?,
            host: number(host)?,
            container: number(container)?,
            protocol: protocol.parse()?,
        })
    }
}

fn number(text: &str) -> Result<u16> {
    let port = text.parse().unwrap_or(0);
    ensure!(port != 0, "'{text}' is not a port: a number from 1 to 65535");
    Ok(port)
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Protocol> {
        match text {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            _ => Err(anyhow!("'{text}' is not a protocol: tcp or udp")),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl fmt::Display for Port {
    /// As on the command line, with nothing left out: `0.0.0.0:8080:80/tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}/{}", self.address, self.host, self.container, self.protocol)
    }
}

impl TryFrom<String> for Port {
    type Error = Error;

    fn try_from(text: String) -> Result<Port> {
        text.parse()
    }
}

impl From<Port> for String {
    fn from(port: Port) -> String {
        port.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_docker_writes_them() {
        for (text, full) in
            [("8080:80", "0.0.0.0:8080:80/tcp"), ("127.0.0.1:53:5353/udp", "127.0.0.1:53:5353/udp")]
        {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), full);
        }
        for text in ["", "80", "0:80", "80:", "1:2:3:4", "x:80", "80:99999", "80:80/sctp", "a:1:2"]
        {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_addresses_clash_with_each() {
        let port = |text: &str| text.parse::<Port>().unwrap();
        assert!(port("80:1").clashes(&port("127.0.0.1:80:2")));
        assert!(!port("127.0.0.2:80:1").clashes(&port("127.0.0.1:80:2")));
        assert!(!port("80:1").clashes(&port("80:1/udp")));
    }
}
