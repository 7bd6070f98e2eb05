//! The host is safe: what it is before a test, it is after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;

/// What a test could change on the host, as text.
pub(crate) type Fingerprint = BTreeMap<&'static str, String>;

/// The host's mounts, links, addresses, routes, packet filter, hostname, IPC objects, and cgroups as
/// we name them.
///
/// Labs of other tests run at the same time: their cgroups are left out here, and looked for at the
/// end of all tests by [`expect_no_cgroup_left`].
pub(crate) fn fingerprint() -> Fingerprint {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut cgroups = cgroups();
    cgroups.retain(|path| path.contains("/keel/") && !path.contains("/keel/lab-"));
    BTreeMap::from([
        ("mounts", file("/proc/self/mountinfo")),
        ("links", names_in("/sys/class/net").join("\n")),
        ("addresses", file("/proc/net/fib_trie")),
        ("routes", file("/proc/net/route")),
        ("netfilter rules", ruleset()),
        ("ip_forward", file("/proc/sys/net/ipv4/ip_forward")),
        ("hostname", file("/proc/sys/kernel/hostname")),
        ("shared memory", names_of_shm(&file("/proc/sysvipc/shm"))),
        ("cgroups", cgroups.join("\n")),
    ])
}

/// Fails if the host differs from what it was.
pub(crate) fn expect_unchanged(before: &Fingerprint) -> Result<(), Failed> {
    let after = fingerprint();
    for (what, was) in before {
        let is = &after[what];
        if was != is {
            let added: Vec<_> =
                is.lines().filter(|line| !was.lines().any(|l| l == *line)).collect();
            let gone: Vec<_> = was.lines().filter(|line| !is.lines().any(|l| l == *line)).collect();
            return Err(format!("the host's {what} changed: new {added:#?}, gone {gone:#?}").into());
        }
    }
    Ok(())
}

/// Fails if a lab that is gone left a cgroup behind.
pub(crate) fn expect_no_cgroup_left() -> Result<(), Failed> {
    let left: Vec<_> =
        cgroups().into_iter().filter(|path| is_of_a_lab_that_is_gone(path)).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("cgroups left behind: {left:#?}").into()) }
}

/// A lab's cgroup is named after its first process: `…/keel/lab-PID-NAMESPACE`.
fn is_of_a_lab_that_is_gone(path: &str) -> bool {
    let name = path.split("/keel/lab-").nth(1).unwrap_or_default();
    let pid = name.split('-').next().unwrap_or_default();
    !pid.is_empty() && !Path::new("/proc").join(pid).exists()
}

/// Every cgroup of the host, by its folder.
pub(crate) fn cgroups() -> Vec<String> {
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &mut found);
    found.sort();
    found
}

fn walk(dir: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path().display().to_string());
            walk(&entry.path(), found);
        }
    }
}

fn names_in(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Only key and id: sizes and times of other programs' segments change by themselves.
fn names_of_shm(table: &str) -> String {
    let columns = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    table.lines().map(columns).collect::<Vec<_>>().join("\n")
}

/// The packet filter's rules without their counters; empty where they can't be read.
fn ruleset() -> String {
    let listed = Command::new("nft").args(["--stateless", "list", "ruleset"]).output();
    listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
