//! The doctor on this machine, and in situations that are made on it for one command.

use std::fs;
use std::process::{Command, Output};

use nix::unistd::geteuid;
use serde_json::Value;
use workshop::doctor::machine::Machine;
use workshop::doctor::{Finding, Verdict, judge};
use workshop::prepare;

use super::has_mends;

/// The doctor's program.
fn doctor() -> String {
    format!("{} doctor", prepare::bin_dir().unwrap().join("workshop").display())
}

fn sh(script: &str) -> Output {
    Command::new("sh").args(["-ec", script]).env("KEEL_PREBUILT", "1").output().unwrap()
}

/// Runs a script in namespaces that are gone when it ends, as root there.
fn unshared(kinds: &str, script: &str) -> Value {
    let as_root = if geteuid().is_root() { "" } else { "--map-root-user" };
    let script = script.replace('\'', "'\\''");
    json(&sh(&format!("unshare {as_root} {kinds} --propagation private sh -ec '{script}'")))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {output:?}");
    })
}

/// The finding `what` of a doctor's JSON.
fn found(all: &Value, what: &str) -> Value {
    let findings = all["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["what"] == what);
    found.unwrap_or_else(|| panic!("no finding {what}: {all:#}")).clone()
}

pub(super) fn this_machine() {
    let output = sh(&format!("{} --json", doctor()));
    let all = json(&output);
    let machine: Machine = serde_json::from_value(all["machine"].clone()).unwrap();
    let findings: Vec<Finding> = serde_json::from_value(all["findings"].clone()).unwrap();
    // What it wrote down is all that the judge has seen.
    assert_eq!(judge(&machine), findings);
    has_mends(&findings);
    let fails = findings.iter().any(|finding| finding.verdict == Verdict::Fails);
    assert_eq!(output.status.code(), Some(i32::from(fails)));
    // The other two ways to tell it say the same.
    let people = sh(&doctor());
    assert_eq!(people.status.code(), output.status.code());
    let people = String::from_utf8(people.stdout).unwrap();
    assert!(findings.iter().all(|finding| people.contains(&finding.what)), "{people}");
    // This very test runs in labs: they open.
    assert!(!found(&all, "the lab")["seen"].as_str().unwrap().contains("error"), "{all:#}");
    assert_eq!(found(&all, "the lab")["verdict"], "works");
}

pub(super) fn no_private_data() {
    let output = sh(&format!("{} --report", doctor()));
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(report.lines().count(), 1, "{report}");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let user = nix::unistd::User::from_uid(geteuid()).unwrap().map(|user| user.name);
    // "root" is no secret, and a host may have its system's name.
    let system =
        json(&sh(&format!("{} --json || :", doctor())))["machine"]["system"]["name"].clone();
    let report = report.replace(system.as_str().unwrap(), "");
    let words: Vec<&str> = report.split(|c: char| !c.is_alphanumeric()).collect();
    assert!(!report.contains(&prepare::repository().display().to_string()), "{report}");
    for private in [Some(host.trim().to_owned()), user.filter(|name| name != "root")] {
        assert!(private.is_none_or(|name| !words.contains(&name.as_str())), "{report}");
    }
}

/// Nothing in the folder where it tries an overlay.
pub(super) fn leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().display();
    let all = json(&sh(&format!("KEEL_ROOT={path}/state {} --json || :", doctor())));
    assert_eq!(all["machine"]["state"]["path"], path.to_string());
    assert!(all["machine"]["trials"]["state-overlay"].is_object(), "{all:#}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// `--keep-caps`: the limit is written by one who is not root there.
pub(super) fn no_user_namespaces() {
    let script = format!(
        "unshare --user --keep-caps sh -ec 'echo 0 >/proc/sys/user/max_user_namespaces; \
         exec setpriv --ambient-caps -all --inh-caps -all {} --json'",
        doctor()
    );
    let all = json(&sh(&script));
    let finding = found(&all, "user namespaces");
    assert_eq!(finding["verdict"], "fails", "{finding:#}");
    let mend = finding["mend"].to_string();
    assert!(mend.contains("sudo sysctl user.max_user_namespaces=15000"), "{mend}");
    assert_eq!(found(&all, "the lab")["because"], "user namespaces");
}

pub(super) fn in_a_lab() {
    let workshop = prepare::bin_dir().unwrap().join("workshop");
    let script = format!("{} lab --no-build {} --json || :", workshop.display(), doctor());
    let all = json(&sh(&script));
    assert_eq!(all["machine"]["system"]["container"], "Keel's lab");
    for what in ["the lab", "overlayfs", "bridge and veth", "keel's own folder"] {
        assert_eq!(found(&all, what)["verdict"], "works", "{all:#}");
    }
    assert_eq!(
        found(&all, "a way to the Internet")["seen"],
        "no default route, and none needed: all is built"
    );
}

/// A doctor whose target folder is a tmpfs with these options.
fn on_tmpfs(options: &str) -> Value {
    let target = tempfile::tempdir().unwrap();
    let path = target.path().display();
    let all = unshared(
        "--mount",
        &format!(
            "mount -t tmpfs -o {options} none {path}; CARGO_TARGET_DIR={path} {} --json || :",
            doctor()
        ),
    );
    found(&all, "the target folder")
}

pub(super) fn noexec() {
    let finding = on_tmpfs("noexec");
    assert_eq!(finding["verdict"], "fails");
    assert!(finding["mend"].to_string().contains("it is mounted noexec"), "{finding:#}");
    assert_eq!(finding["guest"], false);
}

pub(super) fn full() {
    let finding = on_tmpfs("size=64k");
    assert_eq!(finding["verdict"], "fails");
    assert!(finding["seen"].as_str().unwrap().ends_with("tmpfs, 64 KiB free"), "{finding:#}");
    assert_eq!(on_tmpfs("size=4g")["verdict"], "works");
}

pub(super) fn no_route() {
    let all = unshared(
        "--net",
        &format!("env -u http_proxy -u https_proxy -u HTTPS_PROXY {} --json || :", doctor()),
    );
    let seen = found(&all, "a way to the Internet")["seen"].clone();
    assert!(seen.as_str().unwrap().starts_with("no default route"), "{seen}");
}

/// Something that is no file stands where nft was, if it was.
pub(super) fn no_nft() {
    let all = unshared(
        "--mount",
        &format!(
            "for nft in /usr/sbin/nft /sbin/nft /usr/bin/nft; do \
               [ ! -e $nft ] || mount --bind /dev/null $nft; done; {} --json || :",
            doctor()
        ),
    );
    let finding = found(&all, "nftables, a way out");
    assert_eq!(finding["verdict"], "fails");
    assert_eq!(finding["seen"], "'nft' is not installed");
}

pub(super) fn state_on_overlay() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().display();
    let all = unshared(
        "--mount",
        &format!(
            "mount -t tmpfs none {path}; cd {path}; mkdir l u w m; \
             mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none m; \
             KEEL_ROOT={path}/m {} --json || :",
            doctor()
        ),
    );
    let finding = found(&all, "keel's own folder");
    assert_eq!(finding["verdict"], "limited");
    assert!(finding["seen"].as_str().unwrap().contains("lies on an overlay"), "{finding:#}");
    assert_eq!(found(&all, "overlayfs")["verdict"], "works");
}

/// As a container's engine hides parts of /proc. An ordinary user's new /proc must not show more. The
/// cgroups are hidden, too: the pids in their names would be of another pid namespace than the host's.
pub(super) fn masked_proc() {
    let all = unshared(
        "--user --map-root-user --mount --pid --fork --mount-proc",
        &format!(
            "mount -t tmpfs none /sys/fs/cgroup; mount -t tmpfs none /proc/scsi || mount -t tmpfs none /proc/fs; unshare --user --map-root-user {} --json || :",
            doctor()
        ),
    );
    let finding = found(&all, "mount namespaces, /proc");
    assert_eq!(finding["verdict"], "fails", "{finding:#}");
    assert!(finding["seen"].as_str().unwrap().contains("Operation not permitted"), "{finding:#}");
}
