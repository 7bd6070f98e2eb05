//! The lab leaves no trace, whatever happens to it; the tour tells what is.

use std::fs;
use std::io::{PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use workshop::prepare;

use crate::harness::needs::Need::{Cgroup, Nft};
use crate::harness::{Test, function, host, redact, snapshot, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "workshop/lab",
        "
        $ hostname; id -u; pwd; ls
        $ ip -o link | cut -d: -f2
        $ cat /proc/1/comm
        $ cut -d: -f3 /proc/self/cgroup | sort -u
        $ touch /etc/evil
        $ test -w /proc/sys/vm/swappiness || echo protected
    ",
    ),
    function("workshop/lab-exit-codes", exit_codes),
    function("workshop/lab-killed", || ends_without_trace(|lab| kill(lab, Signal::SIGKILL))),
    function("workshop/lab-terminated", || ends_without_trace(|lab| kill(lab, Signal::SIGTERM))),
    function("workshop/lab-interrupted", || ends_without_trace(|lab| killpg(lab, Signal::SIGINT))),
    function("workshop/lab-init-killed", || {
        ends_without_trace(|lab| kill(child_of(lab), Signal::SIGKILL))
    }),
    function("workshop/tour", tour).needs(&[Cgroup, Nft]),
];

fn workshop(args: &[&str]) -> Command {
    let mut command = Command::new(prepare::bin_dir().unwrap().join("workshop"));
    command.args(args).env("KEEL_PREBUILT", "1").env("TERM", "dumb").stdin(Stdio::null());
    command
}

fn exit_codes() {
    let code = |script: &str| {
        let status = workshop(&["lab", "--no-build", "sh", "-c", script]).status().unwrap();
        status.code().unwrap()
    };
    assert_eq!(code("exit 7"), 7);
    assert_eq!(code("kill -KILL $$"), 137);
    let missing = workshop(&["lab", "--no-build", "no-such-command"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
}

/// Opens a lab, ends it in some way, and looks for what is left.
fn ends_without_trace(end: impl Fn(Pid) -> nix::Result<()>) {
    let (mut lab, mut output) = open_lab();
    let pid = Pid::from_raw(lab.id() as i32);
    let mut ready = [0; 6];
    output.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");

    end(pid).unwrap();
    // Every process of the lab's has the pipe open, the janitor too: it ends when all are gone.
    output.read_to_end(&mut Vec::new()).unwrap();
    lab.wait().unwrap();
    let left: Vec<_> =
        host::cgroups().into_iter().filter(|path| path.contains(&format!("/lab-{pid}"))).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn open_lab() -> (Child, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = workshop(&["lab", "--no-build", "sh", "-c", "echo ready; exec sleep 1000"]);
    command.stdout(writer.try_clone().unwrap()).stderr(writer).process_group(0);
    (command.spawn().unwrap(), reader)
}

/// The lab's PID 1: the child that isn't the janitor.
fn child_of(lab: Pid) -> Pid {
    let children = fs::read_to_string(format!("/proc/{lab}/task/{lab}/children")).unwrap();
    let pids = children.split_whitespace().map(|pid| pid.parse().unwrap()).map(Pid::from_raw);
    let is_init = |pid: &Pid| {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
        theirs != fs::read_link(Path::new("/proc/self/ns/pid")).unwrap()
    };
    pids.into_iter().find(is_init).expect("the lab's first process")
}

fn tour() {
    let output = workshop(&["tour"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    snapshot::hold("workshop/tour", &redact::redact(&String::from_utf8_lossy(&output.stdout)));
}
