//! What there is to read about a Linux machine.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;

use nix::sys::utsname::uname;
use nix::unistd::{User as Account, geteuid};
use unshare::Namespace::{self, Cgroup, Pid, User, Uts};

use super::{cgroups, folders, trials};
use crate::doctor::machine::{self, Machine, Module, Network, System};

/// The settings that can forbid user namespaces.
const SYSCTLS: [&str; 3] = [
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.unprivileged_userns_clone",
    "user.max_user_namespaces",
];

/// The modules without which a chapter fails.
const MODULES: [&str; 9] = [
    "bridge",
    "nf_tables",
    "nft_chain_nat",
    "nft_fib",
    "nft_fib_ipv4",
    "nft_masq",
    "nft_nat",
    "overlay",
    "veth",
];

pub(super) fn look(programs: BTreeMap<String, String>) -> Machine {
    let system = system();
    let setting = |name: &str| {
        let text = text(format!("/proc/sys/{}", name.replace('.', "/")));
        (!text.is_empty()).then(|| (name.to_owned(), text.trim().to_owned()))
    };
    let mut machine = Machine {
        modules: MODULES.iter().map(|name| (name.to_string(), module(name, &system))).collect(),
        system,
        user: user(),
        cgroups: cgroups::look(),
        sysctls: SYSCTLS.iter().filter_map(|name| setting(name)).collect(),
        subordinate_ids: subordinate_ids(),
        target: folders::target(),
        state: folders::state(),
        ready: folders::ready(),
        network: network(),
        programs,
        trials: BTreeMap::new(),
    };
    machine.trials = trials::all(&machine);
    machine
}

