//! Judging: what a machine is good for, and what mends the rest. It looks at nothing but the
//! [`Machine`] that it is given.

mod cgroups;
mod kernel;
mod place;

use serde::{Deserialize, Serialize};

use super::machine::{Machine, Trial};
use super::mend::{Mend, Package, run, say};

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The thing.
    pub what: String,
    /// The chapters that rest on it.
    pub chapters: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen: a version, a kind, the kernel's answer.
    pub seen: String,
    /// What to do about it, if it doesn't just work.
    pub mend: Vec<Mend>,
    /// What else must be mended first, by its name; then nothing more is to be said here.
    pub because: Option<String>,
    /// Whether a guest has it, whatever this machine lacks.
    pub guest: bool,
}

pub(super) use kernel::name as system_name;

/// The finding about a kernel that is another one.
pub(super) const LINUX: &str = "Linux";

/// The finding about the guest itself.
pub(super) const GUEST: &str = "a guest (QEMU)";

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Works,
    /// Good enough, but for what is named.
    Limited,
    /// Needed, and not there.
    Fails,
    /// Not there, and nothing needs it.
    Optional,
}

/// What `machine` is good for, in the order of the chapters.
pub fn judge(machine: &Machine) -> Vec<Finding> {
    if machine.system.kernel != "linux" {
        return vec![kernel::not_linux(machine), mdbook(machine)];
    }
    let findings = [
        Some(kernel::linux(machine)),
        kernel::powers(machine),
        Some(kernel::user_namespaces(machine)),
        Some(place::target(machine)),
        Some(place::internet(machine)),
        place::compiler(machine),
        Some(place::rootfs(machine)),
        Some(lab(machine)),
        Some(namespaces(machine, "hostname, IPC namespaces", "2", Trial::Names)),
        Some(time(machine)),
        Some(namespaces(machine, "pid namespaces", "3", Trial::Pid)),
        Some(proc(machine)),
        Some(cgroups::judge(machine)),
        Some(overlay(machine)),
        Some(bridge(machine)),
        Some(nftables(machine)),
        Some(place::state(machine)),
        Some(tools(machine)),
        subordinate_ids(machine),
        Some(mdbook(machine)),
        Some(qemu(machine)),
    ];
    findings.into_iter().flatten().collect()
}

fn finding(what: &str, chapters: &str, verdict: Verdict, seen: &str, mend: Vec<Mend>) -> Finding {
    let (what, chapters, seen) = (what.to_owned(), chapters.to_owned(), seen.to_owned());
    Finding { what, chapters, verdict, seen, mend, because: None, guest: true }
}

/// One that a guest shares with this machine.
fn shared(what: &str, chapters: &str, verdict: Verdict, seen: &str, mend: Vec<Mend>) -> Finding {
    Finding { guest: false, ..finding(what, chapters, verdict, seen, mend) }
}

/// A thing that was tried: it works, or something else must be mended first, or there is a remedy.
fn tried(
    machine: &Machine,
    (what, chapters): (&str, &str),
    trial: Trial,
    works: &str,
    mend: impl FnOnce() -> Vec<Mend>,
) -> Finding {
    match (machine.obstacle(trial), root_of_all(machine)) {
        (None, _) => finding(what, chapters, Verdict::Works, works, vec![]),
        (Some(obstacle), Some(because)) => follows(what, chapters, obstacle, because),
        (Some(obstacle), None) => finding(what, chapters, Verdict::Fails, obstacle, mend()),
    }
}

/// Something that fails since something else does.
fn follows(what: &str, chapters: &str, obstacle: &str, because: &str) -> Finding {
    let alone = finding(what, chapters, Verdict::Fails, obstacle, vec![]);
    Finding { because: Some(because.to_owned()), ..alone }
}

/// What keeps every namespace away, if anything does.
fn root_of_all(machine: &Machine) -> Option<&'static str> {
    if machine.system.wsl == Some(1) {
        Some(kernel::KERNEL)
    } else if machine.user.root && !machine.user.sys_admin {
        Some(kernel::POWERS)
    } else {
        let forbidden = !machine.user.root && machine.obstacle(Trial::UserNamespace).is_some();
        forbidden.then_some(kernel::USER_NAMESPACES)
    }
}

