//! The commands, as a participant types them.

use std::fs;
use std::io::{PipeReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use workshop::exercises::catalogue::{self, Exercise};
use workshop::session::{Ended, Session};

use super::EXERCISES;
use super::participant::Participant;
use crate::harness::needs::Need::{Cgroup, Nft, Speed};
use crate::harness::{Test, function, snapshot};

/// They need Cargo, which a machine that is emulated hasn't, and no kernel in particular.
pub(super) const TESTS: &[Test] = &[
    function("participant/list", list).needs(&[Speed]),
    function("participant/start", start).needs(&[Speed]),
    function("participant/check", check).needs(&[Speed]),
    function("participant/hint", hint).needs(&[Speed]),
    function("participant/solution", solution).needs(&[Speed]),
    function("participant/reset", reset).needs(&[Speed]),
    function("participant/progress", progress).needs(&[Speed]),
    function("participant/git-pull", git_pull).needs(&[Speed]),
    function("participant/mistakes", mistakes).needs(&[Speed]),
    function("participant/compile-error", compile_error).needs(&[Speed]),
    function("participant/hang", hang).needs(&[Speed]),
    function("participant/runs-wild", runs_wild),
    function("participant/watch", watch).needs(&[Speed]),
    function("participant/engine", engine).needs(&[Speed, Cgroup, Nft]),
];

/// What a participant builds has the same name for all of them: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn exercise(id: &str) -> &'static Exercise {
    catalogue::find(&EXERCISES, id).unwrap()
}

/// The answer that most people give first.
const ONLY_CHROOT: &str = "{
    require_rootfs(rootfs)?;
    chroot(rootfs).context(\"chroot\")
}";

fn list() {
    let anna = Participant::new("list");
    snapshot::hold("participant/list", &anna.types("list"));
}

/// Started once and for all: what is written then is never overwritten.
fn start() {
    let anna = Participant::new("start");
    let first = anna.types("start 1");
    anna.writes(exercise("01"), ONLY_CHROOT);
    let again = anna.types("start 01");
    assert!(fs::read_to_string(anna.file(exercise("01"))).unwrap().contains("context(\"chroot\")"));
    let deeper = anna.types("start 01-exec");
    let text = fs::read_to_string(anna.path("01-chroot/src/program.rs")).unwrap();
    assert!(text.contains("todo!(\"become this program\")"), "the second body is empty too");
    assert!(anna.path("AGENTS.md").exists(), "an assistant finds its contract");
    snapshot::hold("participant/start", &format!("{first}\n{again}\n{deeper}"));
}

fn check() {
    let _alone = alone();
    let anna = Participant::new("check");
    anna.types("start 01");
    let mut shown = anna.types("check 01");
    anna.writes(exercise("01"), ONLY_CHROOT);
    shown += &format!("\n{}\n{}", anna.types("check"), anna.types("check --raw"));
    anna.solves(exercise("01"));
    shown += &format!("\n{}", anna.types("check"));
    assert!(anna.command("check").output().unwrap().status.success());
    snapshot::hold("participant/check", &shown);
}

/// The ladder, rung by rung, and what comes after the last.
fn hint() {
    let anna = Participant::new("hint");
    let hints = [(); 4].map(|()| anna.types("hint 01"));
    snapshot::hold("participant/hint", &hints.join("\n"));
}

fn solution() {
    let _alone = alone();
    let anna = Participant::new("solution");
    anna.types("start 01");
    anna.writes(exercise("01"), ONLY_CHROOT);
    let unsolved = anna.types("solution 01");
    let sure = anna.types("solution 01 --yes");
    anna.solves(exercise("01"));
    anna.types("check 01");
    let solved = anna.types("solution 01");
    snapshot::hold("participant/solution", &format!("{unsolved}\n{sure}\n{solved}"));
}

