//! The kernel, and whom it trusts with namespaces.

use super::super::machine::{Machine, Trial};
use super::super::mend::{Mend, run, say};
use super::{Finding, Verdict, as_root, finding, follows, root_of_all, shared};

pub(super) const KERNEL: &str = "Linux 5.12 or later";
pub(super) const POWERS: &str = "root's powers";
pub(super) const USER_NAMESPACES: &str = "user namespaces";

/// The oldest kernel with all that is needed.
pub(super) const OLDEST: (u32, u32) = SINCE[0].0;

/// What came with which version, newest first; step 4 needs the first.
const SINCE: [((u32, u32), &str); 5] = [
    ((5, 12), "mount_setattr (step 4, the lab)"),
    ((5, 11), "an ordinary user's overlays (step 6)"),
    ((5, 7), "a child born in its cgroup (step 5, on version 2)"),
    ((5, 6), "time namespaces (step 2)"),
    ((5, 3), "clone3 and pidfds (step 3)"),
];

/// The architectures that the code is written for.
pub(super) fn is_known(arch: &str) -> bool {
    matches!(arch, "x86_64" | "aarch64")
}

/// The kernel itself.
pub(super) fn linux(machine: &Machine) -> Finding {
    let system = &machine.system;
    let around = match (system.wsl, &system.container) {
        (Some(version), _) => format!(", WSL {version}"),
        (_, Some(container)) => format!(", in {container}"),
        _ => String::new(),
    };
    let seen =
        format!("{}, {}, pages of {} KiB{around}", system.release, system.arch, system.page / 1024);
    let about = |verdict, mend| finding(KERNEL, "all", verdict, &seen, mend);

    if system.wsl == Some(1) {
        return shared(KERNEL, "all", Verdict::Fails, &seen, wsl_1());
    }
    let missing: Vec<&str> = SINCE
        .iter()
        .filter(|(version, _)| machine.version() < *version)
        .map(|(_, what)| *what)
        .collect();
    if !missing.is_empty() {
        let mend = vec![
            say(format!("this kernel lacks {}", missing.join("; "))),
            say(
                "upgrade the system to a newer one, or work in a guest, which has a kernel of its own",
            ),
        ];
        return about(Verdict::Fails, mend);
    }
    if !is_known(&system.arch) {
        let mend = vec![say(
            "Keel is tried on x86_64, and written for aarch64 too: here you are the first",
        )];
        return about(Verdict::Limited, mend);
    }
    about(Verdict::Works, vec![])
}

fn wsl_1() -> Vec<Mend> {
    vec![
        say(
            "WSL 1 has no Linux kernel, only a translation of its calls; WSL 2 has one. In PowerShell, with the \
             name that 'wsl --list' shows for this system:",
        ),
        run("wsl --set-version Ubuntu 2"),
    ]
}

/// A kernel's usual name.
pub(in super::super) fn name(kernel: &str) -> &str {
    match kernel {
        "macos" => "macOS",
        "windows" => "Windows",
        other => other,
    }
}

/// A system with another kernel.
pub(super) fn not_linux(machine: &Machine) -> Finding {
    let system = &machine.system;
    let name = name(&system.kernel);
    let mut mend = vec![say(format!(
        "containers are made of Linux's own features, and {name} has none of them. Here only the doctor runs; \
         the steps, the lab and its guest need Linux: work in a Linux virtual machine."
    ))];
    match system.kernel.as_str() {
        "macos" => {
            mend.push(say(
                "With Lima, for example (a machine with your home folder in it, read-only):",
            ));
            if !machine.programs.contains_key("limactl") {
                mend.push(run("brew install lima"));
            }
            mend.push(run("limactl start --name=keel --tty=false"));
            mend.push(run("limactl shell keel"));
            mend.push(say(
                "Then, inside, and from there as the book's set-up tells for that system:",
            ));
            mend.push(run(format!("git clone '{}' ~/keel && cd ~/keel", machine.ready.repository)));
        }
        "windows" => {
            mend.push(say("With WSL 2, in PowerShell; then clone and go on inside it:"));
            mend.push(run("wsl --install"));
        }
        _ => {}
    }
    shared(super::LINUX, "all", Verdict::Fails, &format!("this is {name}, {}", system.arch), mend)
}

/// Root in a container is often root by name only.
pub(super) fn powers(machine: &Machine) -> Option<Finding> {
    (machine.user.root && !machine.user.sys_admin).then(|| {
        let mend = super::around(machine).unwrap_or_else(|| {
            vec![say("whatever started this shell took them: use a shell of your own, or a guest")]
        });
        finding(POWERS, "all", Verdict::Fails, "root without CAP_SYS_ADMIN", mend)
    })
}

/// Whether an ordinary user may be root of a namespace.
pub(super) fn user_namespaces(machine: &Machine) -> Finding {
    let (what, chapters) = (USER_NAMESPACES, "all, if not root");
    match (machine.obstacle(Trial::UserNamespace), root_of_all(machine)) {
        (None, _) => finding(what, chapters, Verdict::Works, "", vec![]),
        (Some(obstacle), _) if machine.user.root => {
            let mend = vec![say("you are root, and need none")];
            finding(what, chapters, Verdict::Optional, obstacle, mend)
        }
        (Some(obstacle), Some(KERNEL)) => follows(what, chapters, obstacle, KERNEL),
        (Some(obstacle), _) => {
            finding(what, chapters, Verdict::Fails, obstacle, allow_user_namespaces(machine))
        }
    }
}

fn allow_user_namespaces(machine: &Machine) -> Vec<Mend> {
    let allow = |why: &str, setting: &str| {
        let mut mends = vec![say(format!("{why}; until the next boot this allows them:"))];
        if machine.system.container.is_some() {
            mends.push(say("(if it has no effect in this container, outside of it)"));
        }
        mends.push(machine.sudo(&format!("sysctl {setting}")));
        mends
    };
    if machine.is_set("user.max_user_namespaces", "0") {
        allow("a limit forbids them to everybody", "user.max_user_namespaces=15000")
    } else if machine.is_set("kernel.unprivileged_userns_clone", "0") {
        allow("a setting forbids them to all but root", "kernel.unprivileged_userns_clone=1")
    } else if machine.is_set("kernel.apparmor_restrict_unprivileged_userns", "1") {
        allow(
            "AppArmor takes their powers away, as on Ubuntu since 23.10",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        )
    } else if let Some(mends) = super::around(machine) {
        mends
    } else {
        vec![
            say("none of the usual settings forbids them. As root nothing needs them:"),
            as_root(machine),
        ]
    }
}
