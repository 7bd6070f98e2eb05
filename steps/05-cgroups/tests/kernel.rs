//! What the kernel makes of it: real cgroups, under `keel` in this machine's own hierarchies, all of
//! them removed again. They are left out by default: run them as root, in the lab or on a machine
//! of yours, with `cargo test -p step05-cgroups -- --ignored`.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use cgroups::{Bytes, Cgroup, Limits, List, Max};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// A cgroup that goes when the test does, however that ends.
struct Own(Option<Cgroup>);

impl Own {
    fn new(name: &str) -> Own {
        Own(Some(Cgroup::create(&format!("test-{name}-{}", std::process::id())).unwrap()))
    }

    fn limited(name: &str, limits: &Limits) -> Own {
        let mut own = Own::new(name);
        own.limit(limits).unwrap();
        own
    }

    /// Runs a shell script in it.
    fn run(&self, script: &str) -> Child {
        // The shell waits for a line, and so begins only when it has been moved; else never.
        let gated = format!("read _ || exit; {script}");
        let mut child = Command::new("sh")
            .args(["-c", &gated])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        self.add(Pid::from_raw(child.id() as i32)).unwrap();
        writeln!(child.stdin.take().unwrap()).unwrap();
        child
    }
}

impl std::ops::Deref for Own {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        self.0.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for Own {
    fn deref_mut(&mut self) -> &mut Cgroup {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let cgroup = self.0.take().unwrap();
        let _ = cgroup.kill();
        let removed = cgroup.remove();
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Option<T> {
    Some(text.parse().unwrap())
}

/// A limit to CPU 0. None for an ordinary user: systemd delegates cpu, memory and pids, not cpuset.
fn first_cpu() -> Option<List> {
    geteuid().is_root().then(|| parse("0")).flatten()
}

#[test]
#[ignore = "makes cgroups"]
fn limits_come_back_as_they_were_set() {
    let limits = Limits {
        memory: parse("64m"),
        memory_swap: parse("96m"),
        cpus: parse("0.5"),
        cpu_weight: parse("512"),
        pids: parse("32"),
        cpuset_cpus: first_cpu(),
        ..Limits::default()
    };
    let own = Own::limited("limits", &limits);
    let seen = own.limits().unwrap();
    // A machine with one CPU has nothing that could be cut down to CPU 0.
    let limits = Limits { cpuset_cpus: seen.cpuset_cpus.clone(), ..limits };
    let weight = seen.cpu_weight.unwrap().weight();
    assert_eq!(weight, limits.cpu_weight.unwrap().weight());
    assert_eq!(seen, Limits { cpu_weight: seen.cpu_weight, ..limits });

    // What its processes see of themselves.
    let mut child = own.run("exec sleep 60");
    let view = cgroups::of(Pid::from_raw(child.id() as i32)).unwrap();
    assert_eq!(view.limits().unwrap(), seen);
    assert_eq!(view.path(), own.path());
    assert_eq!(own.processes().unwrap(), [Pid::from_raw(child.id() as i32)]);
    own.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "makes cgroups"]
fn limits_go_up_and_down() {
    let mut own = Own::new("up-down");
    for (memory, swap) in [("64m", "64m"), ("128m", "200m"), ("32m", "-1"), ("8m", "8m")] {
        let limits =
            Limits { memory: parse(memory), memory_swap: parse(swap), ..Limits::default() };
        own.limit(&limits).unwrap();
        assert_eq!(own.limits().unwrap(), limits);
    }
    own.limit(&Limits { pids: parse("3"), ..Limits::default() }).unwrap();
    own.limit(&Limits { pids: Some(Max::Unlimited), ..Limits::default() }).unwrap();
    assert_eq!(own.limits().unwrap().pids, None);
}

#[test]
#[ignore = "makes cgroups"]
fn a_limit_reaches_a_container_that_runs() {
    let mut own = Own::new("late");
    let mut child = own.run("while :; do :; done");
    own.limit(&Limits { cpus: parse("0.05"), ..Limits::default() }).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while own.stats().unwrap().cpu.unwrap().throttled.is_zero() {
        assert!(Instant::now() < end, "never held back");
        std::thread::sleep(Duration::from_millis(20));
    }
    own.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
#[ignore = "makes cgroups"]
fn too_much_memory_is_killed() {
    let limits = Limits { memory: parse("16m"), memory_swap: parse("16m"), ..Limits::default() };
    let own = Own::limited("oom", &limits);
    let status = own.run("exec tail /dev/zero").wait().unwrap();
    assert_eq!(status.signal(), Some(9));
    let stats = own.stats().unwrap();
    println!("{stats}");
    assert!(stats.oom_kills > 0);
    let memory = stats.memory.unwrap();
    assert_eq!(memory.limit, Some(16 << 20));
    assert!(memory.peak.is_none_or(|peak| Bytes(peak) > Bytes(8 << 20)));
}

#[test]
#[ignore = "makes cgroups"]
fn a_fork_bomb_stays_small() {
    let own = Own::limited("bomb", &Limits { pids: parse("20"), ..Limits::default() });
    let mut child = own.run("f() { f | f & }; f; f; sleep 60");
    std::thread::sleep(Duration::from_millis(300));
    let stats = own.stats().unwrap();
    println!("{stats}");
    assert!(stats.pids.unwrap().current <= 20);
    own.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "makes cgroups"]
fn frozen_stands_still_and_can_be_killed() {
    let own = Own::new("freeze");
    let mut child = own.run("while :; do :; done");
    own.freeze().unwrap();
    let used = || own.stats().unwrap().cpu.unwrap().total;
    let before = used();
    std::thread::sleep(Duration::from_millis(100));
    // Its last moments before it stood still may be counted late.
    assert!(used() - before < Duration::from_millis(5));
    own.thaw().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while used() - before < Duration::from_millis(50) {
        assert!(Instant::now() < end, "never thawed");
        std::thread::sleep(Duration::from_millis(10));
    }

    own.freeze().unwrap();
    own.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
#[ignore = "makes cgroups"]
fn removal_waits_for_the_last_process() {
    let own = Own::new("removal");
    let mut child = own.run("exec sleep 60");
    let pid = Pid::from_raw(child.id() as i32);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        kill(pid, Signal::SIGTERM).unwrap();
        child.wait().unwrap();
    });
    let name = own.path().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    Cgroup::open(&name).unwrap().remove().unwrap();
    killer.join().unwrap();
    assert!(!Cgroup::open(&name).unwrap().exists());
    Cgroup::open(&name).unwrap().remove().unwrap();
}

#[test]
#[ignore = "makes cgroups"]
fn a_name_is_taken_once() {
    let own = Own::new("taken");
    let name = own.path().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let error = Cgroup::create(&name).unwrap_err().to_string();
    assert!(error.contains("exists already"), "{error}");
    for wrong in ["", "..", "a/b", "a\nb"] {
        assert!(Cgroup::create(wrong).is_err());
    }
}

#[test]
#[ignore = "makes cgroups"]
fn many_at_once_come_and_go() {
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            std::thread::spawn(move || {
                for turn in 0..50 {
                    drop(Own::limited(
                        &format!("many-{thread}-{turn}"),
                        &Limits { pids: parse("9"), cpuset_cpus: first_cpu(), ..Limits::default() },
                    ));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
#[ignore = "makes cgroups"]
fn with_all_is_in_every_hierarchy() {
    let name = format!("test-all-{}", std::process::id());
    let own = Own(Some(Cgroup::create_with_all(&name).unwrap()));
    let mut child = own.run("exec sleep 60");
    let memberships = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    println!("{memberships}");
    for line in memberships.lines() {
        assert!(line.ends_with(&format!("/keel/{name}")), "{line}");
    }
    own.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "makes cgroups"]
fn has_a_cgroup_of_version_2_wherever_there_is_one() {
    let own = Own::new("unified");
    let mut child = own.run("exec sleep 60");
    let memberships = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let unified = memberships.lines().find(|line| line.starts_with("0::"));
    println!("{memberships}");
    assert_eq!(
        unified.is_some_and(|line| line.contains("/keel/test-unified-")),
        mounts.contains(" - cgroup2 ")
    );
    own.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "makes cgroups"]
fn what_the_container_made_below_goes_too() {
    let own = Own::new("nested");
    let pid = std::process::id();
    let make = format!(
        "for d in $(find /sys/fs/cgroup -type d -path '*/keel/test-nested-{pid}'); do mkdir -p $d/a/b; done"
    );
    assert!(Command::new("sh").args(["-c", &make]).status().unwrap().success());
    drop(own);
    let find = format!("find /sys/fs/cgroup -path '*keel/test-nested-{pid}*'");
    let left = Command::new("sh").args(["-c", &find]).output().unwrap().stdout;
    assert_eq!(String::from_utf8(left).unwrap(), "");
}

#[test]
#[ignore = "makes cgroups"]
fn bad_limits_are_refused_with_a_reason() {
    let mut own = Own::new("bad");
    let mut why = |limits: Limits| format!("{:#}", own.limit(&limits).unwrap_err());
    println!("{}", why(Limits { memory: parse("5m"), ..Limits::default() }));
    println!("{}", why(Limits { cpuset_cpus: parse("4000"), ..Limits::default() }));
    let no_disk = cgroups::IoLimit { device: (4000, 1), reads: Some(1), ..Default::default() };
    println!("{}", why(Limits { io: vec![no_disk], ..Limits::default() }));
}
