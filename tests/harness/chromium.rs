//! Chromium without a window, driven by the DevTools protocol.
//!
//! The browser reads commands from its descriptor 3 and writes answers to its descriptor 4, each a JSON
//! text with a zero byte at its end (`--remote-debugging-pipe`). So there is no port that somebody else
//! could use, nothing to connect to, and the browser ends when this process does.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The names under which distributions have it.
const PROGRAMS: &[&str] =
    &["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"];

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// What the page is called in the protocol.
    session: Option<String>,
    last_id: u64,
    /// What was reported since the last `events`.
    events: Vec<Value>,
    /// The browser's home, removed at the end.
    home: TempDir,
}

/// The program's path, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let paths = PROGRAMS.iter().flat_map(|name| folders.iter().map(move |f| f.join(name)));
    paths.into_iter().find(|path| path.is_file())
}

impl Browser {
    /// Starts it with an empty profile, and opens an empty page.
    ///
    /// # Errors
    /// There is no browser, or it doesn't answer.
    pub(crate) fn start() -> Result<Self> {
        let program = program().context("there is no Chromium")?;
        let home = tempfile::Builder::new().prefix("keel-chromium-").tempdir()?;
        let mut process = Command::new("sh")
            .args(["-c", "exec 3<&0 4>&1 < /dev/null > /dev/null; exec \"$@\"", "sh"])
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"])
            // The pages are our own. Chromium's sandbox refuses root, and many containers forbid it.
            .args(["--no-sandbox", "--disable-dev-shm-usage"])
            // It is to read the book, and nothing from elsewhere.
            .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-quic"])
            .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(home.path().join("stderr"))?)
            .spawn()
            .context("start Chromium")?;
        let commands = process.stdin.take().context("the browser's commands")?;
        let messages = listen(process.stdout.take().context("the browser's answers")?);
        let mut browser = Browser {
            process,
            commands,
            messages,
            session: None,
            last_id: 0,
            events: Vec::new(),
            home,
        };
        browser.open_page().with_context(|| browser.stderr())?;
        Ok(browser)
    }

    fn open_page(&mut self) -> Result<()> {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", attach)?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(())
    }

    /// Calls a method of the protocol, and returns its result.
    ///
    /// # Errors
    /// The browser refuses, has ended, or doesn't answer in time.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        write!(self.commands, "{command}\0").with_context(|| format!("call {method}"))?;
        loop {
            let mut message = self.next().with_context(|| format!("call {method}"))?;
            if message["id"] == self.last_id {
                match message.get("error") {
                    Some(error) => bail!("call {method}: {}", error["message"]),
                    None => return Ok(message["result"].take()),
                }
            }
            self.events.push(message);
        }
    }

    /// Opens a page, and waits until it has loaded.
    ///
    /// # Errors
    /// There is no such page, or it doesn't load in time.
    pub(crate) fn open(&mut self, url: &str) -> Result<()> {
        let answer = self.call("Page.navigate", json!({"url": url}))?;
        if let Some(error) = answer["errorText"].as_str() {
            bail!("open {url}: {error}");
        }
        let loaded =
            |events: &[Value]| events.iter().any(|event| event["method"] == "Page.loadEventFired");
        while !loaded(&self.events) {
            let event = self.next().with_context(|| format!("open {url}"))?;
            self.events.push(event);
        }
        Ok(())
    }

    /// The value of a JavaScript expression in the page; a promise's when it is kept.
    ///
    /// # Errors
    /// It throws.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", params)?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("evaluate {expression}: {}", thrown["exception"]["description"]);
        }
        Ok(answer["result"]["value"].take())
    }

    /// What the browser has reported since the last call.
    pub(crate) fn events(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.events)
    }

    fn next(&mut self) -> Result<Value> {
        self.messages.recv_timeout(PATIENCE).context("Chromium doesn't answer")
    }

    fn stderr(&self) -> String {
        let text = fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default();
        format!("Chromium says:\n{text}")
    }
}

/// A thread that reads the answers, so that waiting for one can have an end.
fn listen(answers: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut answers = BufReader::new(answers);
        let mut text = Vec::new();
        while answers.read_until(0, &mut text).is_ok_and(|length| length > 0) {
            let message = serde_json::from_slice(text.strip_suffix(b"\0").unwrap_or(&text));
            if !message.is_ok_and(|message| sender.send(message).is_ok()) {
                return;
            }
            text.clear();
        }
    });
    receiver
}

impl Drop for Browser {
    /// Ends the browser; its profile goes after it.
    fn drop(&mut self) {
        self.session = None;
        let closed = self.call("Browser.close", json!({})).is_ok();
        // The answers end when the browser does.
        while closed && self.messages.recv_timeout(PATIENCE).is_ok() {}
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
