//! The built book in a browser: whether it can be read, on a phone, on a wide screen, in every theme and
//! on paper, and whether everything in it leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::book;
use crate::harness::chromium::Browser;
use crate::harness::needs::Need;
use crate::harness::{Test, function};

pub(crate) const TESTS: &[Test] = &[
    function("book/can-be-read-in-a-browser", can_be_read).needs(&[Need::Mdbook, Need::Chromium]),
    function("book/browser-finds-faults", faults_are_found).needs(&[Need::Chromium]),
];

/// What is measured in the page, by JavaScript.
const MEASURE: &str = include_str!("browser/measure.js");
/// A page with one fault of each kind.
const FAULTY_PAGE: &str = include_str!("browser/faulty.html");
/// A diagram with one fault of each kind.
const FAULTY_DIAGRAM: &str = include_str!("browser/faulty.svg");

/// Widths of a small phone, a phone, a laptop and a large screen.
const WIDTHS: &[u32] = &[360, 390, 1200, 1600];
/// The last is dark, and is the one in which a page is then printed.
const THEMES: &[&str] = &["light", "rust", "coal", "navy", "ayu"];
/// The width of A4 at 96 pixels an inch, without 1 cm of margin at either side.
const PAPER: u32 = 718;

fn can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    book::build(folder.path());
    let mut review = Review::start(folder.path()).unwrap();
    review.book().unwrap();
    let said = review.complaints;
    assert!(said.is_empty(), "\n{}", said.join("\n"));
}

/// The check of the check: a page that has all faults.
fn faults_are_found() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.html"), FAULTY_PAGE).unwrap();
    fs::write(folder.path().join("diagram.svg"), FAULTY_DIAGRAM).unwrap();
    let mut review = Review::start(folder.path()).unwrap();
    review.page("page.html").unwrap();
    review.ask("page.html", "measure.contrast(false)").unwrap();
    review.diagram(Path::new("diagram.svg")).unwrap();
    review.links();
    let said = review.complaints.join("\n");
    let faults = [
        "page.html: console: deliberate",
        "page.html: thrown: Error: also deliberate",
        "page.html: asks for https://example.org/far.js",
        "page.html: two elements are called twice",
        "page.html: an image without text: diagram.svg",
        "page.html: an image that doesn't show: missing.svg",
        "page.html: leads to missing.html, which isn't there",
        "page.html: leads to page.html#missing, which isn't there",
        "page.html, 360px: <html> \"",
        "page.html, 360px: <div class=\"hidden-excess\">",
        "<p class=\"faint\">",
        "<p class=\"see-through\">",
        "diagram.svg: \"small\" has 9px",
        "diagram.svg: \"outside\" leaves the picture",
        "diagram.svg: \"under\" lies over \"over\"",
        "diagram.svg: \"too long for its box\" leaves its box",
        "diagram.svg: \"faint\" has a contrast of",
    ];
    let missed: Vec<&str> = faults.into_iter().filter(|fault| !said.contains(fault)).collect();
    assert!(missed.is_empty(), "not found: {missed:#?}\nfound:\n{said}");
    assert!(!said.contains("innocent"), "{said}");
}

/// A walk through a folder of pages, in one browser.
struct Review {
    browser: Browser,
    folder: PathBuf,
    complaints: Vec<String>,
    /// The ids in each page that was opened.
    ids: BTreeMap<String, BTreeSet<String>>,
    /// Page and target of each link.
    found_links: BTreeSet<(String, String)>,
}

impl Review {
    fn start(folder: &Path) -> Result<Self> {
        let mut browser = Browser::start()?;
        let script = json!({"source": MEASURE});
        browser.call("Page.addScriptToEvaluateOnNewDocument", script)?;
        browser.call("Emulation.setScrollbarsHidden", json!({"hidden": true}))?;
        Ok(Review {
            browser,
            folder: folder.canonicalize()?,
            complaints: Vec::new(),
            ids: BTreeMap::new(),
            found_links: BTreeSet::new(),
        })
    }

    fn book(&mut self) -> Result<()> {
        let pages = names(&self.folder, "html")?;
        ensure!(pages.len() > 10, "these are not all pages: {pages:?}");
        for page in &pages {
            self.page(page)?;
            // The table of contents is for browsers without scripts. What is in print.html was seen
            // in every theme page by page.
            if !["toc.html", "print.html"].contains(&page.as_str()) {
                self.themes(page)?;
            }
            if page != "toc.html" {
                self.print(page)?;
            }
        }
        self.links();
        for diagram in names(&self.folder.join("images"), "svg")? {
            self.diagram(&Path::new("images").join(diagram))?;
        }
        self.search("pivot_root", "04-mount-ns.html")
    }

    /// What holds for every page in every theme.
    fn page(&mut self, page: &str) -> Result<()> {
        self.open(page, WIDTHS[0])?;
        let inventory = self.browser.evaluate("measure.inventory()")?;
        self.take_stock(page, &inventory);
        for width in WIDTHS {
            self.resize(*width)?;
            self.ask(&format!("{page}, {width}px"), "measure.sideways()")?;
        }
        self.listen(page);
        Ok(())
    }

    /// The contrast in each theme, chosen as a reader chooses it.
    fn themes(&mut self, page: &str) -> Result<()> {
        // Wide enough for the sidebar, and not for arrows at the page's sides: they stand below the text.
        self.resize(1200)?;
        for theme in THEMES {
            let choose = format!("document.getElementById('mdbook-theme-{theme}').click()");
            self.browser.evaluate(&choose)?;
            let chosen = format!("document.documentElement.classList.contains('{theme}')");
            ensure!(self.browser.evaluate(&chosen)? == true, "{page} has no theme {theme}");
            self.ask(&format!("{page}, {theme}"), "measure.contrast(false)")?;
        }
        Ok(())
    }

