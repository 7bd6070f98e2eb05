//! Every attack against every step and the engine: what each feature bought, measured.

use std::fmt::Write;
use std::thread;

use workshop::attacks::{ATTACKS, Attack};

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
        attack
            .succeeds(&lab::session(), words)
            .unwrap_or_else(|e| panic!("{} against {name}: {e:#}", attack.name))
    };
    (attack.name, TARGETS.iter().map(outcome).collect())
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
