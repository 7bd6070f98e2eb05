//! The tour: every step once, run for real in the lab, with what xray sees of it.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use cgroups::{Cgroup, unique_name};
use chroot::exit::sentence;

use crate::lab::Lab;
use crate::prepare;

/// One stop: what is new, and the lines that show it.
struct Stop {
    title: &'static str,
    new: &'static str,
    /// Whether the lines need a cgroup, which not every user may make.
    limits: bool,
    lines: &'static [&'static str],
}

/// The eight steps and the engine.
const STOPS: [Stop; 9] = [
    Stop {
        title: "Step 1: chroot",
        new: "another root directory: the same kernel, another world of files",
        limits: false,
        lines: &["step01-chroot rootfs ls /", "xray --own -- step01-chroot rootfs cat"],
    },
    Stop {
        title: "Step 2: unshare",
        new: "own names: a hostname, System V IPC, a cgroup view and a clock of its own",
        limits: false,
        lines: &[
            "step02-unshare --hostname box rootfs hostname",
            "hostname",
            "xray --own -- step02-unshare --hostname box rootfs cat",
        ],
    },
    Stop {
        title: "Step 3: pid namespace",
        new: "a process tree of its own: the command is PID 1 and sees nobody else",
        limits: false,
        lines: &["step03-pid-ns rootfs ps", "xray --own -- step03-pid-ns rootfs cat"],
    },
    Stop {
        title: "Step 4: mount namespace",
        new: "a mount table of its own, and a root that can't be climbed out of: pivot_root",
        limits: false,
        lines: &[
            "step04-mount-ns --read-only rootfs touch /file",
            "xray --own -- step04-mount-ns rootfs cat",
        ],
    },
    Stop {
        title: "Step 5: cgroups",
        new: "limits: memory, processor time, number of processes",
        limits: true,
        lines: &[
            "step05-cgroups --memory 16m rootfs sh -c 'tail -c 64m /dev/zero'",
            "xray --own -- step05-cgroups --memory 16m --pids-limit 32 rootfs cat",
        ],
    },
    Stop {
        title: "Step 6: overlayfs",
        new: "copy-on-write: many containers on one rootfs, none sees the others' changes",
        limits: false,
        lines: &[
            "step06-overlayfs --upper box --diff rootfs sh -c 'rm /etc/group; echo hi > /hello'",
            "ls rootfs/etc/group",
            "xray --own -- step06-overlayfs rootfs cat",
        ],
    },
    Stop {
        title: "Step 7: veth and bridge",
        new: "a network of its own: a cable to a bridge, an address, a way out",
        limits: false,
        lines: &[
            "step07-veth-bridge rootfs ip address show eth0",
            "step07-veth-bridge rootfs ping -c 1 -q 10.77.0.1",
            "xray --own -- step07-veth-bridge rootfs cat",
        ],
    },
    Stop {
        title: "Step 8: image layers",
        new: "images: layers by digest, unpacked once, stacked for each container",
        limits: false,
        lines: &[
            "step08-image-layers import rootfs busybox",
            "step08-image-layers run busybox sh -c 'echo Hello from an image'",
        ],
    },
    Stop {
        title: "keel",
        new: "the engine: all of the above behind the commands that you know",
        limits: false,
        lines: &[
            "keel import rootfs busybox",
            "keel run --name first busybox sh -c 'echo Hello from keel; touch /new'",
            "keel ps -a",
            "keel diff first",
            "xray --own -- keel run -i --rm busybox cat",
        ],
    },
];

/// Walks through all stops, in one lab each. Waits for Enter between them if `pause` is set.
///
/// # Errors
/// When a lab can't be opened.
pub fn walk(pause: bool) -> Result<ExitCode> {
    let rootfs = prepare::rootfs()?;
    for (index, stop) in STOPS.iter().enumerate() {
        if index > 0 {
            println!();
            if pause {
                wait_for_enter()?;
            }
        }
        println!("{}\n  New: {}\n", stop.title, stop.new);
        if let (true, Err(error)) = (stop.limits, make_a_cgroup()) {
            println!("Passed over: {}", sentence(&error));
            println!("'cargo workshop doctor' tells more.");
            continue;
        }
        let command = ["sh", "-c", &script(stop.lines)].map(str::to_owned).to_vec();
        let exit = Lab::new(rootfs.clone(), command).run()?;
        ensure!(exit.signal.is_none(), "the tour's lab was killed");
    }
    println!("\nNow try it yourself: cargo workshop lab");
    Ok(ExitCode::SUCCESS)
}

/// Tries whether this user may limit anything here.
fn make_a_cgroup() -> Result<()> {
    Cgroup::create(&format!("tour-{}", unique_name()?))?.remove()
}

/// A script that shows each line before it runs it, as a shell session does.
fn script(lines: &[&str]) -> String {
    let quote = |line: &str| format!("'{}'", line.replace('\'', "'\\''"));
    lines
        .iter()
        .map(|line| format!("printf '$ %s\\n' {}; {{ {line}; }} 2>&1\n", quote(line)))
        .collect()
}

fn wait_for_enter() -> Result<()> {
    if stdin().is_terminal() {
        print!("Enter goes on: ");
        stdout().flush()?;
    }
    stdin().read_line(&mut String::new())?;
    Ok(())
}
