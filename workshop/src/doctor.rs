//! The doctor: what works on this machine, for this user, and how to mend what doesn't.
//!
//! Nothing is guessed from version numbers where it can be tried: each probe does, in throw-away
//! namespaces, what a chapter will do.

mod probes;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::sys::utsname::uname;
use nix::unistd::geteuid;
use serde::Serialize;

/// What a probe found.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What was tried.
    pub what: &'static str,
    /// The chapters that rest on it.
    pub chapters: &'static str,
    /// Whether it works.
    pub works: bool,
    /// What was seen: a version, a kind, the kernel's answer.
    pub seen: String,
    /// What to do if it doesn't work.
    pub mend: Option<String>,
}

/// Makes every probe and prints the findings. The exit code is 1 if something doesn't work.
///
/// # Errors
/// When the findings can't be printed.
pub fn examine(json: bool) -> Result<ExitCode> {
    let findings = probes::all();
    if json {
        println!("{}", serde_json::to_string_pretty(&findings).context("print the findings")?);
    } else {
        print(&findings);
    }
    let well = findings.iter().all(|finding| finding.works);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(findings: &[Finding]) {
    println!("{}\n", this_machine());
    for Finding { what, chapters, works, seen, mend } in findings {
        let mark = if *works { "works" } else { "FAILS" };
        println!("  {mark}  {what:<28} {chapters:<14} {seen}");
        if let Some(mend) = mend {
            println!("         mend: {mend}");
        }
    }
    let failing = findings.iter().filter(|finding| !finding.works).count();
    match failing {
        0 => println!("\nEverything works here."),
        n => println!(
            "\n{n} of {} don't work; the chapters named beside them need it.",
            findings.len()
        ),
    }
}

/// One line: system, kernel, architecture, user.
fn this_machine() -> String {
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.unwrap_or("an unknown system").trim_matches('"').to_owned();
    let kernel = uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    let user = if geteuid().is_root() { "root" } else { "an ordinary user" };
    let wsl = if kernel.to_lowercase().contains("microsoft") { ", WSL" } else { "" };
    format!("{name}, Linux {kernel}{wsl}, {}, {user}", std::env::consts::ARCH)
}
