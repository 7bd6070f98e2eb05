//! The chapters of the steps: each has the same parts, in the same order, and is neither too short nor
//! too long.

use regex::Regex;

use crate::book::{Page, expect_none, pages};
use crate::harness::{Test, pure};

pub(crate) const TESTS: &[Test] = &[
    pure("book/chapters-have-all-sections", chapters_have_all_sections),
    pure("book/questions-have-answers", questions_have_answers),
    pure("book/chapters-have-diagrams", chapters_have_diagrams),
    pure("book/chapters-have-their-length", chapters_have_their_length),
];

/// After "At a glance", which is a table without a heading.
const SECTIONS: &[&str] = &[
    "See it",
    "Break the last one",
    "Predict",
    "How the kernel sees it",
    "By hand",
    "Build it",
    "Run the attack again",
    "Exercises",
    "When it fails",
    "The real engine",
    "Recap and three questions",
];

const AT_A_GLANCE: &[&str] =
    &["At a glance", "Time", "Linux", "Privilege", "Changes on the host", "Man pages"];

/// Words of a chapter beside its listings.
const LENGTH: std::ops::RangeInclusive<usize> = 1500..=3000;

/// The chapters of the eight steps.
fn chapters() -> Vec<Page> {
    let is_step = |page: &Page| page.name().starts_with('0');
    let chapters: Vec<Page> = pages().into_iter().filter(is_step).collect();
    assert_eq!(chapters.len(), 8, "a chapter for each step");
    chapters
}

fn chapters_have_all_sections() {
    let mut complaints = Vec::new();
    for page in chapters() {
        let headings: Vec<&str> =
            page.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        if headings != SECTIONS {
            complaints.push(format!("{}: has the sections {headings:?}", page.name()));
        }
        let opening = page.text.split("\n## ").next().unwrap();
        let rows: Vec<&str> =
            opening.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim).collect();
        let rows: Vec<&str> = rows.into_iter().filter(|row| !row.starts_with("---")).collect();
        if rows != AT_A_GLANCE {
            complaints.push(format!("{}: at a glance there is {rows:?}", page.name()));
        }
        if !page.text.contains("\n**Sources:**") {
            complaints.push(format!("{}: names no sources", page.name()));
        }
    }
    expect_none(complaints);
}

/// One answer or more to "Predict", and three in the recap, folded.
fn questions_have_answers() {
    let mut complaints = Vec::new();
    for page in chapters() {
        let answers = |section: &str| {
            let text = page.text.split(&format!("\n## {section}\n")).nth(1).unwrap_or_default();
            let text = text.split("\n## ").next().unwrap();
            text.matches("<details><summary>Answer").count()
        };
        if answers("Predict") == 0 {
            complaints.push(format!("{}: no answer to what is to be predicted", page.name()));
        }
        let recap = answers("Recap and three questions");
        if recap != 3 {
            complaints.push(format!("{}: {recap} answers to three questions", page.name()));
        }
    }
    expect_none(complaints);
}

/// Two diagrams or more, and each of them in words as well.
fn chapters_have_diagrams() {
    let image = Regex::new(r"!\[[^\]]+\]\(images/[\w-]+\.svg\)").unwrap();
    let mut complaints = Vec::new();
    for page in chapters() {
        let diagrams = image.find_iter(&page.text).count();
        let in_words = page.text.matches("\nIn words").count();
        if diagrams < 2 || in_words < diagrams {
            complaints
                .push(format!("{}: {diagrams} diagrams, {in_words} of them in words", page.name()));
        }
    }
    expect_none(complaints);
}

fn chapters_have_their_length() {
    let mut complaints = Vec::new();
    for page in chapters() {
        let words = without_listings(&page.text).split_whitespace().count();
        if !LENGTH.contains(&words) {
            complaints.push(format!("{}: {words} words", page.name()));
        }
    }
    expect_none(complaints);
}

/// The text without its fenced blocks and the marks of tables.
fn without_listings(text: &str) -> String {
    let mut inside = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    prose.collect::<Vec<_>>().join("\n").replace('|', " ")
}
