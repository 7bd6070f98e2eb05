//! The book cannot lie: what it shows comes from the source and from snapshots, and all of it leads
//! somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;
use workshop::prepare::repository;

use crate::harness::needs::Need;
use crate::harness::{Test, function, pure, snapshot};

pub(crate) const TESTS: &[Test] = &[
    pure("book/console-blocks-are-snapshots", console_blocks_are_snapshots),
    pure("book/listings-are-source", listings_are_source),
    pure("book/includes-lead-somewhere", includes_lead_somewhere),
    pure("book/every-anchor-is-shown", every_anchor_is_shown),
    pure("book/every-snapshot-has-a-test", every_snapshot_has_a_test),
    pure("book/links-lead-somewhere", links_lead_somewhere),
    pure("book/images-have-text", images_have_text),
    pure("book/every-page-is-in-the-summary", every_page_is_in_the_summary),
    function("book/builds-without-a-warning", builds_without_a_warning).needs(&[Need::Mdbook]),
];

static INCLUDE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{#(?:rustdoc_)?include ([^}:]+)(?::([^}]*))?\}\}").unwrap());
pub(crate) static LINK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)").unwrap());
static ANCHOR: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"ANCHOR: ([\w-]+)").unwrap());

/// A page of the book.
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block: its language and its lines.
pub(crate) struct Block<'a> {
    pub(crate) language: &'a str,
    pub(crate) lines: Vec<&'a str>,
}

pub(crate) fn book() -> PathBuf {
    repository().join("book/src")
}

pub(crate) fn pages() -> Vec<Page> {
    let mut paths = files_below(&book(), "md");
    paths.sort();
    let read = |path: PathBuf| Page { text: fs::read_to_string(&path).unwrap(), path };
    paths.into_iter().map(read).collect()
}

impl Page {
    pub(crate) fn name(&self) -> String {
        self.path.strip_prefix(book()).unwrap().display().to_string()
    }

    pub(crate) fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut inside = false;
        for line in self.text.lines() {
            let fence = line.trim_start().strip_prefix("```");
            match (fence, inside) {
                (Some(language), false) => {
                    blocks.push(Block { language: language.trim(), lines: vec![] })
                }
                (None, true) => blocks.last_mut().unwrap().lines.push(line.trim()),
                _ => {}
            }
            inside ^= fence.is_some();
        }
        blocks
    }

    /// File and anchor or lines of each include, the file resolved.
    fn includes(&self) -> Vec<(PathBuf, String)> {
        let folder = self.path.parent().unwrap();
        let include = |found: regex::Captures| {
            let what = found.get(2).map_or("", |what| what.as_str());
            (folder.join(&found[1]), what.to_owned())
        };
        INCLUDE.captures_iter(&self.text).map(include).collect()
    }
}

/// Fails with every complaint, one a line.
pub(crate) fn expect_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn console_blocks_are_snapshots() {
    let mut complaints = Vec::new();
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language.starts_with("console")) {
            let include = match block.lines.as_slice() {
                [line] => INCLUDE.captures(line),
                _ => None,
            };
            let snapshot = include.is_some_and(|i| {
                i[1].ends_with(".snap") && i.get(2).is_some_and(|w| w.as_str() == "4:")
            });
            if !snapshot {
                complaints.push(format!(
                    "{}: a console block that is not a snapshot's include: {:?}",
                    page.name(),
                    block.lines
                ));
            }
        }
    }
    expect_none(complaints);
}

fn listings_are_source() {
    let mut complaints = Vec::new();
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language.starts_with("rust")) {
            let all_included =
                block.lines.iter().all(|line| line.is_empty() || INCLUDE.is_match(line));
            if !all_included {
                complaints.push(format!(
                    "{}: a listing that is not an include: {:?}",
                    page.name(),
                    block.lines
                ));
            }
        }
    }
    expect_none(complaints);
}

fn includes_lead_somewhere() {
    let mut complaints = Vec::new();
    for page in pages() {
        for (file, what) in page.includes() {
            let Ok(text) = fs::read_to_string(&file) else {
                complaints.push(format!("{}: no file {}", page.name(), file.display()));
                continue;
            };
            let is_lines = what.chars().all(|c| c.is_ascii_digit() || c == ':');
            if !is_lines && !ANCHOR.captures_iter(&text).any(|anchor| anchor[1] == what) {
                complaints.push(format!(
                    "{}: {} has no anchor {what}",
                    page.name(),
                    file.display()
                ));
            }
        }
    }
    expect_none(complaints);
}