fn reset() {
    let anna = Participant::new("reset");
    anna.types("start 01");
    anna.writes(exercise("01"), ONLY_CHROOT);
    let first = anna.types("reset 01");
    let kept = fs::read_to_string(anna.path("old/01-chroot.1/src/lib.rs")).unwrap();
    assert!(kept.contains("context(\"chroot\")"), "the old attempt is kept");
    let file = anna.file(exercise("01"));
    assert!(fs::read_to_string(&file).unwrap().contains("todo!("), "the body is empty again");
    // A file that is no longer Rust is kept and replaced as well.
    fs::write(&file, "fn broken( {").unwrap();
    anna.types("reset 01");
    assert!(fs::read_to_string(&file).unwrap().contains("todo!("));
    assert!(anna.path("old/01-chroot.2/src/lib.rs").exists());
    snapshot::hold("participant/reset", &first);
}

fn progress() {
    let anna = Participant::new("progress");
    anna.types("start 01");
    anna.types("hint 01");
    let output = anna.command("progress --json").output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&all["solved"], &all["current"]), (&Value::from(0), &Value::from("01")));
    assert_eq!(all["of"], EXERCISES.len());
    let first = &all["exercises"][0];
    for (key, value) in [("id", "01"), ("level", "core"), ("state", "started")] {
        assert_eq!(first[key], value);
    }
    assert_eq!((&first["hints"], &first["solved"]), (&Value::from(1), &Value::Null));
    assert_eq!(all["exercises"][1]["state"], "open");
}

/// The step has changed since: the participant is told, and keeps what they have.
fn git_pull() {
    let _alone = alone();
    let anna = Participant::new("git-pull");
    anna.types("start 01");
    let file = anna.path("progress.json");
    let mut progress: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    progress["exercises"]["01"]["reference"] = "0123456789abcdef".into();
    fs::write(&file, progress.to_string()).unwrap();
    let shown = anna.types("check 01");
    assert!(shown.contains("note: the step has changed since you started"), "{shown}");
    assert!(shown.contains("Not written yet"), "it is judged all the same: {shown}");
}

/// What is typed wrong, and what is asked too early.
fn mistakes() {
    let anna = Participant::new("mistakes");
    let lines = [
        "check",
        "check 01",
        "start 99",
        "start one",
        "reset 01",
        "watch 01",
        "engine",
        "lab --exercise 01 true",
        "lab --mine true",
    ];
    let shown = lines.map(|line| anna.types(line));
    snapshot::hold("participant/mistakes", &shown.join("\n"));
}

/// It is shown as Cargo shows it, and nothing after it.
fn compile_error() {
    let _alone = alone();
    let anna = Participant::new("compile-error");
    anna.types("start 01");
    anna.writes(exercise("01"), "{\n    let answer: u8 = \"forty-two\";\n    Ok(())\n}");
    let output = anna.command("check 01").output().unwrap();
    let shown = anna.shown(&output);
    assert!(shown.contains("error[E0308]: mismatched types"), "{shown}");
    let last = shown.trim_end().lines().last().unwrap();
    assert!(last.contains("could not compile"), "nothing follows: {shown}");
    assert_eq!(output.status.code(), Some(1));
}

fn hang() {
    let _alone = alone();
    let anna = Participant::new("hang");
    anna.types("start 01");
    anna.writes(exercise("01"), "{\n    loop {\n        std::thread::park();\n    }\n}");
    snapshot::hold("participant/hang", &anna.types("check 01"));
}

/// A fork bomb and a full disk harm only the lab that they are in.
fn runs_wild() {
    let lab = Session { programs: None, limited: true, limit: Duration::from_secs(10) };
    let bomb = lab.run("bomb() { bomb | bomb & }; bomb; sleep 1000").unwrap();
    assert!(matches!(&bomb, Ended::Stopped(_)), "{bomb:?}");
    let full = lab.run("cat /dev/zero > /lab/full 2> /dev/null; wc -c < /lab/full").unwrap();
    let Ended::Itself(size) = full else { panic!("{full:?}") };
    let size: u64 = size.split_whitespace().last().unwrap().parse().unwrap();
    assert!(size <= 512 << 20, "{size} bytes are no limit");
    // Whoever comes next finds the machine as it was.
    let next = Session { limit: Duration::from_secs(60), ..lab };
    assert_eq!(next.run("echo all is well").unwrap(), Ended::Itself("all is well\n".to_owned()));
}

