//! Limits: which cgroups a user may make, and what gives more.

use super::super::machine::{Layout, Machine, Trial};
use super::super::mend::{Mend, run, say};
use super::kernel::USER_NAMESPACES;
use super::{Finding, Verdict, around, as_root, finding, follows, root_of_all};

/// The limits that chapter 5 sets, by their controllers.
const LIMITS: [(Trial, &str); 3] =
    [(Trial::Memory, "memory"), (Trial::Cpu, "cpu"), (Trial::Pids, "pids")];

/// What step 5 can do here.
pub(super) fn judge(machine: &Machine) -> Finding {
    let kind = match machine.cgroups.layout {
        Layout::None => "none mounted",
        Layout::V1 => "version 1",
        Layout::V2 => "version 2",
        Layout::Hybrid => "hybrid: version 1, and version 2 beside it",
    };
    let about = |verdict, seen: String, mend| finding("cgroups", "5, keel", verdict, &seen, mend);
    if let Some(obstacle) = machine.obstacle(Trial::Cgroup) {
        // A cgroup needs no namespaces, but a kernel and root's powers.
        match root_of_all(machine) {
            Some(because) if because != USER_NAMESPACES => {
                return follows("cgroups", "5, keel", obstacle, because);
            }
            _ => {}
        }
        return about(Verdict::Fails, format!("{kind}; {}", short(obstacle)), give_one(machine));
    }
    let part = |works: bool| {
        let some = LIMITS.iter().filter(|(trial, _)| machine.obstacle(*trial).is_none() == works);
        some.map(|(_, controller)| *controller).collect::<Vec<_>>().join(", ")
    };
    let (works, missing) = (part(true), part(false));
    if missing.is_empty() {
        return about(Verdict::Works, format!("{kind}; limits {works}"), vec![]);
    }
    // Without a single limit the chapter has nothing to show.
    let (verdict, limits) = match works.as_str() {
        "" => (Verdict::Fails, format!("no limits on {missing}")),
        _ => (Verdict::Limited, format!("limits {works}, but not {missing}")),
    };
    about(verdict, format!("{kind}; {limits}"), give_more(machine, &missing))
}

/// The step's error without its own advice in brackets, which the mending below stands for.
fn short(obstacle: &str) -> &str {
    let start = obstacle.find(": ").map_or(0, |at| at + 2);
    obstacle[start..].split(" (").next().unwrap_or(obstacle)
}

/// How to get a cgroup at all.
fn give_one(machine: &Machine) -> Vec<Mend> {
    let user = &machine.user;
    match machine.cgroups.layout {
        _ if in_container(machine) => around(machine).unwrap_or_default(),
        Layout::None => vec![
            say("on a machine of its own, the kernel's cgroups are mounted by"),
            machine.sudo("mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
        ],
        _ if user.root => {
            vec![say("root may, but the mount is read-only or another's: use the machine itself")]
        }
        Layout::V2 if machine.system.systemd && user.manager => vec![
            say("a shell with a cgroup of its own, from systemd; start the lab in it:"),
            run("systemd-run --user --scope -p Delegate=yes bash"),
        ],
        Layout::V2 if machine.system.systemd => vec![
            say(
                "systemd gives a cgroup to users who log in: at the console or by ssh, not by su or sudo. Then:",
            ),
            run("systemd-run --user --scope -p Delegate=yes bash"),
        ],
        Layout::V2 => by_hand(),
        Layout::V1 | Layout::Hybrid => needs_root(machine),
    }
}

/// Whether the container around is to blame. A user namespace alone, as that of the lab, may be too.
fn in_container(machine: &Machine) -> bool {
    machine.system.container.is_some()
}

/// What systemd does, without it: cgroups(7), "Delegation". The last line moves the shell.
fn by_hand() -> Vec<Mend> {
    vec![
        say(
            "nobody hands out cgroups here, so root does, once each boot; then in the shell for the lab:",
        ),
        run("echo +cpu +memory +pids | sudo tee /sys/fs/cgroup/cgroup.subtree_control"),
        run("sudo mkdir /sys/fs/cgroup/keel-user"),
        run(
            "(cd /sys/fs/cgroup/keel-user && sudo chown \"$USER\" . cgroup.procs cgroup.subtree_control)",
        ),
        run("echo $$ | sudo tee /sys/fs/cgroup/keel-user/cgroup.procs"),
    ]
}

/// Version 1 can't be handed to a user safely, and no system does it.
fn needs_root(machine: &Machine) -> Vec<Mend> {
    let mut mends = vec![
        say("with version 1 only root may set such limits. Step 5 as root:"),
        as_root(machine),
    ];
    mends.extend(boot_version_2(machine));
    mends
}

/// The way from version 1 to version 2.
fn boot_version_2(machine: &Machine) -> Vec<Mend> {
    if machine.system.wsl.is_some() {
        vec![
            say("or version 2 for all. In Windows' file %UserProfile%\\.wslconfig, below [wsl2]:"),
            say("kernelCommandLine = cgroup_no_v1=all"),
            say("and then:"),
            run("wsl.exe --shutdown"),
        ]
    } else if machine.system.systemd {
        vec![say(
            "or boot with version 2: 'systemd.unified_cgroup_hierarchy=1' on the kernel's command line",
        )]
    } else {
        vec![]
    }
}

/// How to get the controllers that are missing.
fn give_more(machine: &Machine, missing: &str) -> Vec<Mend> {
    let all = [&machine.cgroups.v1[..], &machine.cgroups.v2].concat();
    let nowhere = missing.split(", ").any(|name| !all.iter().any(|there| there == name));
    match machine.cgroups.layout {
        _ if in_container(machine) => around(machine).unwrap_or_default(),
        // CONFIG_MEMCG_V1, since Linux 6.11: Debian builds without it.
        Layout::V1 | Layout::Hybrid if nowhere => {
            let mut mends = vec![say(format!(
                "this kernel was built without {missing} for version 1, as newer ones may be. A guest has version 2"
            ))];
            mends.extend(boot_version_2(machine));
            mends
        }
        Layout::V1 | Layout::Hybrid if !machine.user.root => needs_root(machine),
        Layout::V2 if !machine.user.root && machine.system.systemd => drop_in(),
        Layout::V2 if !machine.user.root => by_hand(),
        _ => vec![say(
            "the kernel keeps them off, or was built without: look for 'cgroup_disable' in /proc/cmdline",
        )],
    }
}

/// systemd hands on to users what the unit of their manager was given: systemd.resource-control(5).
fn drop_in() -> Vec<Mend> {
    vec![
        say("systemd hands on to users what their manager was given. To give more:"),
        run("sudo mkdir -p /etc/systemd/system/user@.service.d"),
        run("printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee \
             /etc/systemd/system/user@.service.d/delegate.conf"),
        run("sudo systemctl daemon-reload"),
        say("Log out and in again, and start the shell:"),
        run("systemd-run --user --scope -p Delegate=yes bash"),
    ]
}
