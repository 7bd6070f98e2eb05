//! What one `keel run` asks of the kernel, call by call: the book walks through it.
//!
//! The trace is cut into parts, a snapshot each, and told by these rules:
//!
//! - A line is one system call, after the process that made it: `keel`, `thread` (a thread of keel's
//!   that visits the container's network namespace) or `container`.
//! - Left out is what any program does: memory, the loader, the runtime's start, clocks, looks at
//!   files (stat, access) and the reading of plain files, closing and numbering of descriptors.
//! - A descriptor is shown as what it leads to, a mount that is nowhere yet as `mount`, a filesystem
//!   that is being set up as `fs`. The options of one filesystem stand in one line.
//! - What rightly differs between machines (cgroup version 1 or 2, a kernel's list of secret files, root or
//!   an ordinary user) is a line in words: it begins with `#`.
//! - The loop that copies output turns as often as chance will have it: each of its calls stands there
//!   once.

use std::sync::LazyLock;

use mount_ns::masks;
use regex::Regex;

use crate::harness::needs::Need::{Cgroup, Nft, Strace};
use crate::harness::trace::{self, Call, Process};
use crate::harness::{Test, function, snapshot, transcript};

pub(crate) const TESTS: &[Test] = &[
    transcript(
        "engine/trace-skeleton",
        "
        $ keel import rootfs box > /dev/null
        $ keel run --rm --network none box true
        $ strace -f -o trace -e trace=clone3,unshare,sethostname,pivot_root,execve \\
        >   keel run --rm --network none box true
        $ grep -o -e 'CLONE_NEW[A-Z]*' -e 'sethostname' -e 'pivot_root(.*)' \\
        >   -e 'execve(\"/[a-z/]*true\"' trace
    ",
    )
    .needs(&[Strace, Cgroup]),
    part("engine/trace-claim", || hold("claim")),
    part("engine/trace-prepare", || hold("prepare")),
    part("engine/trace-create", || hold("create")),
    part("engine/trace-wire", || hold("wire")),
    part("engine/trace-start", || hold("start")),
    part("engine/trace-names", || hold("names")),
    part("engine/trace-rootfs", || hold("rootfs")),
    part("engine/trace-mounts", || hold("mounts")),
    part("engine/trace-pivot", || hold("pivot")),
    part("engine/trace-seal", || hold("seal")),
    part("engine/trace-exec", || hold("exec")),
    part("engine/trace-stay", || hold("stay")),
    part("engine/trace-finish", || hold("finish")),
];

const fn part(name: &'static str, run: fn()) -> Test {
    function(name, run).needs(&[Strace, Cgroup, Nft])
}

/// The command. The one before it has made what is made once: the bridge, the choice of a driver.
const SETUP: &str = "keel import rootfs box && keel run --rm box true";
const COMMAND: &str = "keel run --rm --name web -m 64m box echo hello";