/// A file's text; "" if it can't be read.
pub(super) fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn system() -> System {
    let release = uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    let os = text("/etc/os-release");
    let value = |key: &str| {
        let found = os.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    let name = value("PRETTY_NAME");
    let family = format!("{} {}", value("ID"), value("ID_LIKE"));
    System {
        kernel: env::consts::OS.to_owned(),
        arch: env::consts::ARCH.to_owned(),
        page: page(),
        name: if name.is_empty() { "an unknown Linux".to_owned() } else { name },
        family: family.split_whitespace().map(str::to_owned).collect(),
        wsl: wsl(&release),
        container: container(),
        guards: guards(),
        systemd: Path::new("/run/systemd/system").exists(),
        release,
    }
}

/// The first mapping in smaps tells the kernel's page: see proc_pid_smaps(5).
fn page() -> u64 {
    let smaps = text("/proc/self/smaps");
    let line = smaps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(4) * 1024
}

/// WSL 1 calls its kernel "4.4.0-19041-Microsoft", WSL 2 "5.15.90.1-microsoft-standard-WSL2".
fn wsl(release: &str) -> Option<u8> {
    if release.ends_with("-Microsoft") {
        Some(1)
    } else {
        release.to_lowercase().contains("microsoft").then_some(2)
    }
}

/// The marks that container engines leave for those inside. They stay in an image that a virtual
/// machine is made of, so the namespaces must tell the same.
fn container() -> Option<String> {
    let exists = |path: &str| Path::new(path).exists();
    let named = |path: &str| Some(text(path).trim().to_owned()).filter(|name| !name.is_empty());
    // A distribution in WSL 2 has namespaces of its own, and may be made of an image, too.
    let wsl = exists("/run/WSL") || env::var_os("WSL_DISTRO_NAME").is_some();
    let inside = !wsl && [Pid, Uts, Cgroup].iter().any(|kind| is_own(*kind));
    if env::var_os("KEEL_ROOT").is_some_and(|root| root == "/lab/keel") && exists("/lab") {
        Some("Keel's lab".to_owned())
    } else if inside && exists("/run/.containerenv") {
        Some("a Podman container".to_owned())
    } else if inside && exists("/.dockerenv") {
        Some("a Docker container".to_owned())
    } else if let (true, Some(name)) =
        (inside, named("/run/host/container-manager").or(named("/run/systemd/container")))
    {
        Some(format!("a container of {name}"))
    } else if inside && (exists("/dev/lxd") || exists("/dev/incus")) {
        Some("a container of LXD".to_owned())
    } else if is_own(User) {
        Some("a user namespace".to_owned())
    } else {
        inside.then(|| "a container".to_owned())
    }
}

/// Whether this process has another namespace of this kind than the machine's first process. The
/// kernel's own ones have fixed inodes: PROC_UTS_INIT_INO and the like in linux/nsfs.h.
fn is_own(kind: Namespace) -> bool {
    let first = match kind {
        Uts => 0xEFFF_FFFE_u32,
        User => 0xEFFF_FFFD,
        Pid => 0xEFFF_FFFC,
        Cgroup => 0xEFFF_FFFB,
        _ => return false,
    };
    let link = fs::read_link(Path::new("/proc/self/ns").join(kind.name()));
    link.is_ok_and(|link| link.to_string_lossy() != format!("{}:[{first}]", kind.name()))
}

fn guards() -> Vec<String> {
    let apparmor = text("/sys/module/apparmor/parameters/enabled").trim() == "Y";
    let selinux = text("/sys/fs/selinux/enforce").trim() == "1";
    let at_work = [("apparmor", apparmor), ("selinux", selinux)].into_iter().filter(|(_, on)| *on);
    at_work.map(|(name, _)| name.to_owned()).collect()
}

fn user() -> machine::User {
    /// capabilities(7)
    const CAP_SYS_ADMIN: u32 = 21;
    let status = text("/proc/self/status");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    machine::User {
        root: geteuid().is_root(),
        sys_admin: effective.unwrap_or(0) >> CAP_SYS_ADMIN & 1 == 1,
        manager: Path::new(&format!("/run/user/{}/systemd", geteuid())).exists(),
    }
}

/// subuid(5): a line "name-or-id:first:count" for each range.
fn subordinate_ids() -> bool {
    let uid = geteuid();
    let name = Account::from_uid(uid).ok().flatten().map_or_else(String::new, |user| user.name);
    ["/etc/subuid", "/etc/subgid"].iter().all(|file| {
        let owners = text(file);
        let mut owners = owners.lines().filter_map(|line| line.split(':').next());
        owners.any(|owner| owner == name || owner == uid.to_string())
    })
}

/// Where a module is. One that is built in has a folder in /sys only if it has parameters, but is in
/// `modules.builtin`.
fn module(name: &str, system: &System) -> Module {
    let folder = Path::new("/lib/modules").join(&system.release);
    let lists = |file: &str| {
        let names = text(folder.join(file));
        let file = |line: &str| line.split(':').next().unwrap_or("").to_owned();
        names.lines().map(file).any(|path| {
            let module = path.rsplit('/').next().and_then(|file| file.split('.').next());
            module.is_some_and(|module| module.replace('-', "_") == name)
        })
    };
    if Path::new("/sys/module").join(name).exists() || lists("modules.builtin") {
        Module::Loaded
    } else if lists("modules.dep") {
        Module::OnDisk
    } else {
        Module::Missing
    }
}

fn network() -> Network {
    // Fields of /proc/net/route: interface, destination, gateway, flags, …
    let v4 = text("/proc/net/route");
    let v4 = v4.lines().any(|line| line.split_whitespace().nth(1) == Some("00000000"));
    // Of ipv6_route: destination, its length, …, interface. The kernel's own entry is on lo.
    let v6 = text("/proc/net/ipv6_route");
    let v6 = v6.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00") && fields.last() != Some(&"lo")
    });
    let proxies = ["http_proxy", "https_proxy", "HTTPS_PROXY", "CARGO_HTTP_PROXY"];
    Network {
        default_route: v4 || v6,
        proxy: proxies.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_of_windows() {
        assert_eq!(wsl("4.4.0-19041-Microsoft"), Some(1));
        assert_eq!(wsl("5.15.90.1-microsoft-standard-WSL2"), Some(2));
        assert_eq!(wsl("6.6.87.2-microsoft-standard-WSL2+"), Some(2));
        assert_eq!(wsl("6.8.0-31-generic"), None);
    }

    #[test]
    fn a_page_is_a_power_of_two() {
        assert!(page().is_power_of_two() && page() >= 4096);
    }
}
