//! Settings of the calling thread's network namespace: /proc/sys/net. See proc_sys_net(5).

use std::fs;

use anyhow::{Context, Result};

// ANCHOR: forwarding
/// Makes the host a router: without this it drops packets that are for somebody else. Docker and
/// Podman do the same. It stays on, because nobody can tell who else relies on it by then.
pub(crate) fn allow_forwarding() -> Result<()> {
    let path = "/proc/sys/net/ipv4/ip_forward";
    let current = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    if current.trim() == "1" { Ok(()) } else { set("ipv4/ip_forward", "1") }
}

/// Lets packets from the host's 127.0.0.1 out through the bridge, so that published ports can be
/// reached there. rules.nft has the other half: nothing comes in this way.
pub(crate) fn allow_localhost(bridge: &str) -> Result<()> {
    set(&format!("ipv4/conf/{bridge}/route_localnet"), "1")
}
// ANCHOR_END: forwarding

/// Turns IPv6 off for one device, or, by the name `default`, for those that are made from now on. Our
/// network is IPv4 only, and a container could announce itself to the others, and to the host, as
/// their IPv6 router (CVE-2020-13401).
pub(crate) fn no_ipv6(device: &str) {
    // A kernel without IPv6 has no such file.
    let _ = set(&format!("ipv6/conf/{device}/disable_ipv6"), "1");
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).with_context(|| format!("write {value} to {path}"))
}
