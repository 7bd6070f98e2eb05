//! The doctor: its judgement of machines that this one is not, and of situations that are made here.
//!
//! Most snapshots hold what is said about a machine that was seen elsewhere or thought out: a good one,
//! with one change. They are judged by the same code as a real one. The others run the doctor.

mod machines;
mod made;

use workshop::doctor::machine::{Layout, Machine, Module};
use workshop::doctor::{Finding, Verdict, judge, print};

use crate::harness::{Test, function, pure, snapshot};
use machines::*;

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
    function("doctor/this-machine", made::this_machine),
    function("doctor/no-private-data", made::no_private_data),
    function("doctor/leaves-nothing", made::leaves_nothing),
    function("doctor/made-no-user-namespaces", made::no_user_namespaces),
    function("doctor/made-in-a-lab", made::in_a_lab),
    function("doctor/made-noexec", made::noexec),
    function("doctor/made-full", made::full),
    function("doctor/made-no-route", made::no_route),
    function("doctor/made-no-nft", made::no_nft),
    function("doctor/made-state-on-overlay", made::state_on_overlay),
    function("doctor/made-masked-proc", made::masked_proc),
];

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

fn is_of_note(finding: &Finding) -> bool {
    let always = ["Linux 5.12 or later", "cgroups", "a way to the Internet", "a guest (QEMU)"];
    finding.verdict != Verdict::Works || always.contains(&finding.what.as_str())
}

/// What fails or is limited says what to do; what works says nothing.
fn has_mends(findings: &[Finding]) {
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
