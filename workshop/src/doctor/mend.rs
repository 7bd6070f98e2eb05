//! The words and commands that mend something, for the system at hand.

use serde::{Deserialize, Serialize};

use super::machine::Machine;

/// One line of a remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mend {
    /// A sentence.
    Say(String),
    /// A command, as it can be typed.
    Run(String),
}

/// A sentence.
pub(super) fn say(words: impl Into<String>) -> Mend {
    Mend::Say(words.into())
}

/// A command that this user may run.
pub(super) fn run(command: impl Into<String>) -> Mend {
    Mend::Run(command.into())
}

/// Something to install.
#[derive(Debug, Clone, Copy)]
pub(super) enum Package {
    /// A C compiler and what it needs.
    Compiler,
    /// ip(8).
    Iproute,
    /// nft(8).
    Nftables,
    /// The machine that this machine can emulate.
    Qemu,
    /// A busybox that needs no libraries.
    StaticBusybox,
    /// newuidmap(1) and newgidmap(1).
    Uidmap,
    /// unshare(1), nsenter(1).
    UtilLinux,
}

/// The program that installs packages.
#[derive(Debug, Clone, Copy)]
enum Manager {
    Apt,
    Dnf,
    Pacman,
    Apk,
    Zypper,
}

impl Machine {
    /// A command that only root may run.
    pub(super) fn sudo(&self, command: &str) -> Mend {
        run(if self.user.root { command.to_owned() } else { format!("sudo {command}") })
    }

    /// How `package` is installed here.
    pub(super) fn install(&self, package: Package) -> Mend {
        use Manager::*;
        let Some(manager) = self.manager() else {
            return say(format!(
                "install the package that this system calls {} or the like",
                package.name(Apt, &self.system.arch)
            ));
        };
        let name = package.name(manager, &self.system.arch);
        let command = match manager {
            Apt => "apt-get install",
            Dnf => "dnf install",
            Pacman => "pacman -S --needed",
            Apk => "apk add",
            Zypper => "zypper install",
        };
        self.sudo(&format!("{command} {name}"))
    }

    fn manager(&self) -> Option<Manager> {
        self.system.family.iter().find_map(|name| match name.as_str() {
            "debian" | "ubuntu" => Some(Manager::Apt),
            "fedora" | "rhel" | "centos" => Some(Manager::Dnf),
            "arch" => Some(Manager::Pacman),
            "alpine" => Some(Manager::Apk),
            "suse" | "opensuse" => Some(Manager::Zypper),
            _ => None,
        })
    }

    /// How to load modules, or why that is not to be done from here.
    pub(super) fn load(&self, modules: &[&str]) -> Vec<Mend> {
        let missing = self.not_loaded(modules);
        let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
        let all = names.join(" ");
        let on_disk = missing.iter().all(|(_, place)| *place == super::machine::Module::OnDisk);
        if names.is_empty() {
            vec![say("the kernel has what is needed: something around this process forbids it")]
        } else if let Some(container) = &self.system.container {
            vec![
                say(format!("this is {container}: on the machine around it, not in here")),
                run(format!("sudo modprobe -a {all}")),
            ]
        } else if self.system.wsl.is_some() {
            vec![
                say(format!(
                    "this kernel of WSL lacks {all}; a newer one may have it. In Windows:"
                )),
                run("wsl.exe --update"),
            ]
        } else if on_disk {
            vec![self.sudo(&format!("modprobe -a {all}"))]
        } else {
            vec![say(format!(
                "no {} for the kernel that is running: if it was upgraded since the last boot, \
                 reboot; else it was built without, so use a distribution's own kernel",
                names.join(" and no ")
            ))]
        }
    }
}

impl Package {
    fn name(self, manager: Manager, arch: &str) -> String {
        use Manager::*;
        let arm = arch == "aarch64";
        match (self, manager) {
            (Package::Compiler, Apt) => "gcc libc6-dev",
            (Package::Compiler, Apk) => "build-base",
            (Package::Compiler, _) => "gcc",
            (Package::Iproute, Dnf) => "iproute",
            (Package::Iproute, _) => "iproute2",
            (Package::Nftables, _) => "nftables",
            (Package::Qemu, Apt) => ["qemu-system-x86", "qemu-system-arm"][usize::from(arm)],
            (Package::Qemu, Dnf) => {
                ["qemu-system-x86-core", "qemu-system-aarch64-core"][usize::from(arm)]
            }
            (Package::Qemu, Pacman) => ["qemu-system-x86", "qemu-system-aarch64"][usize::from(arm)],
            (Package::Qemu, Apk) => ["qemu-system-x86_64", "qemu-system-aarch64"][usize::from(arm)],
            (Package::Qemu, Zypper) => ["qemu-x86", "qemu-arm"][usize::from(arm)],
            (Package::StaticBusybox, Dnf | Pacman) => "busybox",
            (Package::StaticBusybox, _) => "busybox-static",
            (Package::Uidmap, Apt) => "uidmap",
            (Package::Uidmap, Dnf) => "shadow-utils",
            (Package::Uidmap, Apk) => "shadow-subids",
            (Package::Uidmap, _) => "shadow",
            (Package::UtilLinux, Apk) => "util-linux-misc",
            (Package::UtilLinux, _) => "util-linux",
        }
        .to_owned()
    }
}