/// The container that this is, as the reason.
fn around(machine: &Machine) -> Option<Vec<Mend>> {
    let container = machine.system.container.as_deref()?;
    let mut mends = vec![say(format!(
        "this is {container}, which keeps that from its processes: work outside of it"
    ))];
    for (name, engine) in [("Docker", "docker"), ("Podman", "podman")] {
        if container.contains(name) {
            mends.push(say("or, where you trust what runs in it, start it without its walls:"));
            mends.push(run(format!("{engine} run --privileged …")));
        }
    }
    Some(mends)
}

const PROC: &str = "mount namespaces, /proc";
const BRIDGE: &str = "bridge and veth";

fn lab(machine: &Machine) -> Finding {
    let (what, chapters) = ("the lab", "all");
    let lab = tried(machine, (what, chapters), Trial::Lab, "opens", || {
        vec![say("mend what fails below, then look again")]
    });
    if lab.verdict == Verdict::Works || lab.because.is_some() {
        lab
    } else if machine.version() < kernel::OLDEST {
        follows(what, chapters, &lab.seen, kernel::KERNEL)
    } else if machine.obstacle(Trial::Proc).is_some() {
        follows(what, chapters, &lab.seen, PROC)
    } else {
        lab
    }
}

fn namespaces(machine: &Machine, what: &str, chapter: &str, trial: Trial) -> Finding {
    tried(machine, (what, chapter), trial, "", || {
        around(machine).unwrap_or_else(|| {
            vec![say("this kernel was built without them: use a distribution's own kernel")]
        })
    })
}

fn time(machine: &Machine) -> Finding {
    let all = namespaces(machine, "time namespaces", "2", Trial::Time);
    if all.verdict == Verdict::Works || all.because.is_some() {
        return all;
    }
    let mend =
        vec![say("only the clock of step 2 is missing: it needs Linux 5.6, with CONFIG_TIME_NS")];
    Finding { verdict: Verdict::Limited, mend, ..all }
}

fn proc(machine: &Machine) -> Finding {
    tried(machine, (PROC, "4"), Trial::Proc, "", || {
        let covered = "parts of /proc are covered here, and then the kernel allows no other /proc";
        let mut mends = vec![say(covered)];
        mends.extend(around(machine).unwrap_or_default());
        mends
    })
}

fn overlay(machine: &Machine) -> Finding {
    let (what, chapters) = ("overlayfs", "6, 8, keel");
    let overlay = tried(machine, (what, chapters), Trial::Overlay, "", || {
        if machine.not_loaded(&["overlay"]).is_empty() {
            around(machine).unwrap_or_else(|| machine.load(&["overlay"]))
        } else {
            machine.load(&["overlay"])
        }
    });
    // Before Linux 5.11 an ordinary user may mount none.
    let too_old = !machine.user.root && machine.version() < (5, 11);
    if overlay.verdict == Verdict::Fails && overlay.because.is_none() && too_old {
        return follows(what, chapters, &overlay.seen, kernel::KERNEL);
    }
    overlay
}

fn bridge(machine: &Machine) -> Finding {
    tried(machine, (BRIDGE, "7, keel"), Trial::Bridge, "", || {
        let modules = ["bridge", "veth"];
        match around(machine) {
            Some(mends) if machine.not_loaded(&modules).is_empty() => mends,
            _ => machine.load(&modules),
        }
    })
}

fn nftables(machine: &Machine) -> Finding {
    const MODULES: [&str; 6] =
        ["nf_tables", "nft_chain_nat", "nft_masq", "nft_nat", "nft_fib", "nft_fib_ipv4"];
    let (what, chapters) = ("nftables, a way out", "7, keel");
    let Some(nft) = machine.programs.get("nft") else {
        let mend = vec![machine.install(Package::Nftables)];
        return finding(what, chapters, Verdict::Fails, "'nft' is not installed", mend);
    };
    let nat = tried(machine, (what, chapters), Trial::Nat, nft, || machine.load(&MODULES));
    if nat.because.is_none() && machine.obstacle(Trial::Bridge).is_some() {
        return follows(what, chapters, &nat.seen, BRIDGE);
    }
    nat
}