/// A process's parts in order: the name, and what the first line of each looks like.
const KEEL: &[(&str, &str)] = &[
    ("claim", r"^execve\("),
    ("prepare", r#"^mkdir\("ID/rootfs"#),
    ("create", r"^pipe2\(stdout"),
    ("wire", r#"^open\("/proc/PID/ns/net"#),
    ("start", r#"^open\("ID/log.json"#),
    ("stay", r"^poll\("),
    ("finish", r"^waitid\("),
];
const CONTAINER: &[(&str, &str)] = &[
    ("create", r"^prctl\("),
    ("names", r"^setsid\("),
    ("rootfs", r#"^mount\(NULL, "/""#),
    ("mounts", r#"^openat2\(ID/rootfs, "/proc""#),
    ("pivot", r"^fchdir\("),
    ("seal", "^# for each"),
    ("exec", r"^umask\("),
];
/// Keel's thread in the container's network namespace.
const THREAD: &[(&str, &str)] = &[("wire", r"^setns\(")];

/// All of it: the part, and the line.
static TRACE: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let processes = trace::record(SETUP, COMMAND).expect("a trace");
    let of = |who, parts, mark: &str| {
        let is_it = |process: &&Process| process.calls.iter().any(|call| call.name == mark);
        let process = processes.iter().find(is_it).unwrap_or_else(|| panic!("no {who}"));
        parted(who, parts, &process.calls)
    };
    let mut lines = of("keel", KEEL, "waitid");
    let thread = of("thread", THREAD, "setns");
    let birth = lines.iter().position(|(_, line)| line.contains("CLONE_THREAD")).expect("a thread");
    lines.splice(birth + 1..=birth, thread);
    lines.extend(of("container", CONTAINER, "pivot_root"));
    lines
});

/// The lines of one process, each with its part.
fn parted(
    who: &str,
    parts: &[(&'static str, &str)],
    calls: &[Call],
) -> Vec<(&'static str, String)> {
    let mut next = parts.iter().peekable();
    let mut part = None;
    let mut lines = Vec::new();
    for line in Teller::tell(calls) {
        if let Some((name, _)) =
            next.next_if(|(_, first)| Regex::new(first).unwrap().is_match(&line))
        {
            part = Some(*name);
        }
        // Output that nobody has taken when the container ends is written after that.
        let part = if line.starts_with("write(out") { Some("stay") } else { part };
        lines.extend(part.map(|part| (part, format!("{who:<10} {line}\n"))));
    }
    assert!(next.peek().is_none(), "{who}: no part '{:?}' in {lines:#?}", next.peek());
    lines
}

fn hold(part: &str) {
    let lines = TRACE.iter().filter(|(its, _)| *its == part).map(|(_, line)| line.as_str());
    let mut lines: Vec<&str> = lines.collect();
    if part == "stay" {
        let calls = ["poll(", "read(stdout", "write(ID/log.json", "write(out"];
        let rank = |line: &str| calls.iter().position(|call| line.contains(&format!(" {call}")));
        lines.sort_by_key(|line| rank(line));
        lines.dedup_by_key(|line| rank(line));
    }
    snapshot::hold(&format!("engine/trace-{part}"), &lines.concat());
}

/// What every program does, or what shows no more than that somebody looks.
const NOISE: &[&str] = &[
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "madvise",
    "close",
    "statx",
    "stat",
    "lstat",
    "fstat",
    "newfstatat",
    "access",
    "faccessat",
    "faccessat2",
    "getdents64",
    "lseek",
    "geteuid",
    "getpid",
    "gettid",
    "getuid",
    "getrandom",
    "futex",
    "recvfrom",
    "llistxattr",
    "readlink",
    "sched_getaffinity",
    "set_robust_list",
    "rseq",
    "sigaltstack",
    "prlimit64",
    "pread64",
    "arch_prctl",
    "set_tid_address",
    "clock_gettime",
    "exit",
];

/// The masked paths that are told of: a file, a folder, and one that becomes read-only.
const MASKED: [&str; 3] = ["/proc/interrupts", "/sys/firmware", "/proc/sys"];

/// Turns calls into lines.
#[derive(Default)]
struct Teller {
    lines: Vec<String>,
    /// A filesystem that is being made: its lines so far, and its options.
    filesystem: Vec<String>,
    options: Vec<String>,
    /// Nothing is told before a call that begins so.
    silent_until: Option<&'static str>,
    /// Whether the path that is being masked is one to pass over.
    passes_over: bool,
}

impl Teller {
    fn tell(calls: &[Call]) -> Vec<String> {
        let mut teller = Teller::default();
        for call in calls {
            let is_command =
                call.name == "execve" && call.args.contains("[\"echo\"") && call.result == "0";
            teller.hear(call);
            if is_command {
                break;
            }
        }
        teller.lines
    }

    fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        if !line.starts_with('#') || !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    fn hear(&mut self, call: &Call) {
        let Call { name, args, result } = call;
        let (name, args) = (name.as_str(), args.as_str());
        let whole = format!("{name}({args})");
        if let Some(end) = self.silent_until {
            if !whole.starts_with(end) {
                return;
            }
            self.silent_until = None;
        }
        if NOISE.contains(&name) {
            return;
        }
        if name == "openat2" || name == "umask" {
            self.mask(args);
        }
        if self.passes_over || self.is_of_cgroup(&whole) {
            return;
        }
        match name {
            "execve" if args.starts_with("\"/") && args.contains("/keel\"") => {
                self.say(r#"execve("keel", ["keel", "run", ...])"#);
                self.say("# the loader, the C library and Rust's runtime start");
                self.silent_until = Some("mkdir");
            }
            "fsopen" | "fsconfig" | "fsmount" => self.make_filesystem(name, args, result),
            "move_mount" => self.attach(args),
            // Where the overlay goes.
            "open" if !self.filesystem.is_empty() => {}
            "mount" if args.starts_with("\"overlay\"") => self.say(OVERLAY),
            "mknodat" => {
                self.say("# the six devices: mknodat, fchmodat (in a user namespace the host's are bound)");
                self.silent_until = Some("symlink");
            }
            "open" if args.starts_with("\"ID\"") => {
                self.say("# removes what is in the folder ID, and the folder");
                self.silent_until = Some("open(\"keel/lock\"");
            }
            "open" if args.contains("resolv.conf") && !args.contains("ID/") => {
                self.say("# reads the host's resolv.conf");
            }
            "unshare" => {
                self.say("# joins its cgroup (version 2: it was born there, CLONE_INTO_CGROUP)");
                self.say(whole);
            }
            _ => self.lines.extend(plain_line(name, args, result)),
        }
    }

    /// Whether a call is about cgroups, and so depends on their version.
    fn is_of_cgroup(&mut self, whole: &str) -> bool {
        if whole.contains("/proc/self/mountinfo") {
            return true;
        }
        if !(whole.contains("/sys/fs/cgroup") || whole.contains("/proc/self/cgroup")) {
            return false;
        }
        let inside = self.lines.iter().any(|line| line.starts_with("setsid"));
        match () {
            () if whole.starts_with("move_mount") => {
                self.filesystem.clear();
            }
            () if whole.starts_with("openat2(ID/rootfs,") => {
                self.say("# mounts what its cgroup namespace shows on ID/rootfs/sys/fs/cgroup, read-only");
            }
            () if inside => {}
            () if whole.starts_with("rmdir") => self.say("# removes its cgroup"),
            () => self.say("# makes its cgroup, and writes the limit of 64 MiB there"),
        }
        true
    }

    fn make_filesystem(&mut self, name: &str, args: &str, result: &str) {
        match name {
            "fsopen" => {
                let kind = args.split(',').next().unwrap_or_default();
                self.filesystem = vec![format!("fsopen({kind})")];
                self.options.clear();
            }
            // What follows is another try.
            _ if result.starts_with('-') => self.filesystem.clear(),
            "fsmount" => {
                let attributes = args.split(", ").nth(2).unwrap_or_default();
                self.filesystem
                    .push(format!("fsmount(fs, {})", attributes.replace("MOUNT_ATTR_", "")));
            }
            _ if args.contains("FSCONFIG_CMD_CREATE") => {
                self.filesystem.push(format!("fsconfig(fs, {})", self.options.join(", ")));
                self.filesystem.push("fsconfig(fs, FSCONFIG_CMD_CREATE)".to_owned());
            }
            _ => {
                let mut quoted = args.split('"').skip(1).step_by(2);
                let option = quoted.next().unwrap_or_default();
                // A user namespace with one group doesn't know that of terminals, 5.
                if option != "gid" {
                    let value = quoted.next().map(|value| format!("={value}"));
                    self.options.push(format!("{option}{}", value.unwrap_or_default()));
                }
            }
        }
    }

    fn attach(&mut self, args: &str) {
        let target = args.split(", ").nth(2).unwrap_or_default();
        let made = std::mem::take(&mut self.filesystem);
        if made.first().is_some_and(|line| line.contains("overlay")) {
            self.say(OVERLAY);
        } else {
            self.lines.extend(made);
            self.say(format!("move_mount(mount, {target})"));
        }
    }

    /// Decides whether the path that is masked next is told of.
    fn mask(&mut self, args: &str) {
        let path = args.split('"').nth(1).unwrap_or_default();
        let is_masked =
            |path: &str| masks::HIDDEN.contains(&path) || masks::READ_ONLY.contains(&path);
        if is_masked(path) {
            self.say("# for each path in two lists, if this kernel has it; here a file, a folder, one to protect:");
            self.passes_over = !MASKED.contains(&path);
        } else if path != "/dev/null" {
            self.passes_over = false;
        }
    }
}

const OVERLAY: &str =
    "# mounts the overlay on ID/rootfs: fsopen to move_mount, before Linux 6.5 one mount";

/// The line of a call that needs no more than to be shortened.
fn plain_line(name: &str, args: &str, result: &str) -> Option<String> {
    let parts: Vec<&str> = args.split(", ").collect();
    let first = parts[0];
    let last_quoted = || args.split('"').nth(1).unwrap_or_default();
    let shown = match name {
        "openat" if args.contains("\".\"") => return None,
        "openat2" => {
            let flags = between(args, "flags=", ",");
            let resolve = between(args, "resolve=", "}").replace("RESOLVE_", "");
            format!("{first}, {}, {flags}, {resolve}", parts[1])
        }
        "open_tree" => {
            let flags: Vec<&str> = parts[2].split('|').collect();
            let told = |flag: &&&str| ["OPEN_TREE_CLONE", "AT_RECURSIVE"].contains(flag);
            format!("{first}, {}", flags.iter().filter(told).copied().collect::<Vec<_>>().join("|"))
        }
        "mount_setattr" => "mount, AT_RECURSIVE, MOUNT_ATTR_RDONLY".to_owned(),
        "fstatfs" | "utimensat" => first.to_owned(),
        "execve" => args.split("], ").next()?.to_owned() + "]",
        "clone3" if args.contains("CLONE_THREAD") => "CLONE_VM|CLONE_THREAD|...".to_owned(),
        "clone3" => between(args, "flags=", ",").replace("|CLONE_INTO_CGROUP", ""),
        "pipe2" => between(args, "[", ",").to_owned(),
        "signalfd4" => between(args, "[", "]").to_owned(),
        "pidfd_open" => "keel".to_owned(),
        "poll" => {
            let fds = args.split("fd=").skip(1).map(|fd| fd.split(',').next().unwrap_or_default());
            fds.collect::<Vec<_>>().join(", ")
        }
        // Of plain files only what they are is told, and of the rest what brings something.
        "read" if !["stdout", "gate", "report"].contains(&first) => return None,
        "read" if first == "stdout" && last_quoted().is_empty() => return None,
        "read" => format!("{first}, \"{}\"", last_quoted()),
        "write" if ["gate", "out", "stdout"].contains(&first) => {
            format!("{first}, \"{}\"", last_quoted())
        }
        "write" => first.to_owned(),
        "rt_sigaction" if args.contains("sa_handler=SIG_DFL") => format!("{first}, SIG_DFL"),
        "rt_sigaction" => return None,
        "rt_sigprocmask" if args.contains("BLOCK, [HUP") || args.starts_with("SIG_SETMASK, []") => {
            args.split("], ").next()?.to_owned() + "]"
        }
        "rt_sigprocmask" => return None,
        "fcntl" if args.contains("F_SETLKW") => format!("{first}, F_SETLKW, F_WRLCK"),
        "fcntl" if args.contains("O_NONBLOCK") => format!("{first}, F_SETFL, O_NONBLOCK"),
        "fcntl" => return None,
        "socket" => parts[2].to_owned(),
        "sendto" => messages(args),
        "waitid" => "P_PIDFD, pidfd, WEXITED".to_owned(),
        _ => args.to_owned(),
    };
    let failed = result.strip_prefix("-1 ").filter(|_| name != "setgroups");
    let error = failed.and_then(|error| error.split(' ').next());
    Some(format!("{name}({shown})") + &error.map(|error| format!(" = {error}")).unwrap_or_default())
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split(to).next().unwrap_or_default()
}

/// The kinds of the netlink messages in a datagram, by name. See rtnetlink(7).
fn messages(args: &str) -> String {
    static KIND: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"nlmsg_type=([^,]+)").unwrap());
    let name = |found: regex::Captures| match &found[1] {
        kind if kind.contains("0x10 ") => "RTM_NEWLINK".to_owned(),
        kind if kind.contains("0x12 ") => "RTM_GETLINK".to_owned(),
        kind if kind.contains("0x13 ") => "RTM_SETLINK".to_owned(),
        kind if kind.contains("0x14 ") => "RTM_NEWADDR".to_owned(),
        kind if kind.contains("0x18 ") => "RTM_NEWROUTE".to_owned(),
        kind if kind.contains("0xa01 ") => "NFT_MSG_GETTABLE".to_owned(),
        kind => kind.to_owned(),
    };
    KIND.captures_iter(args).map(name).collect::<Vec<_>>().join(", ")
}