fn every_anchor_is_shown() {
    let shown: BTreeSet<(PathBuf, String)> = pages()
        .iter()
        .flat_map(Page::includes)
        .filter_map(|(file, what)| Some((file.canonicalize().ok()?, what)))
        .collect();
    let mut complaints = Vec::new();
    for folder in ["steps", "final", "workshop"] {
        for file in files_below(&repository().join(folder), "rs") {
            let text = fs::read_to_string(&file).unwrap();
            for anchor in ANCHOR.captures_iter(&text) {
                if !shown.contains(&(file.clone(), anchor[1].to_owned())) {
                    complaints.push(format!(
                        "{}: the anchor {} is in no page",
                        file.display(),
                        &anchor[1]
                    ));
                }
            }
        }
    }
    expect_none(complaints);
}

fn every_snapshot_has_a_test() {
    let all = snapshot::folder_of_all();
    let names = crate::all().into_iter().map(|test| test.name);
    let owned: BTreeSet<PathBuf> = names.map(|name| all.join(format!("{name}.snap"))).collect();
    // tests/machines holds its own: they are the outcomes of all these.
    let is_owned = |file: &PathBuf| owned.contains(file) || file.starts_with(all.join("machines"));
    let orphans = files_below(&all, "snap").into_iter().filter(|file| !is_owned(file));
    expect_none(orphans.map(|file| format!("no test owns {}", file.display())).collect());
}

fn links_lead_somewhere() {
    let mut complaints = Vec::new();
    for page in pages() {
        for link in LINK.captures_iter(&without_code(&page.text)) {
            let target = &link[3];
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                page.path.clone()
            } else {
                page.path.with_file_name("").join(file)
            };
            if !file.exists() {
                complaints.push(format!("{}: no such file: {target}", page.name()));
            } else if !fragment.is_empty() && !headings(&file).contains(fragment) {
                complaints.push(format!("{}: no such heading: {target}", page.name()));
            }
        }
    }
    expect_none(complaints);
}

fn images_have_text() {
    let mut complaints = Vec::new();
    for page in pages() {
        for link in LINK.captures_iter(&page.text).filter(|link| &link[1] == "!") {
            if link[2].trim().is_empty() {
                complaints.push(format!("{}: an image without text: {}", page.name(), &link[3]));
            }
        }
    }
    for image in files_below(&book(), "svg") {
        let text = fs::read_to_string(&image).unwrap();
        if !(text.contains("<title") && text.contains("<desc")) {
            complaints.push(format!("{}: has no <title> or no <desc>", image.display()));
        }
    }
    expect_none(complaints);
}

fn every_page_is_in_the_summary() {
    let summary = fs::read_to_string(book().join("SUMMARY.md")).unwrap();
    let missing = pages().into_iter().map(|page| page.name());
    let missing =
        missing.filter(|name| name != "SUMMARY.md" && !summary.contains(&format!("({name})")));
    expect_none(missing.map(|name| format!("{name} is not in SUMMARY.md")).collect());
}

fn builds_without_a_warning() {
    let out = tempfile::tempdir().unwrap();
    let said = build(out.path());
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    assert!(out.path().join("index.html").exists());
}

/// Builds the book into `out`, and returns what mdBook says.
pub(crate) fn build(out: &Path) -> String {
    let mut mdbook = Command::new("mdbook");
    mdbook.arg("build").arg(repository().join("book")).arg("--dest-dir").arg(out);
    let built = mdbook.output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success(), "{said}");
    said
}

/// The text without its fenced blocks and inline code, where brackets mean something else.
pub(crate) fn without_code(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        if !inside && !fence {
            let prose = line.split('`').step_by(2);
            kept.extend(prose.map(|part| format!("{part}`")));
            kept.push('\n');
        }
    }
    kept
}

/// The ids that mdBook gives to a page's headings.
fn headings(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles.map(|line| id_of(line.trim_start_matches('#').trim())).collect()
}

pub(crate) fn id_of(title: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    title.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

pub(crate) fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}