/// The programs that the parts "By hand" use. Busybox's own ones know fewer options.
fn tools(machine: &Machine) -> Finding {
    let (what, chapters) = ("unshare, nsenter, ip", "By hand");
    let missing: Vec<&str> = ["unshare", "nsenter", "ip"]
        .into_iter()
        .filter(|name| !machine.programs.contains_key(*name))
        .collect();
    if missing.is_empty() {
        return finding(what, chapters, Verdict::Works, "", vec![]);
    }
    let mut mend = Vec::new();
    if missing.iter().any(|name| *name != "ip") {
        mend.push(machine.install(Package::UtilLinux));
    }
    if missing.contains(&"ip") {
        mend.push(machine.install(Package::Iproute));
    }
    finding(
        what,
        chapters,
        Verdict::Limited,
        &format!("not installed: {}", missing.join(", ")),
        mend,
    )
}

/// Nothing rests on them yet: an ordinary user's lab maps one id. Root needs none.
fn subordinate_ids(machine: &Machine) -> Option<Finding> {
    let (what, chapters) = ("more than one user id", "none yet");
    if machine.user.root {
        return None;
    }
    let both = ["newuidmap", "newgidmap"].iter().all(|name| machine.programs.contains_key(*name));
    let mut mend = Vec::new();
    if !both {
        mend.push(machine.install(Package::Uidmap));
    }
    if !machine.subordinate_ids {
        let ranges = "--add-subuids 100000-165535 --add-subgids 100000-165535";
        mend.push(machine.sudo(&format!("usermod {ranges} \"$USER\"")));
    }
    let seen = match (both, machine.subordinate_ids) {
        (false, _) => "'newuidmap' is not installed",
        (_, false) => "no range for this user in /etc/subuid and /etc/subgid",
        _ => machine.obstacle(Trial::SubordinateIds).unwrap_or("mapped by newuidmap"),
    };
    let obstacle = machine.obstacle(Trial::SubordinateIds);
    if let (true, Some(_), Some(because)) = (mend.is_empty(), obstacle, root_of_all(machine)) {
        return Some(Finding {
            verdict: Verdict::Optional,
            ..follows(what, chapters, seen, because)
        });
    }
    let verdict = match (mend.is_empty(), obstacle) {
        (true, None) => Verdict::Works,
        (true, Some(_)) => {
            mend.push(say("newuidmap must be set-user-ID root; installed anew it is:"));
            mend.push(machine.install(Package::Uidmap));
            Verdict::Optional
        }
        (false, _) => Verdict::Optional,
    };
    Some(finding(what, chapters, verdict, seen, mend))
}

fn mdbook(machine: &Machine) -> Finding {
    let (what, chapters) = ("mdbook", "reading offline");
    match machine.programs.get("mdbook") {
        Some(path) => finding(what, chapters, Verdict::Works, path, vec![]),
        None => {
            let mend = vec![run("cargo install mdbook")];
            finding(what, chapters, Verdict::Optional, "'mdbook' is not installed", mend)
        }
    }
}

/// What runs everything where this machine can't.
fn qemu(machine: &Machine) -> Finding {
    let (what, chapters) = (GUEST, "lab --vm");
    let program = format!("qemu-system-{}", machine.system.arch);
    match machine.programs.get(&program) {
        Some(path) => finding(what, chapters, Verdict::Works, path, vec![]),
        None if !kernel::is_known(&machine.system.arch) => {
            let seen = "there is no guest for this architecture";
            finding(what, chapters, Verdict::Optional, seen, vec![])
        }
        None => {
            let mend = vec![machine.install(Package::Qemu)];
            finding(
                what,
                chapters,
                Verdict::Optional,
                &format!("'{program}' is not installed"),
                mend,
            )
        }
    }
}

/// The lab with root's powers. It must not build: root has no Cargo, and would own what it built.
fn as_root(machine: &Machine) -> Mend {
    let program = match machine.ready.workshop.as_str() {
        "" => "target/debug/workshop",
        program => program,
    };
    machine.sudo(&format!("env KEEL_PREBUILT=1 {program} lab"))
}