    /// A page on paper, printed by somebody who reads in a dark theme.
    fn print(&mut self, page: &str) -> Result<()> {
        let place = format!("{page}, on paper");
        self.browser.call("Emulation.setEmulatedMedia", json!({"media": "print"}))?;
        self.resize(PAPER)?;
        self.ask(&place, "measure.sideways()")?;
        self.ask(&place, "measure.contrast(true)")?;
        self.ask(&place, "measure.printed()")?;
        self.browser.call("Emulation.setEmulatedMedia", json!({"media": ""}))?;
        self.listen(page);
        Ok(())
    }

    /// A diagram, opened by itself.
    fn diagram(&mut self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        self.open(&name, 1200)?;
        self.ask(&name, "measure.diagram()")?;
        self.listen(&name);
        Ok(())
    }

    /// Types a word into the search field, and looks for `page` among the results.
    fn search(&mut self, word: &str, page: &str) -> Result<()> {
        self.open("index.html", 1200)?;
        for kind in ["keyDown", "keyUp"] {
            let key = json!({"type": kind, "key": "/", "code": "Slash", "text": "/"});
            self.browser.call("Input.dispatchKeyEvent", key)?;
        }
        self.browser.evaluate("measure.search_is_ready()")?;
        self.browser.call("Input.insertText", json!({"text": word}))?;
        let found = self.browser.evaluate("measure.search_results()")?;
        let found: Vec<&str> = strings(&found).collect();
        if !found.iter().any(|link| link.contains(page)) {
            self.complaints.push(format!("a search for {word} finds no {page}: {found:?}"));
        }
        self.themes("search")?;
        self.listen("search");
        Ok(())
    }

    /// Whether every link of every opened page leads to a file, and to something in it.
    fn links(&mut self) {
        for (page, link) in &self.found_links {
            let Some(target) = link.strip_prefix(&self.url("")) else {
                if !link.starts_with("https://") {
                    self.complaints.push(format!("{page}: leads to {link}"));
                }
                continue;
            };
            let (file, id) = target.split_once('#').unwrap_or((target, ""));
            let there = match self.ids.get(file) {
                Some(ids) => id.is_empty() || ids.contains(id),
                None => id.is_empty() && self.folder.join(file).is_file(),
            };
            if !there {
                self.complaints.push(format!("{page}: leads to {target}, which isn't there"));
            }
        }
    }

    fn take_stock(&mut self, page: &str, inventory: &Value) {
        let mut ids = BTreeSet::new();
        for id in strings(&inventory["ids"]) {
            if !ids.insert(id.to_owned()) {
                self.complaints.push(format!("{page}: two elements are called {id}"));
            }
        }
        self.ids.insert(page.to_owned(), ids);
        let links = strings(&inventory["links"]);
        self.found_links.extend(links.map(|link| (page.to_owned(), link.to_owned())));
        for image in inventory["images"].as_array().into_iter().flatten() {
            let source = image["source"].as_str().unwrap_or_default();
            if image["alt"].as_str().is_none_or(|alt| alt.trim().is_empty()) {
                self.complaints.push(format!("{page}: an image without text: {source}"));
            }
            if image["shown"] != true {
                self.complaints.push(format!("{page}: an image that doesn't show: {source}"));
            }
        }
    }

    /// Complains of errors in the console, and of whatever was asked of somebody else.
    fn listen(&mut self, place: &str) {
        let here = self.url("");
        for event in self.browser.events() {
            let params = &event["params"];
            let complaint = match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => {
                    let thrown = &params["exceptionDetails"]["exception"]["description"];
                    format!("thrown: {}", thrown.as_str().unwrap_or_default())
                }
                "Runtime.consoleAPICalled"
                    if matches!(params["type"].as_str(), Some("error" | "warning" | "assert")) =>
                {
                    format!("console: {}", params["args"][0]["value"].as_str().unwrap_or_default())
                }
                "Log.entryAdded"
                    if matches!(params["entry"]["level"].as_str(), Some("error" | "warning")) =>
                {
                    format!("log: {} {}", params["entry"]["text"], params["entry"]["url"])
                }
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str().unwrap_or_default();
                    if url.starts_with(&here) || url.starts_with("data:") {
                        continue;
                    }
                    format!("asks for {url}")
                }
                _ => continue,
            };
            self.complaints.push(format!("{place}: {complaint}"));
        }
    }

    fn ask(&mut self, place: &str, question: &str) -> Result<()> {
        let answer = self.browser.evaluate(question).with_context(|| place.to_owned())?;
        self.complaints.extend(strings(&answer).map(|said| format!("{place}: {said}")));
        Ok(())
    }

    fn open(&mut self, page: &str, width: u32) -> Result<()> {
        self.browser.events();
        self.resize(width)?;
        self.browser.open(&self.url(page))
    }

    fn resize(&mut self, width: u32) -> Result<()> {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.browser.call("Emulation.setDeviceMetricsOverride", size)?;
        Ok(())
    }

    fn url(&self, page: &str) -> String {
        format!("file://{}/{page}", self.folder.display())
    }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The names of a folder's files with this extension, in order.
fn names(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(&format!(".{extension}")) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
