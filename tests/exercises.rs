//! The exercises: each is proven. Its starter compiles without a warning and says what is missing; its reference passes; each
//! answer that is known to be wrong gets feedback of its own.

mod commands;
mod participant;
mod proofs;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::sync::{LazyLock, OnceLock};

use workshop::exercises::catalogue::{self, Exercise, Level};
use workshop::exercises::judge::{Verdict, judge};
use workshop::exercises::{build, parts, source, verdict};
use workshop::prepare::{bin_dir, repository};

use crate::harness::needs::{self, Need};
use crate::harness::redact::redact;
use crate::harness::{Test, function, leaked, pure, snapshot};

/// The tests that no step's file names.
const FIXED: &[Test] = &[
    pure("exercises/three-for-each-step", three_for_each_step),
    pure("exercises/hints-give-nothing-away", hints_give_nothing_away),
    pure("exercises/chapters-name-theirs", chapters_name_theirs),
    function("exercises/blocked", blocked),
];

/// Every exercise.
static EXERCISES: LazyLock<Vec<Exercise>> = LazyLock::new(|| catalogue::all().unwrap());

/// One test for each exercise, and those that are about all of them.
pub(crate) fn tests() -> Vec<Test> {
    let proof = |exercise: &'static Exercise| {
        leaked(&format!("exercises/{}", exercise.id), || prove(exercise)).needs(needs_of(exercise))
    };
    let proofs = EXERCISES.iter().map(proof);
    proofs.chain(FIXED.iter().cloned()).chain(commands::TESTS.iter().cloned()).collect()
}

fn needs_of(exercise: &Exercise) -> &'static [Need] {
    let need = |need: &catalogue::Need| match need {
        catalogue::Need::Cgroup => Need::Cgroup,
        catalogue::Need::Nft => Need::Nft,
        catalogue::Need::Marks => Need::Marks,
    };
    Box::leak(exercise.needs.iter().map(need).collect())
}

/// Everything that must hold for one exercise. What a participant would read is the snapshot.
fn prove(exercise: &Exercise) {
    static BUILT: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    let warnings =
        BUILT.get_or_init(|| proofs::build(&EXERCISES).expect("the variants can be built"));

    let starter = proofs::programs(exercise, proofs::STARTER);
    if let Some(warning) = warnings.get(&proofs::package(exercise, proofs::STARTER)) {
        panic!("the starter of {} has a warning:\n{warning}", exercise.id);
    }
    match judge(exercise, &starter).unwrap() {
        Verdict::Unwritten(todo, _) => assert_eq!(todo, exercise.todo, "the starter's message"),
        other => panic!("the starter of {} is not unwritten: {other:?}", exercise.id),
    }

    let reference = build::reference(exercise).unwrap();
    let reference = reference.unwrap_or_else(|| bin_dir().unwrap());
    let mut text = match judge(exercise, &reference).unwrap() {
        solved @ Verdict::Solved(_) => verdict::words(exercise, &solved),
        other => panic!("the reference does not pass:\n{}", verdict::words(exercise, &other)),
    };

    let name = format!("exercises/{}", exercise.id);
    if needs::is_slow() {
        // Feedback is text, and was held against the snapshot where a lab takes no third of a second.
        return snapshot::hold_start(&name, &redact(&text));
    }
    let mut said: BTreeMap<String, &str> = BTreeMap::new();
    for wrong in &exercise.wrong {
        let verdict = judge(exercise, &proofs::programs(exercise, &wrong.name)).unwrap();
        let words = verdict::words(exercise, &verdict);
        let Verdict::Wrong(mistake) = verdict else {
            panic!("the wrong answer '{}' is not told to be wrong:\n{words}", wrong.name);
        };
        let _ = write!(text, "\n--- wrong: {} ---\n\n{words}", wrong.name);
        if let Some(other) = said.insert(mistake.says, &wrong.name) {
            panic!("'{}' and '{other}' get the same words:\n{words}", wrong.name);
        }
    }
    snapshot::hold(&name, &redact(&text));
}

fn three_for_each_step() {
    for step in EXERCISES.iter().map(|exercise| &exercise.step) {
        let of_step = || EXERCISES.iter().filter(|exercise| exercise.step == *step);
        for level in [Level::Core, Level::Deeper, Level::Expert] {
            assert!(
                of_step().any(|exercise| exercise.level == level),
                "{step}: no {level:?} exercise"
            );
        }
    }
    for exercise in EXERCISES.iter() {
        let Exercise { id, title, hints, wrong, level, .. } = exercise;
        assert!(title.len() <= 37, "{id}: its title is too long for the list");
        assert_eq!(hints.len(), 3, "{id}: three hints");
        let known = wrong.len();
        assert!(*level != Level::Core || (3..=6).contains(&known), "{id}: {known} wrong answers");
        assert!(*level == Level::Core || known > 0, "{id}: no wrong answer");
    }
}

/// Whoever reads a chapter learns what there is to write.
fn chapters_name_theirs() {
    for exercise in EXERCISES.iter() {
        let chapter = fs::read_to_string(repository().join(exercise.chapter())).unwrap();
        let named = chapter.contains(&format!("`cargo workshop start {}`", exercise.id));
        assert!(named, "{}: its chapter doesn't name it", exercise.id);
    }
}

/// No line of a body that is to be written stands in what a participant reads before it is solved.
fn hints_give_nothing_away() {
    for exercise in EXERCISES.iter() {
        let reference = parts::reference(exercise).unwrap();
        let said = || {
            let checks = exercise.checks.iter();
            let whens = checks.clone().flat_map(|check| check.when.iter().map(|when| &when.says));
            exercise
                .hints
                .iter()
                .chain([&exercise.task])
                .chain(checks.map(|c| &c.says))
                .chain(whens)
        };
        for function in &exercise.write {
            let text = &reference[&exercise.own_file(function)];
            let body = &text[source::find(text, &function.name).unwrap().body];
            let is_code =
                |line: &&str| line.len() > 12 && !line.starts_with("//") && line.contains('(');
            for line in body.lines().map(str::trim).filter(is_code) {
                let given_away =
                    said().find(|text| text.contains(line.trim_end_matches([';', '?', ','])));
                assert!(
                    given_away.is_none(),
                    "{}: '{line}' is given away: {given_away:?}",
                    exercise.id
                );
            }
        }
    }
}

/// What the reference can't do either is not the participant's fault.
fn blocked() {
    let mut exercise = catalogue::find(&EXERCISES, "01").unwrap().clone();
    exercise.probes.clear();
    exercise.checks.truncate(1);
    exercise.checks[0].expect = Some("something that no machine prints".to_owned());
    let verdict = judge(&exercise, &bin_dir().unwrap()).unwrap();
    assert!(matches!(verdict, Verdict::Blocked(_)), "{verdict:?}");
    let words = verdict::words(&exercise, &verdict);
    assert!(
        words.starts_with("01  Enter another root directory: this machine can't tell\n"),
        "{words}"
    );
    assert!(
        words.contains("it isn't your code") && words.contains("cargo workshop doctor"),
        "{words}"
    );
    // The doctor forks, and this process has other threads, as `watch` has.
    assert!(!words.contains("threads"), "{words}");
}
