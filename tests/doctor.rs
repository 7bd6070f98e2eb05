//! The doctor: its judgement of machines that this one is not, and of situations that are made here.
//!
//! Most snapshots hold what is said about a machine that was seen elsewhere or thought out: a good one,
//! with one change. They are judged by the same code as a real one. The others run the doctor.

use std::fs;
use std::process::{Command, Output};

use nix::unistd::geteuid;
use serde_json::Value;
use workshop::doctor::machine::{
    Cgroups, Folder, Layout, Machine, Module, Network, Ready, System, Trial, User,
};
use workshop::doctor::{Verdict, judge, print};
use workshop::prepare;

use crate::harness::{Test, function, pure, snapshot};

pub(crate) const TESTS: &[Test] = &[
    // What the book shows, in full.
    pure("doctor/all-well", || hold_all("all-well", &ubuntu())),
    pure("doctor/first-look", || hold_all("first-look", &first_look())),
    pure("doctor/apparmor", || hold_all("apparmor", &apparmor())),
    pure("doctor/no-delegation", || hold_all("no-delegation", &no_delegation(ubuntu()))),
    pure("doctor/macos", || hold_all("macos", &elsewhere("macos"))),
    function("doctor/report", report),
    // What differs from a good machine.
    pure("doctor/root", || hold("root", &root(ubuntu()))),
    pure("doctor/v1", || hold("v1", &v1(Layout::V1))),
    pure("doctor/hybrid", || hold("hybrid", &v1(Layout::Hybrid))),
    pure("doctor/hybrid-root", || hold("hybrid-root", &hybrid_root())),
    pure("doctor/hybrid-no-controllers", || hold("hybrid-no-controllers", &delegated_hybrid())),
    pure("doctor/v1-without-memory", || hold("v1-without-memory", &v1_without_memory())),
    pure("doctor/no-cgroups", || hold("no-cgroups", &no_cgroups())),
    pure("doctor/no-delegation-by-su", || hold("no-delegation-by-su", &by_su())),
    pure("doctor/no-delegation-no-systemd", || {
        hold("no-delegation-no-systemd", &no_delegation(alpine()))
    }),
    pure("doctor/some-controllers", || hold("some-controllers", &some_controllers())),
    pure("doctor/no-controller-in-the-kernel", || {
        hold("no-controller-in-the-kernel", &root(some_controllers()))
    }),
    pure("doctor/userns-sysctl", || hold("userns-sysctl", &forbidden(CLONE, "0", EPERM))),
    pure("doctor/userns-limit", || hold("userns-limit", &forbidden(MAX, "0", ENOSPC))),
    pure("doctor/userns-unknown", || hold("userns-unknown", &forbidden(MAX, "15000", EPERM))),
    pure("doctor/in-docker", || hold("in-docker", &in_docker(ubuntu()))),
    pure("doctor/in-docker-as-root", || hold("in-docker-as-root", &in_docker(root(ubuntu())))),
    pure("doctor/masked-proc", || hold("masked-proc", &masked_proc())),
    pure("doctor/old-overlayfs", || hold("old-overlayfs", &old_overlayfs())),
    pure("doctor/overlay-on-overlay", || hold("overlay-on-overlay", &overlay_on_overlay())),
    pure("doctor/no-overlay", || hold("no-overlay", &no_overlay())),
    pure("doctor/no-bridge", || hold("no-bridge", &no_bridge(Module::OnDisk))),
    pure("doctor/no-bridge-anywhere", || hold("no-bridge-anywhere", &no_bridge(Module::Missing))),
    pure("doctor/no-nf-tables", || hold("no-nf-tables", &no_nf_tables())),
    pure("doctor/no-nft", || hold("no-nft", &without(fedora(), &["nft"]))),
    pure("doctor/no-nft-here", || hold("no-nft-here", &without(another(), &["nft"]))),
    pure("doctor/no-newuidmap", || hold("no-newuidmap", &no_newuidmap())),
    pure("doctor/no-subordinate-ids", || hold("no-subordinate-ids", &no_subordinate_ids())),
    pure("doctor/subordinate-ids-refused", || {
        hold("subordinate-ids-refused", &subordinate_ids_refused())
    }),
    pure("doctor/wsl1", || hold("wsl1", &wsl1())),
    pure("doctor/wsl2", || hold("wsl2", &wsl2())),
    pure("doctor/windows", || hold("windows", &elsewhere("windows"))),
    pure("doctor/freebsd", || hold("freebsd", &elsewhere("freebsd"))),
    pure("doctor/aarch64", || hold("aarch64", &aarch64())),
    pure("doctor/riscv64", || hold("riscv64", &riscv64())),
    pure("doctor/old-kernel", || hold("old-kernel", &old_kernel("5.4.0-190-generic"))),
    pure("doctor/full", || hold("full", &full(false))),
    pure("doctor/full-after-the-build", || hold("full-after-the-build", &full(true))),
    pure("doctor/noexec", || hold("noexec", &noexec())),
    pure("doctor/no-internet", || hold("no-internet", &no_internet())),
    pure("doctor/no-internet-needed", || hold("no-internet-needed", &offline(ubuntu()))),
    pure("doctor/no-tools", || {
        hold("no-tools", &without(alpine(), &["unshare", "nsenter", "ip", "mdbook"]))
    }),
    pure("doctor/no-qemu", || hold("no-qemu", &no_qemu())),
    // This machine, and what can be made on it.
    function("doctor/this-machine", this_machine),
    function("doctor/no-private-data", no_private_data),
    function("doctor/leaves-nothing", leaves_nothing),
    function("doctor/made-no-user-namespaces", made_no_user_namespaces),
    function("doctor/made-in-a-lab", made_in_a_lab),
    function("doctor/made-noexec", made_noexec),
    function("doctor/made-full", made_full),
    function("doctor/made-no-route", made_no_route),
    function("doctor/made-no-nft", made_no_nft),
    function("doctor/made-state-on-overlay", made_state_on_overlay),
    function("doctor/made-masked-proc", made_masked_proc),
];

