//! /etc/hosts, /etc/hostname and /etc/resolv.conf: what a container's programs read to know names.
//!
//! They differ from container to container, so they can't be in the shared rootfs, and they aren't
//! the container's work, so they don't belong in its layer. As in Docker they are files of the host,
//! mounted over those of the rootfs: made before the container's mounts, and filled in when its
//! address is known.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};
use mount_ns::Volume;
use nix::unistd::Pid;
use unshare::Namespace;

use crate::{Network, lease};

/// The folder with a container's three files.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    is_temporary: bool,
}

const NAMES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

impl Files {
    /// Makes the files, empty, in `folder`, which must be there.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn create(folder: &Path) -> Result<Files> {
        let files = Files { folder: folder.to_owned(), is_temporary: false };
        NAMES.iter().try_for_each(|name| files.put(name, ""))?;
        Ok(files)
    }

    /// Makes the files, empty, in a folder of the calling process's own. Dropping this removes it;
    /// what killed processes have left is removed here.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn temporary() -> Result<Files> {
        let above = lease::default_folder()?;
        // A pid means something only together with its pid namespace.
        let prefix = format!("files-{}-", Namespace::Pid.inode(Pid::this())?);
        for entry in fs::read_dir(&above).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = above.join(format!("{prefix}{}", process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let mut files = Files::create(&folder)?;
        files.is_temporary = true;
        Ok(files)
    }

    /// The mounts that show them in the container.
    pub fn volumes(&self) -> Vec<Volume> {
        let volume = |name: &&str| Volume {
            source: self.folder.join(name),
            target: Path::new("/etc").join(name),
            read_only: false,
        };
        NAMES.iter().map(volume).collect()
    }

    /// Fills them in for a container of this name, in this network, with this address.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn fill(&self, hostname: &str, network: &Network, address: Option<Ipv4Addr>) -> Result<()> {
        self.put("hostname", &format!("{hostname}\n"))?;
        self.put("hosts", &hosts(hostname, address))?;
        let of_host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        match network {
            // The same loopback device, so the same resolver can be reached there.
            Network::Host | Network::Container(_) => self.put("resolv.conf", &of_host),
            Network::None => self.put("resolv.conf", ""),
            Network::Bridge => {
                let of_resolved = fs::read_to_string(RESOLVED).unwrap_or_default();
                self.put("resolv.conf", &resolv_conf(&of_host, &of_resolved))
            }
        }
    }

    fn put(&self, name: &str, content: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// /etc/hosts: names that are known without asking anybody. See hosts(5).
pub fn hosts(hostname: &str, address: Option<Ipv4Addr>) -> String {
    // Without an address of its own, a program that looks up its own name still gets an answer.
    let address = address.unwrap_or(Ipv4Addr::LOCALHOST);
    format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{address}\t{hostname}\n"
    )
}

/// Where systemd-resolved writes the servers that it asks itself. In /etc/resolv.conf it only names
/// itself, at 127.0.0.53.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// /etc/resolv.conf for a container on a bridge, from the host's own and systemd-resolved's. See
/// resolv.conf(5).
///
/// A name server on the host's loopback device can't be reached from the container, whose 127.0.0.1
/// is itself, and one with an IPv6 address neither, since the network has IPv4 only.
pub fn resolv_conf(of_host: &str, of_resolved: &str) -> String {
    let can_reach = |line: &str| match nameserver(line) {
        Some(server) => matches!(server, IpAddr::V4(server) if !server.is_loopback()),
        None => !line.trim_start().starts_with("nameserver"),
    };
    let any = |text: &str| text.lines().any(|line| nameserver(line).is_some() && can_reach(line));
    let text = if any(of_host) || !any(of_resolved) { of_host } else { of_resolved };

    let no_comments = text.lines().filter(|line| !line.starts_with(['#', ';']));
    let mut lines: Vec<&str> = no_comments.filter(|line| can_reach(line)).collect();
    if !any(text) {
        lines.push("# None of the host's name servers can be reached from here.");
    }
    lines.join("\n") + "\n"
}

fn nameserver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    words.next().filter(|&keyword| keyword == "nameserver")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_cannot_be_reached_are_left_out() {
        let of_host = "# made by hand\nsearch lan\nnameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n";
        assert_eq!(resolv_conf(of_host, ""), "search lan\nnameserver 192.0.2.1\n");
    }

    #[test]
    fn behind_systemd_resolved_are_the_real_servers() {
        let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\n";
        let real = "nameserver 192.0.2.1\nsearch .\n";
        assert_eq!(resolv_conf(stub, real), real);
        assert_eq!(
            resolv_conf(stub, ""),
            "options edns0 trust-ad\n# None of the host's name servers can be reached from here.\n"
        );
    }

    #[test]
    fn a_container_knows_its_own_name() {
        let text = hosts("web", Some(Ipv4Addr::new(10, 77, 0, 2)));
        assert!(text.ends_with("10.77.0.2\tweb\n"), "{text}");
    }
}
