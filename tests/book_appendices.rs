//! The pages for looking things up: they are complete, and say the truth about the other pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use regex::Regex;
use workshop::prepare::repository;

use crate::book::{LINK, Page, expect_none, files_below, id_of, pages};
use crate::harness::{Test, pure, snapshot};

pub(crate) const TESTS: &[Test] = &[
    pure("book/man-pages-are-all-listed", man_pages_are_all_listed),
    pure("book/glossary-is-used", glossary_is_used),
    pure("book/errors-are-printed", errors_are_printed),
    pure("book/cgroup-tables-are-complete", cgroup_tables_are_complete),
];

static MAN_PAGE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:^|[^\w./-])([a-z][a-z0-9_.-]*\([1-8]\))").unwrap());

/// The pages in the order of the summary.
fn in_order() -> Vec<Page> {
    let summary = page("SUMMARY.md");
    let names: Vec<String> = LINK.captures_iter(&summary.text).map(|l| l[3].to_owned()).collect();
    names.iter().map(|name| page(name)).collect()
}

fn page(name: &str) -> Page {
    pages().into_iter().find(|page| page.name() == name).unwrap_or_else(|| panic!("no {name}"))
}

/// The cells of each row of each table, without the tables' heads.
fn rows(page: &Page) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for line in page.text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<String> =
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        if cells[0].starts_with("---") {
            rows.pop();
        } else {
            rows.push(cells);
        }
    }
    rows
}

/// Every man page that a page cites is in the appendix, with a link to that page, and no others are.
fn man_pages_are_all_listed() {
    let appendix = page("manpages.md");
    let mut cited: BTreeSet<(String, String)> = BTreeSet::new();
    for page in in_order().into_iter().filter(|page| page.name() != appendix.name()) {
        let found = MAN_PAGE.captures_iter(&page.text);
        cited.extend(found.map(|found| (found[1].to_owned(), page.name())));
    }
    let mut complaints = Vec::new();
    let mut listed: BTreeSet<(String, String)> = BTreeSet::new();
    for row in rows(&appendix) {
        let [name, purpose, places] = row.as_slice() else { panic!("three columns: {row:?}") };
        if purpose.is_empty() {
            complaints.push(format!("manpages.md: what is {name} for?"));
        }
        let name = name.trim_start_matches('[').split(')').next().unwrap().to_owned() + ")";
        listed.extend(LINK.captures_iter(places).map(|link| (name.clone(), link[3].to_owned())));
    }
    let missing = cited.difference(&listed);
    let missing = missing.map(|(name, page)| format!("manpages.md: {name} is cited in {page}"));
    let idle = listed.difference(&cited);
    let idle = idle.map(|(name, page)| format!("manpages.md: {name} isn't cited in {page}"));
    complaints.extend(missing.chain(idle));
    expect_none(complaints);
}

/// Every entry is linked from somewhere, and says where first: the page, in the order of the summary,
/// and its section.
fn glossary_is_used() {
    let glossary = page("glossary.md");
    let first_uses = first_uses(&glossary.name());
    let mut complaints = Vec::new();
    for entry in glossary.text.split("\n### ").skip(1) {
        let (term, text) = entry.split_once('\n').unwrap();
        let Some(place) = first_uses.get(&id_of(term)) else {
            complaints.push(format!("glossary.md: nothing links to {term}"));
            continue;
        };
        if !text.contains(&format!("]({place}).")) {
            complaints.push(format!("glossary.md: {term} is first linked from {place}"));
        }
    }
    let terms = glossary.text.lines().filter_map(|line| line.strip_prefix("### "));
    let terms: Vec<String> = terms.map(str::to_lowercase).collect();
    if let Some(pair) = terms.windows(2).find(|pair| pair[0] > pair[1]) {
        complaints.push(format!("glossary.md: {} stands before {}", pair[0], pair[1]));
    }
    expect_none(complaints);
}

/// Page and section of the first link to each of the glossary's entries.
fn first_uses(glossary: &str) -> BTreeMap<String, String> {
    let mut uses = BTreeMap::new();
    for page in in_order().into_iter().filter(|page| page.name() != glossary) {
        let mut place = page.name();
        for line in page.text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                place = format!("{}#{}", page.name(), id_of(heading.trim()));
            }
            for link in LINK.captures_iter(line) {
                if let Some(id) = link[3].strip_prefix(&format!("{glossary}#")) {
                    uses.entry(id.to_owned()).or_insert_with(|| place.clone());
                }
            }
        }
    }
    uses
}

/// What the gallery says that programs print, some recorded transcript has.
fn errors_are_printed() {
    let code = Regex::new("`([^`]+)`").unwrap();
    let read = |file| fs::read_to_string(file).unwrap();
    let printed: String =
        files_below(&snapshot::folder_of_all(), "snap").into_iter().map(read).collect();
    let mut complaints = Vec::new();
    let rows = rows(&page("errors.md"));
    let shown = rows.iter().filter(|row| row.len() == 4 && row[0].starts_with('`'));
    let texts = shown.flat_map(|row| code.captures_iter(&row[0]));
    let texts: Vec<String> = texts.map(|text| text[1].to_owned()).collect();
    assert!(texts.len() > 20, "these can't be all: {texts:?}");
    for text in texts.iter().filter(|text| !printed.contains(text.as_str())) {
        complaints.push(format!("errors.md: no transcript has {text:?}"));
    }
    expect_none(complaints);
}

/// Every file of a cgroup that step 5 reads or writes is in the tables.
fn cgroup_tables_are_complete() {
    let name =
        Regex::new(r#""((?:memory|cpu|cpuacct|cpuset|pids|io|blkio|freezer|cgroup)\.[a-z_.]+)""#)
            .unwrap();
    let tables = page("cgroup-tables.md");
    let mut complaints = Vec::new();
    for source in ["v1.rs", "v2.rs", "make.rs"] {
        let source = repository().join("steps/05-cgroups/src").join(source);
        let text = fs::read_to_string(&source).unwrap();
        for file in name.captures_iter(&text) {
            if !tables.text.contains(&format!("`{}`", &file[1])) {
                complaints.push(format!("{}: {} is in no table", source.display(), &file[1]));
            }
        }
    }
    expect_none(complaints);
}
