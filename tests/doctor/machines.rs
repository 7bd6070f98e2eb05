//! Machines as the doctor writes them down: good ones, and each obstacle that learners have met.

use workshop::doctor::machine::{
    Cgroups, Folder, Layout, Machine, Module, Network, Ready, System, Trial, User,
};

pub(super) const EPERM: &str = "Operation not permitted";
pub(super) const ENOSPC: &str = "No space left on device";
pub(super) const MAX: &str = "user.max_user_namespaces";
pub(super) const CLONE: &str = "kernel.unprivileged_userns_clone";
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
pub(super) fn ubuntu() -> Machine {
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

pub(super) fn fedora() -> Machine {
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

pub(super) fn alpine() -> Machine {
    let mut machine = named("Alpine Linux v3.22", "alpine");
    machine.system.release = "6.12.31-0-virt".to_owned();
    machine.system.systemd = false;
    machine.user.manager = false;
    machine
}

pub(super) fn another() -> Machine {
    named("NixOS 25.05 (Warbler)", "nixos")
}

pub(super) fn root(mut machine: Machine) -> Machine {
    machine.user = User { root: true, sys_admin: true, manager: false };
    machine.cgroups.own = "/".to_owned();
    machine.state.path = "/var/lib".to_owned();
    machine.trials.remove(&Trial::SubordinateIds);
    machine
}

/// Lets trials fail.
pub(super) fn fails(mut machine: Machine, trials: &[Trial], obstacle: &str) -> Machine {
    machine.trials.extend(trials.iter().map(|trial| (*trial, Err(obstacle.to_owned()))));
    machine
}

pub(super) fn without(mut machine: Machine, programs: &[&str]) -> Machine {
    machine.programs.retain(|name, _| !programs.contains(&name.as_str()));
    machine
}

const CGROUP: [Trial; 4] = [Trial::Cgroup, Trial::Memory, Trial::Pids, Trial::Cpu];

pub(super) fn no_delegation(machine: Machine) -> Machine {
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
pub(super) fn first_look() -> Machine {
    let mut machine = no_delegation(named("Debian GNU/Linux 13 (trixie)", "debian"));
    machine.system.release = "6.12.35+deb13-amd64".to_owned();
    machine.ready = Ready { rootfs: false, built: false, busybox: None, ..machine.ready };
    machine.trials.remove(&Trial::Rootfs);
    machine.programs = without(machine.clone(), &["nft", "mdbook", "qemu-system-x86_64"]).programs;
    machine
}

pub(super) fn by_su() -> Machine {
    let mut machine = no_delegation(ubuntu());
    machine.user.manager = false;
    machine
}

pub(super) fn some_controllers() -> Machine {
    let mut machine = fails(
        ubuntu(),
        &[Trial::Cpu],
        "limit cpu: there is no cpu controller here, only memory, pids",
    );
    machine.cgroups.v2.retain(|name| name != "cpu");
    machine
}

pub(super) fn v1(layout: Layout) -> Machine {
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

pub(super) fn hybrid_root() -> Machine {
    let mut machine = root(v1(Layout::Hybrid));
    machine.trials.extend(CGROUP.map(|trial| (trial, Ok(()))));
    machine
}

/// As Debian builds it since Linux 6.12.
pub(super) fn v1_without_memory() -> Machine {
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
pub(super) fn delegated_hybrid() -> Machine {
    let mut machine = v1(Layout::Hybrid);
    machine.trials.insert(Trial::Cgroup, Ok(()));
    machine
}

pub(super) fn no_cgroups() -> Machine {
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

pub(super) fn forbidden(sysctl: &str, value: &str, errno: &str) -> Machine {
    let machine = named("Debian GNU/Linux 12 (bookworm)", "debian");
    let mut machine = no_namespaces(machine, &format!("clone3: {errno}"));
    machine.sysctls.insert(sysctl.to_owned(), value.to_owned());
    machine
}

/// There a user namespace can be made, but gives no power over others.
pub(super) fn apparmor() -> Machine {
    let mut machine = no_namespaces(ubuntu(), &format!("set the hostname: {EPERM}"));
    for trial in [Trial::Time, Trial::Pid, Trial::Names, Trial::SubordinateIds] {
        machine.trials.insert(trial, Ok(()));
    }
    machine.sysctls.insert(APPARMOR.to_owned(), "1".to_owned());
    machine
}

pub(super) fn in_docker(mut machine: Machine) -> Machine {
    machine.system.container = Some("a Docker container".to_owned());
    machine.user.sys_admin = false;
    let machine = no_namespaces(machine, &format!("clone3: {EPERM}"));
    fails(machine, &CGROUP, "make cgroup keel/lab-1: /sys/fs/cgroup can't be written")
}

pub(super) fn masked_proc() -> Machine {
    let mut machine = fails(ubuntu(), &[Trial::Proc, Trial::Lab], &format!("mount /proc: {EPERM}"));
    machine.system.container = Some("a Podman container".to_owned());
    machine
}

pub(super) fn old_kernel(release: &str) -> Machine {
    let mut machine = fails(ubuntu(), &[Trial::Time], "clone3: Invalid argument");
    machine.system.release = release.to_owned();
    machine.system.name = "Ubuntu 20.04.6 LTS".to_owned();
    let lab = "set attributes of /usr: Function not implemented";
    fails(machine, &[Trial::Lab], lab)
}

pub(super) fn old_overlayfs() -> Machine {
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

pub(super) fn overlay_on_overlay() -> Machine {
    let mut machine = fails(
        root(ubuntu()),
        &[Trial::StateOverlay],
        "mount an overlay: the upper layer lies on an overlay: put it on a real file system or a tmpfs",
    );
    machine.system.container = Some("a Docker container".to_owned());
    machine.state.kind = "overlay".to_owned();
    machine
}

pub(super) fn no_overlay() -> Machine {
    let mut machine = fails(
        fedora(),
        &[Trial::Overlay, Trial::StateOverlay],
        "mount an overlay on /tmp/merged: this kernel has no overlays",
    );
    machine.modules.insert("overlay".to_owned(), Module::OnDisk);
    machine
}

pub(super) fn no_bridge(place: Module) -> Machine {
    let mut machine = fails(
        arch(),
        &[Trial::Bridge, Trial::Nat],
        "make the bridge trial: Operation not supported",
    );
    machine.modules.insert("bridge".to_owned(), place);
    machine.modules.insert("veth".to_owned(), place);
    machine
}

pub(super) fn no_nf_tables() -> Machine {
    let mut machine = fails(
        alpine(),
        &[Trial::Nat],
        "no way out of trial: nft: Could not process rule: Operation not supported",
    );
    machine.modules.insert("nft_masq".to_owned(), Module::OnDisk);
    machine.modules.insert("nft_chain_nat".to_owned(), Module::OnDisk);
    machine
}

pub(super) fn no_newuidmap() -> Machine {
    let mut machine = without(fedora(), &["newuidmap", "newgidmap"]);
    machine.trials.remove(&Trial::SubordinateIds);
    machine
}

pub(super) fn no_subordinate_ids() -> Machine {
    let mut machine = ubuntu();
    machine.subordinate_ids = false;
    machine.trials.remove(&Trial::SubordinateIds);
    machine
}

pub(super) fn subordinate_ids_refused() -> Machine {
    let refused = "newuidmap: write to uid_map failed: Operation not permitted";
    fails(ubuntu(), &[Trial::SubordinateIds], refused)
}

pub(super) fn wsl1() -> Machine {
    let mut machine = no_namespaces(ubuntu(), "clone3: Function not implemented");
    machine.system.release = "4.4.0-22621-Microsoft".to_owned();
    machine.system.wsl = Some(1);
    machine.cgroups = Cgroups::default();
    fails(machine, &CGROUP, "make cgroup keel/lab-1: no cgroups are mounted here")
}

/// An older one, without systemd, with the repository on a disk of Windows'.
pub(super) fn wsl2() -> Machine {
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

pub(super) fn elsewhere(kernel: &str) -> Machine {
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

pub(super) fn aarch64() -> Machine {
    let mut machine = without(ubuntu(), &["qemu-system-x86_64"]);
    machine.system.arch = "aarch64".to_owned();
    machine.system.page = 64 << 10;
    machine.system.release = "6.8.0-31-generic-64k".to_owned();
    machine
}

pub(super) fn riscv64() -> Machine {
    let mut machine = ubuntu();
    machine.system.arch = "riscv64".to_owned();
    machine
}

pub(super) fn full(built: bool) -> Machine {
    let mut machine = ubuntu();
    machine.target.free = 90 << 20;
    machine.ready.built = built;
    machine
}

pub(super) fn noexec() -> Machine {
    let mut machine = ubuntu();
    machine.target.exec = false;
    machine
}

pub(super) fn offline(mut machine: Machine) -> Machine {
    machine.network.default_route = false;
    machine
}

pub(super) fn no_internet() -> Machine {
    let mut machine = offline(first_look());
    machine.trials = ubuntu().trials;
    machine.trials.remove(&Trial::Rootfs);
    machine
}

pub(super) fn no_qemu() -> Machine {
    without(no_delegation(fedora()), &["qemu-system-x86_64"])
}