const EPERM: &str = "Operation not permitted";
const ENOSPC: &str = "No space left on device";
const MAX: &str = "user.max_user_namespaces";
const CLONE: &str = "kernel.unprivileged_userns_clone";
const APPARMOR: &str = "kernel.apparmor_restrict_unprivileged_userns";

/// All the trials that an ordinary user's doctor makes.
const TRIALS: [Trial; 16] = [
    Trial::UserNamespace,
    Trial::Lab,
    Trial::Names,
    Trial::Time,
    Trial::Pid,
    Trial::Proc,
    Trial::Cgroup,
    Trial::Memory,
    Trial::Pids,
    Trial::Cpu,
    Trial::Overlay,
    Trial::StateOverlay,
    Trial::Bridge,
    Trial::Nat,
    Trial::SubordinateIds,
    Trial::Rootfs,
];

/// A machine of today on which all is well, for an ordinary user.
fn ubuntu() -> Machine {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let folder = |path: &str| Folder {
        path: path.to_owned(),
        kind: "ext4".to_owned(),
        free: 80 << 30,
        exec: true,
        writable: true,
    };
    let programs = ["cc", "ip", "newgidmap", "newuidmap", "nft", "nsenter", "unshare"];
    let programs = programs.iter().map(|name| (name.to_string(), format!("/usr/bin/{name}")));
    let modules = ["bridge", "veth", "overlay", "nf_tables", "nft_chain_nat", "nft_fib"];
    let modules = modules.iter().chain(&["nft_fib_ipv4", "nft_masq", "nft_nat"]);
    let mut machine = Machine {
        system: System {
            kernel: "linux".to_owned(),
            release: "6.8.0-31-generic".to_owned(),
            arch: "x86_64".to_owned(),
            page: 4096,
            name: "Ubuntu 24.04 LTS".to_owned(),
            family: words("ubuntu debian"),
            guards: words("apparmor"),
            systemd: true,
            ..System::default()
        },
        user: User { root: false, sys_admin: false, manager: true },
        cgroups: Cgroups {
            layout: Layout::V2,
            v2: words("cpu memory pids"),
            own: "/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope".to_owned(),
            ..Cgroups::default()
        },
        sysctls: [(MAX, "127000"), (CLONE, "1"), (APPARMOR, "0")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        subordinate_ids: true,
        modules: modules.map(|name| (name.to_string(), Module::Loaded)).collect(),
        target: folder("/home/you/keel/target"),
        state: folder("/home/you/.local/share"),
        ready: Ready {
            built: true,
            rootfs: true,
            busybox: Some("/usr/bin/busybox".to_owned()),
            workshop: "target/debug/workshop".to_owned(),
            repository: "/home/you/keel".to_owned(),
        },
        network: Network { default_route: true, proxy: false },
        programs: programs.collect(),
        trials: TRIALS.map(|trial| (trial, Ok(()))).into(),
    };
    for (name, path) in [
        ("nft", "/usr/sbin/nft"),
        ("mdbook", "/home/you/.cargo/bin/mdbook"),
        ("qemu-system-x86_64", "/usr/bin/qemu-system-x86_64"),
    ] {
        machine.programs.insert(name.to_owned(), path.to_owned());
    }
    machine
}

/// The same with another distribution's name.
fn named(name: &str, family: &str) -> Machine {
    let mut machine = ubuntu();
    machine.system.name = name.to_owned();
    machine.system.family = family.split(' ').map(str::to_owned).collect();
    machine.system.guards.clear();
    machine.sysctls.retain(|name, _| name == MAX);
    machine
}

fn fedora() -> Machine {
    let mut machine = named("Fedora Linux 42 (Server Edition)", "fedora");
    machine.system.release = "6.14.0-63.fc42.x86_64".to_owned();
    machine.system.guards = vec!["selinux".to_owned()];
    machine
}

fn arch() -> Machine {
    let mut machine = named("Arch Linux", "arch");
    machine.system.release = "6.15.2-arch1-1".to_owned();
    machine
}

fn alpine() -> Machine {
    let mut machine = named("Alpine Linux v3.22", "alpine");
    machine.system.release = "6.12.31-0-virt".to_owned();
    machine.system.systemd = false;
    machine.user.manager = false;
    machine
}

fn another() -> Machine {
    named("NixOS 25.05 (Warbler)", "nixos")
}

fn root(mut machine: Machine) -> Machine {
    machine.user = User { root: true, sys_admin: true, manager: false };
    machine.cgroups.own = "/".to_owned();
    machine.state.path = "/var/lib".to_owned();
    machine.trials.remove(&Trial::SubordinateIds);
    machine
}

/// Lets trials fail.
fn fails(mut machine: Machine, trials: &[Trial], obstacle: &str) -> Machine {
    machine.trials.extend(trials.iter().map(|trial| (*trial, Err(obstacle.to_owned()))));
    machine
}

fn without(mut machine: Machine, programs: &[&str]) -> Machine {
    machine.programs.retain(|name, _| !programs.contains(&name.as_str()));
    machine
}

const CGROUP: [Trial; 4] = [Trial::Cgroup, Trial::Memory, Trial::Pids, Trial::Cpu];

fn no_delegation(machine: Machine) -> Machine {
    let mut machine = fails(
        machine,
        &CGROUP,
        "make cgroup keel/lab-1: /sys/fs/cgroup can't be written (start from a shell with a cgroup of its own: \
         systemd-run --user --scope -p Delegate=yes bash)",
    );
    machine.cgroups.own = "/user.slice/user-1000.slice/session-3.scope".to_owned();
    machine.cgroups.v2.clear();
    machine
}

/// After `git clone`, on a fresh Debian: nothing is installed but git, Rust and a compiler.
fn first_look() -> Machine {
    let mut machine = no_delegation(named("Debian GNU/Linux 13 (trixie)", "debian"));
    machine.system.release = "6.12.35+deb13-amd64".to_owned();
    machine.ready = Ready { rootfs: false, built: false, busybox: None, ..machine.ready };
    machine.trials.remove(&Trial::Rootfs);
    machine.programs = without(machine.clone(), &["nft", "mdbook", "qemu-system-x86_64"]).programs;
    machine
}

fn by_su() -> Machine {
    let mut machine = no_delegation(ubuntu());
    machine.user.manager = false;
    machine
}

fn some_controllers() -> Machine {
    let mut machine = fails(
        ubuntu(),
        &[Trial::Cpu],
        "limit cpu: there is no cpu controller here, only memory, pids",
    );
    machine.cgroups.v2.retain(|name| name != "cpu");
    machine
}

fn v1(layout: Layout) -> Machine {
    let mut machine = no_delegation(ubuntu());
    machine.cgroups.layout = layout;
    machine.cgroups.v1 = ["cpu", "memory", "pids"].map(str::to_owned).to_vec();
    let folder = if layout == Layout::V1 { "memory" } else { "unified" };
    fails(
        machine,
        &CGROUP,
        &format!("make cgroup keel/lab-1: /sys/fs/cgroup/{folder} can't be written (needs root)"),
    )
}

fn hybrid_root() -> Machine {
    let mut machine = root(v1(Layout::Hybrid));
    machine.trials.extend(CGROUP.map(|trial| (trial, Ok(()))));
    machine
}

/// As Debian builds it since Linux 6.12.
fn v1_without_memory() -> Machine {
    let mut machine = root(v1(Layout::V1));
    machine.trials.extend(CGROUP.map(|trial| (trial, Ok(()))));
    machine.cgroups.v1.retain(|name| name != "memory");
    fails(
        machine,
        &[Trial::Memory],
        "limit memory: there is no memory controller here, only cpu, pids",
    )
}

/// systemd hands on a cgroup of version 2 there as well: one without any controller.
fn delegated_hybrid() -> Machine {
    let mut machine = v1(Layout::Hybrid);
    machine.trials.insert(Trial::Cgroup, Ok(()));
    machine
}

fn no_cgroups() -> Machine {
    let mut machine = fails(
        root(alpine()),
        &CGROUP,
        "make cgroup keel/lab-1: no cgroups are mounted here (on a host: mount -t cgroup2 …)",
    );
    machine.cgroups = Cgroups::default();
    machine
}

/// Everything that starts with a namespace, but for what needs none.
fn no_namespaces(machine: Machine, obstacle: &str) -> Machine {
    let all = TRIALS.iter().filter(|trial| !CGROUP.contains(trial) && **trial != Trial::Rootfs);
    fails(machine, &all.copied().collect::<Vec<_>>(), obstacle)
}

fn forbidden(sysctl: &str, value: &str, errno: &str) -> Machine {
    let machine = named("Debian GNU/Linux 12 (bookworm)", "debian");
    let mut machine = no_namespaces(machine, &format!("clone3: {errno}"));
    machine.sysctls.insert(sysctl.to_owned(), value.to_owned());
    machine
}

/// There a user namespace can be made, but gives no power over others.
fn apparmor() -> Machine {
    let mut machine = no_namespaces(ubuntu(), &format!("set the hostname: {EPERM}"));
    for trial in [Trial::Time, Trial::Pid, Trial::Names, Trial::SubordinateIds] {
        machine.trials.insert(trial, Ok(()));
    }
    machine.sysctls.insert(APPARMOR.to_owned(), "1".to_owned());
    machine
}

fn in_docker(mut machine: Machine) -> Machine {
    machine.system.container = Some("a Docker container".to_owned());
    machine.user.sys_admin = false;
    let machine = no_namespaces(machine, &format!("clone3: {EPERM}"));
    fails(machine, &CGROUP, "make cgroup keel/lab-1: /sys/fs/cgroup can't be written")
}

fn masked_proc() -> Machine {
    let mut machine = fails(ubuntu(), &[Trial::Proc, Trial::Lab], &format!("mount /proc: {EPERM}"));
    machine.system.container = Some("a Podman container".to_owned());
    machine
}

fn old_kernel(release: &str) -> Machine {
    let mut machine = fails(ubuntu(), &[Trial::Time], "clone3: Invalid argument");
    machine.system.release = release.to_owned();
    machine.system.name = "Ubuntu 20.04.6 LTS".to_owned();
    let lab = "set attributes of /usr: Function not implemented";
    fails(machine, &[Trial::Lab], lab)
}

fn old_overlayfs() -> Machine {
    let machine = fails(ubuntu(), &[Trial::Overlay, Trial::StateOverlay], &no_user_overlay());
    let mut machine =
        fails(machine, &[Trial::Lab], "set attributes of /usr: Function not implemented");
    machine.system.release = "5.10.0-30-amd64".to_owned();
    machine.system.name = "Debian GNU/Linux 11 (bullseye)".to_owned();
    machine
}

fn no_user_overlay() -> String {
    format!("mount an overlay on /tmp/merged: {EPERM}")
}

fn overlay_on_overlay() -> Machine {
    let mut machine = fails(
        root(ubuntu()),
        &[Trial::StateOverlay],
        "mount an overlay: the upper layer lies on an overlay: put it on a real file system or a tmpfs",
    );
    machine.system.container = Some("a Docker container".to_owned());
    machine.state.kind = "overlay".to_owned();
    machine
}

fn no_overlay() -> Machine {
    let mut machine = fails(
        fedora(),
        &[Trial::Overlay, Trial::StateOverlay],
        "mount an overlay on /tmp/merged: this kernel has no overlays",
    );
    machine.modules.insert("overlay".to_owned(), Module::OnDisk);
    machine
}

fn no_bridge(place: Module) -> Machine {
    let mut machine = fails(
        arch(),
        &[Trial::Bridge, Trial::Nat],
        "make the bridge trial: Operation not supported",
    );
    machine.modules.insert("bridge".to_owned(), place);
    machine.modules.insert("veth".to_owned(), place);
    machine
}

fn no_nf_tables() -> Machine {
    let mut machine = fails(
        alpine(),
        &[Trial::Nat],
        "no way out of trial: nft: Could not process rule: Operation not supported",
    );
    machine.modules.insert("nft_masq".to_owned(), Module::OnDisk);
    machine.modules.insert("nft_chain_nat".to_owned(), Module::OnDisk);
    machine
}

fn no_newuidmap() -> Machine {
    let mut machine = without(fedora(), &["newuidmap", "newgidmap"]);
    machine.trials.remove(&Trial::SubordinateIds);
    machine
}

fn no_subordinate_ids() -> Machine {
    let mut machine = ubuntu();
    machine.subordinate_ids = false;
    machine.trials.remove(&Trial::SubordinateIds);
    machine
}

fn subordinate_ids_refused() -> Machine {
    let refused = "newuidmap: write to uid_map failed: Operation not permitted";
    fails(ubuntu(), &[Trial::SubordinateIds], refused)
}

fn wsl1() -> Machine {
    let mut machine = no_namespaces(ubuntu(), "clone3: Function not implemented");
    machine.system.release = "4.4.0-22621-Microsoft".to_owned();
    machine.system.wsl = Some(1);
    machine.cgroups = Cgroups::default();
    fails(machine, &CGROUP, "make cgroup keel/lab-1: no cgroups are mounted here")
}

/// An older one, without systemd, with the repository on a disk of Windows'.
fn wsl2() -> Machine {
    let mut machine = v1(Layout::Hybrid);
    machine.system.release = "5.15.90.1-microsoft-standard-WSL2".to_owned();
    machine.system.wsl = Some(2);
    machine.system.systemd = false;
    machine.target = Folder {
        path: "/mnt/c/Users/you/keel/target".to_owned(),
        kind: "9p".to_owned(),
        ..machine.target
    };
    machine.ready.repository = "/mnt/c/Users/you/keel".to_owned();
    machine.modules.insert("nft_fib_ipv4".to_owned(), Module::Missing);
    fails(
        machine,
        &[Trial::Nat],
        "no way out of trial: nft: Could not process rule: No such file or directory",
    )
}

fn elsewhere(kernel: &str) -> Machine {
    Machine {
        system: System {
            kernel: kernel.to_owned(),
            arch: "aarch64".to_owned(),
            ..System::default()
        },
        ready: Ready { repository: "/Users/you/keel".to_owned(), ..Ready::default() },
        ..Machine::default()
    }
}

fn aarch64() -> Machine {
    let mut machine = without(ubuntu(), &["qemu-system-x86_64"]);
    machine.system.arch = "aarch64".to_owned();
    machine.system.page = 64 << 10;
    machine.system.release = "6.8.0-31-generic-64k".to_owned();
    machine
}

fn riscv64() -> Machine {
    let mut machine = ubuntu();
    machine.system.arch = "riscv64".to_owned();
    machine
}

fn full(built: bool) -> Machine {
    let mut machine = ubuntu();
    machine.target.free = 90 << 20;
    machine.ready.built = built;
    machine
}

fn noexec() -> Machine {
    let mut machine = ubuntu();
    machine.target.exec = false;
    machine
}

fn offline(mut machine: Machine) -> Machine {
    machine.network.default_route = false;
    machine
}

fn no_internet() -> Machine {
    let mut machine = offline(first_look());
    machine.trials = ubuntu().trials;
    machine.trials.remove(&Trial::Rootfs);
    machine
}

fn no_qemu() -> Machine {
    without(no_delegation(fedora()), &["qemu-system-x86_64"])
}

/// Holds all that is said about a machine, as the book shows it.
fn hold_all(name: &str, machine: &Machine) {
    let text = print::people(machine, &judge(machine));
    snapshot::hold(&format!("doctor/{name}"), &format!("$ cargo workshop doctor\n{text}"));
}

/// Holds what doesn't just work, and the report.
fn hold(name: &str, machine: &Machine) {
    let all = judge(machine);
    // The kernel's line stays: much depends on it.
    let some = |finding: &&_| is_of_note(finding);
    let few: Vec<_> = all.iter().filter(some).cloned().collect();
    let text = print::people(machine, &few) + "\n" + &print::report(machine, &all) + "\n";
    snapshot::hold(&format!("doctor/{name}"), &text);
    has_mends(&all);
}

fn is_of_note(finding: &workshop::doctor::Finding) -> bool {
    let always = ["Linux 5.12 or later", "cgroups", "a way to the Internet", "a guest (QEMU)"];
    finding.verdict != Verdict::Works || always.contains(&finding.what.as_str())
}

/// What fails or is limited says what to do; what works says nothing.
fn has_mends(findings: &[workshop::doctor::Finding]) {
    for finding in findings {
        match finding.verdict {
            Verdict::Works => assert!(finding.mend.is_empty(), "{finding:#?}"),
            Verdict::Fails | Verdict::Limited => {
                assert_eq!(finding.mend.is_empty(), finding.because.is_some(), "{finding:#?}");
            }
            Verdict::Optional => {}
        }
    }
}

fn report() {
    let machines =
        [ubuntu(), root(fedora()), apparmor(), in_docker(ubuntu()), wsl2(), elsewhere("macos")];
    let lines: String = machines
        .iter()
        .map(|machine| {
            format!(
                "$ cargo workshop doctor --report\n{}\n",
                print::report(machine, &judge(machine))
            )
        })
        .collect();
    snapshot::hold("doctor/report", &lines);
}

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

fn this_machine() {
    let output = sh(&format!("{} --json", doctor()));
    let all = json(&output);
    let machine: Machine = serde_json::from_value(all["machine"].clone()).unwrap();
    let findings: Vec<workshop::doctor::Finding> =
        serde_json::from_value(all["findings"].clone()).unwrap();
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

fn no_private_data() {
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
fn leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().display();
    let all = json(&sh(&format!("KEEL_ROOT={path}/state {} --json || :", doctor())));
    assert_eq!(all["machine"]["state"]["path"], path.to_string());
    assert!(all["machine"]["trials"]["state-overlay"].is_object(), "{all:#}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// `--keep-caps`: the limit is written by one who is not root there.
fn made_no_user_namespaces() {
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

fn made_in_a_lab() {
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

fn made_noexec() {
    let finding = on_tmpfs("noexec");
    assert_eq!(finding["verdict"], "fails");
    assert!(finding["mend"].to_string().contains("it is mounted noexec"), "{finding:#}");
    assert_eq!(finding["guest"], false);
}

fn made_full() {
    let finding = on_tmpfs("size=64k");
    assert_eq!(finding["verdict"], "fails");
    assert!(finding["seen"].as_str().unwrap().ends_with("tmpfs, 64 KiB free"), "{finding:#}");
    assert_eq!(on_tmpfs("size=4g")["verdict"], "works");
}

fn made_no_route() {
    let all = unshared(
        "--net",
        &format!("env -u http_proxy -u https_proxy -u HTTPS_PROXY {} --json || :", doctor()),
    );
    let seen = found(&all, "a way to the Internet")["seen"].clone();
    assert!(seen.as_str().unwrap().starts_with("no default route"), "{seen}");
}

/// Something that is no file stands where nft was, if it was.
fn made_no_nft() {
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

fn made_state_on_overlay() {
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
fn made_masked_proc() {
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
