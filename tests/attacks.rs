//! Every attack against every step and the engine: what each feature bought, measured.

use std::fmt::Write;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::harness::needs::Need;
use crate::harness::{Test, function, lab, snapshot};

pub(crate) const TESTS: &[Test] =
    &[function("attacks/matrix", matrix).needs(&[Need::Cgroup, Need::Nft])];

/// Where an attack runs: a name for the matrix, and the words before the attacker's command.
///
/// From step 5 on the container has the limits with which one would run a stranger's program.
const TARGETS: [(&str, &str); 10] = [
    ("host", ""),
    ("01", "step01-chroot rootfs"),
    ("02", "step02-unshare rootfs"),
    ("03", "step03-pid-ns rootfs"),
    ("04", "step04-mount-ns rootfs"),
    ("05", "step05-cgroups --memory 64m --pids-limit 32 rootfs"),
    ("06", "step06-overlayfs --memory 64m --pids-limit 32 rootfs"),
    ("07", "step07-veth-bridge --memory 64m --pids-limit 32 rootfs"),
    ("08", "step08-image-layers run --memory 64m --pids-limit 32 box"),
    ("keel", "keel run --rm --memory 64m --pids-limit 32 box"),
];

/// An attack: what the host prepares, what the attacker runs in the container, and how the host
/// tells that it worked.
struct Attack {
    name: &'static str,
    /// Run by the host first, in the lab's folder.
    prepare: &'static str,
    /// Run by `sh -c` in the container. Its output is in the file `loot`.
    attack: &'static str,
    /// Run by the host at the end: the attack succeeded if this does.
    succeeded: &'static str,
}

/// In containers without a /proc the attacker mounts one: root inside may.
const ATTACKS: [Attack; 15] = [
    Attack {
        name: "read a host file by its path",
        prepare: "echo treasure > /lab/secret",
        attack: "cat /lab/secret",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "read the environment of who started it",
        prepare: "export SECRET=treasure",
        attack: "env",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "use a descriptor left open",
        prepare: "echo treasure > /lab/secret; exec 9< /lab/secret",
        attack: "cat <&9",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "rename the host",
        prepare: ":",
        attack: "hostname evil",
        succeeded: "[ $(hostname) = evil ]",
    },
    Attack {
        name: "see the host's shared memory",
        prepare: "ipcmk --shmem 31337 > /dev/null",
        attack: "[ -e /proc/self ] || mount -t proc proc /proc; cat /proc/sysvipc/shm",
        succeeded: "grep -q 31337 loot",
    },
    Attack {
        name: "kill a host process",
        prepare: "sleep 1000 & victim=$!; echo $victim > rootfs/victim",
        attack: "kill -9 $(cat /victim || cat /lab/rootfs/victim)",
        succeeded: "for i in $(seq 100); do
                        [ \"$(cut -d ' ' -f 3 /proc/$victim/stat)\" = S ] || break
                    done
                    [ $i != 100 ]",
    },
    Attack {
        name: "climb out of the root directory",
        prepare: "echo treasure > /lab/secret",
        attack: "[ -e /proc/self ] || mount -t proc proc /proc
                 nsenter --mount=/proc/self/ns/mnt cat /lab/secret",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "mount something on the host",
        prepare: ":",
        attack: "mkdir /tmp/leak; mount -t tmpfs leak /tmp/leak; cat; true",
        succeeded: "grep -q '^leak ' /proc/mounts",
    },
    Attack {
        name: "write a kernel setting",
        prepare: ":",
        attack: "[ -e /proc/self ] || mount -t proc proc /proc
                 echo 1 > /proc/sys/net/ipv4/ip_forward && echo written",
        succeeded: "grep -q written loot",
    },
    Attack {
        name: "fork without end",
        prepare: ":",
        attack: "for i in $(seq 100); do sleep 3 & done && echo all started",
        succeeded: "grep -q 'all started' loot",
    },
    Attack {
        name: "eat all memory",
        prepare: ":",
        attack: r#"awk 'BEGIN { s = "x"; while (length(s) < 100000000) s = s s; print "eaten" }'"#,
        succeeded: "grep -q eaten loot",
    },
    Attack {
        name: "leave a file for the next container",
        prepare: ":",
        attack: "echo treasure > /tmp/evil",
        succeeded: "$target sh -c 'cat /tmp/evil' 2>&1 | grep -q treasure",
    },
    Attack {
        name: "reach a service on the host's loopback",
        prepare: "echo treasure > index.html; rootfs/bin/busybox httpd -p 127.0.0.1:8080 -h /lab",
        attack: "wget -q -O - http://127.0.0.1:8080/index.html",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "make what is read-only writable again",
        prepare: ":",
        attack: "[ -e /proc/self ] || mount -t proc proc /proc
                 mount -o remount,bind,rw /proc/sys/net || mount -o remount,bind,rw /proc/sys
                 echo 1 > /proc/sys/net/ipv4/ip_forward && echo written",
        succeeded: "grep -q written loot",
    },
    Attack {
        name: "make a user namespace",
        prepare: ":",
        attack: "unshare --user true && echo reached",
        succeeded: "grep -q reached loot",
    },
];

/// Runs every attack against every target, and holds the table of results.
fn matrix() {
    let rows: Vec<Row> = thread::scope(|scope| {
        let runs: Vec<_> = ATTACKS.iter().map(|attack| scope.spawn(|| row(attack))).collect();
        runs.into_iter().map(|run| run.join().expect("an attack's thread")).collect()
    });
    snapshot::hold("attacks/matrix", &table(&rows));
}

type Row = (&'static str, Vec<bool>);

fn row(attack: &Attack) -> Row {
    let outcome = |(name, words): &(&str, &str)| {
        try_it(attack, words).unwrap_or_else(|e| panic!("{} against {name}: {e:#}", attack.name))
    };
    (attack.name, TARGETS.iter().map(outcome).collect())
}

/// Whether `attack` succeeds in a container that is started by `words`.
fn try_it(attack: &Attack, words: &str) -> Result<bool> {
    let Attack { prepare, attack, succeeded, .. } = attack;
    let quoted = attack.replace('\'', "'\\''");
    let output = lab::sh(&format!(
        "target='{words}'
         case $target in
           step08*) step08-image-layers import rootfs box > /dev/null ;;
           keel*) keel import rootfs box > /dev/null ;;
         esac
         {{ {prepare}
         }} > /dev/null 2>&1
         $target sh -c '{quoted}' > loot 2>&1 < /dev/null
         if {{ {succeeded}; }}; then echo SUCCEEDS; else echo STOPPED; fi 2> /dev/null"
    ))?;
    match output.lines().last().context("the lab said nothing")? {
        "SUCCEEDS" => Ok(true),
        "STOPPED" => Ok(false),
        _ => bail!("unexpected output:\n{output}"),
    }
}

/// The matrix as text: a dot where the attack is stopped.
fn table(rows: &[Row]) -> String {
    let mut text = format!("{:40}", "attack");
    for (name, _) in TARGETS {
        let _ = write!(text, " {name:>4}");
    }
    text.push('\n');
    for (name, outcomes) in rows {
        let _ = write!(text, "{name:40}");
        for succeeds in outcomes {
            let _ = write!(text, " {:>4}", if *succeeds { "yes" } else { "." });
        }
        text.push('\n');
    }
    text + "\nyes: the attack succeeds; . : it is stopped\n"
}