/// At a terminal of 80 by 24: a save is seen, judged and shown; keys do what the last line says.
fn watch() {
    let _alone = alone();
    let anna = Participant::new("watch");
    anna.types("start 01");
    let mut terminal = Terminal::open(&anna, "watch 01");
    terminal.until("Not written yet");
    terminal.until("q quit");
    terminal.press("h");
    terminal.until("Hint 1 of 3");

    anna.writes(exercise("01"), ONLY_CHROOT);
    terminal.until("where it was");
    terminal.until("q quit");
    terminal.press("n");
    terminal.until("This one first");
    let start = Instant::now();
    anna.solves(exercise("01"));
    terminal.until("checks pass.\r\n");
    let took = start.elapsed();
    terminal.until("n next");
    assert!(took < Duration::from_secs(20), "{took:?} from save to verdict");

    terminal.press("n");
    terminal.until("red at first");
    terminal.until("q quit");
    terminal.press("q");
    assert!(terminal.ended(), "q ends it");
}

/// A program at a terminal, by way of script(1).
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: PipeReader,
    /// What was shown and not yet looked at.
    rest: String,
}

impl Terminal {
    fn open(anna: &Participant, words: &str) -> Terminal {
        let program = anna.command(words);
        let line =
            format!("stty rows 24 cols 80; exec {} {words}", program.get_program().display());
        let mut script = std::process::Command::new("script");
        script.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let (screen, end) = std::io::pipe().unwrap();
        script.current_dir(program.get_current_dir().unwrap());
        script.stdin(Stdio::piped()).stdout(end.try_clone().unwrap()).stderr(end);
        let mut child = script.spawn().expect("script(1), of the package bsdutils");
        let keyboard = child.stdin.take().unwrap();
        Terminal { child, keyboard, screen, rest: String::new() }
    }

    /// Reads on until this is shown.
    fn until(&mut self, text: &str) {
        loop {
            if let Some(found) = self.rest.find(text) {
                self.rest.drain(..found + text.len());
                return;
            }
            let mut bytes = [0; 4096];
            let read = self.screen.read(&mut bytes).unwrap();
            assert!(read > 0, "it ended before it showed '{text}':\n{}", self.rest);
            self.rest += &String::from_utf8_lossy(&bytes[..read]);
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn ended(mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

/// The participant's own engine: made of all their steps, and of what they wrote rather than of the reference.
fn engine() {
    let _alone = alone();
    let anna = Participant::new("engine");
    let parts: Vec<&Exercise> =
        EXERCISES.iter().filter(|exercise| !exercise.is_program()).collect();
    let mut solved = serde_json::Map::new();
    for exercise in &parts {
        anna.types(&format!("start {}", exercise.id));
        anna.solves(exercise);
        let entry = serde_json::json!({
            "started": "2026-01-01T00:00:00Z", "solved": "2026-01-01T00:00:00Z",
            "checks": 1, "hints": 0, "solution_seen": false, "reference": null,
        });
        solved.insert(exercise.id.clone(), entry);
    }
    let progress = serde_json::json!({ "current": null, "exercises": solved });
    fs::write(anna.path("progress.json"), progress.to_string()).unwrap();
    let program = anna.path("01-chroot/src/program.rs");
    let text = fs::read_to_string(&program).unwrap();
    let text =
        text.replace("no such command in the container", "no such command in ANNA'S container");
    fs::write(&program, text).unwrap();

    let built = anna.command("engine").output().unwrap();
    assert!(built.status.success(), "{}", anna.shown(&built));
    snapshot::hold(
        "participant/engine",
        &format!("$ cargo workshop engine\n{}", String::from_utf8_lossy(&built.stdout)),
    );

    let mut lab = anna.command("lab --mine --no-build sh -c");
    lab.arg(
        "keel import rootfs box > /dev/null
         keel run --rm box no-such-command
         keel run --rm -m 64m -p 8080:80 box sh -c 'hostname -i; mount | grep -c overlay'
         step01-chroot rootfs no-such-command",
    );
    let shown = anna.shown(&lab.output().unwrap());
    assert_eq!(shown.matches("ANNA'S").count(), 2, "{shown}");
    assert!(shown.contains("10.77.0."), "{shown}");
}
