//! What a test is, and how all of them are run.

pub(crate) mod cgroup;
pub(crate) mod chromium;
pub(crate) mod host;
pub(crate) mod lab;
pub(crate) mod needs;
pub(crate) mod redact;
pub(crate) mod snapshot;
pub(crate) mod trace;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use needs::{Machine, Need, Skip};

/// One test: a transcript or a function, under a name like `03-pid-ns/ps`.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    /// `folder/name`; a transcript's snapshot stands at `tests/snapshots/folder/name.snap`.
    pub(crate) name: &'static str,
    /// What it does.
    kind: Kind,
    /// What the machine must offer.
    needs: &'static [Need],
}

#[derive(Clone, Copy)]
enum Kind {
    /// Lines that a reader would type in the lab.
    Transcript(&'static str),
    /// Anything else. Panics when it fails.
    Function(fn()),
    /// The same, without a look at the machine.
    Pure(fn()),
    /// Anything that is known only when the tests run.
    Leaked(&'static (dyn Fn() + Send + Sync)),
}

/// The lines that a reader would type in a fresh lab, each after `$ `. What they print is held
/// against the snapshot.
pub(crate) const fn transcript(name: &'static str, lines: &'static str) -> Test {
    Test { name, kind: Kind::Transcript(lines), needs: &[] }
}

/// A test that is more than a transcript.
pub(crate) const fn function(name: &'static str, run: fn()) -> Test {
    Test { name, kind: Kind::Function(run), needs: &[] }
}

/// A test that only computes: it starts nothing, so the host needn't be looked at before and after. In an emulated machine that
/// look takes longer than the test.
pub(crate) const fn pure(name: &'static str, run: fn()) -> Test {
    Test { name, kind: Kind::Pure(run), needs: &[] }
}

/// A test whose name and content come from a file. Neither is ever freed.
pub(crate) fn leaked(name: &str, run: impl Fn() + Send + Sync + 'static) -> Test {
    let name = Box::leak(name.to_owned().into_boxed_str());
    Test { name, kind: Kind::Leaked(Box::leak(Box::new(run))), needs: &[] }
}

impl Test {
    /// Marks what the machine must offer; where it doesn't, the test is skipped.
    pub(crate) const fn needs(self, needs: &'static [Need]) -> Test {
        Test { needs, ..self }
    }

    fn run(&self) -> Result<(), Failed> {
        if let Kind::Pure(run) = self.kind {
            run();
            return Ok(());
        }
        let before = host::fingerprint();
        match self.kind {
            Kind::Transcript(lines) => snapshot::hold(self.name, &lab::transcript(lines)?),
            Kind::Function(run) | Kind::Pure(run) => run(),
            Kind::Leaked(run) => run(),
        }
        host::expect_unchanged(&before)
    }
}

/// Runs the tests that the command line names, and says what was skipped.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(tests, &[])).exit_code();
    }
    if let Err(error) = lab::prepare() {
        eprintln!("prepare the tests: {error:#}");
        return ExitCode::FAILURE;
    }
    let machine = Machine::probe();
    let mut skipped = skipped(tests, &machine);
    skipped.retain(|skip| is_chosen(&arguments, skip.name));
    let before = host::fingerprint();
    let conclusion = libtest_mimic::run(&arguments, trials(tests, &skipped));

    let unchanged = host::expect_unchanged(&before).and_then(|()| host::expect_no_cgroup_left());
    if let Err(change) = &unchanged {
        eprintln!("{}", change.message().unwrap_or("the host has changed"));
    }
    let ok = needs::report(&skipped) && unchanged.is_ok() && !conclusion.has_failed();
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The tests that this machine can't run, each with the reason.
fn skipped(tests: &[Test], machine: &Machine) -> Vec<Skip> {
    let skip = |test: &Test| {
        let missing = |need: &Need| Some((*need, machine.lacks(*need)?));
        let (need, why) = test.needs.iter().find_map(missing)?;
        Some(Skip { name: test.name, need, why })
    };
    tests.iter().filter_map(skip).collect()
}

/// Whether the command line chooses a test, as libtest-mimic will.
fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    let named =
        |word: &String| if arguments.exact { name == word } else { name.contains(word.as_str()) };
    arguments.filter.as_ref().is_none_or(named) && !arguments.skip.iter().any(named)
}

fn trials(tests: &[Test], skipped: &[Skip]) -> Vec<Trial> {
    let tests: Arc<[Test]> = tests.into();
    let trial = |index: usize| {
        let name = tests[index].name;
        let ignored = skipped.iter().any(|skip| skip.name == name);
        let tests = Arc::clone(&tests);
        Trial::test(name, move || tests[index].run()).with_ignored_flag(ignored)
    };
    (0..tests.len()).map(trial).collect()
}
