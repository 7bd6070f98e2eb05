//! The doctor: what works on this machine, for this user, and how to mend what doesn't.
//!
//! Looking and judging are apart: [`look`] fills a [`Machine`] with facts, and [`judge`] reads nothing
//! but that. So any machine can be judged anywhere, from what it wrote down.

pub mod judge;
mod look;
pub mod machine;
pub mod mend;
pub mod print;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use judge::{Finding, Verdict, judge};
pub use look::look;
pub use machine::Machine;

use crate::prepare;

/// How the findings are to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// To people.
    People,
    /// In one line that can be pasted.
    Report,
    /// As JSON, with all that was seen.
    Json,
}

/// All of it, for programs.
#[derive(Serialize)]
struct All<'a> {
    machine: &'a Machine,
    findings: &'a [Finding],
}

/// The part of it that [`ask`] reads.
#[derive(Deserialize)]
struct Judged {
    findings: Vec<Finding>,
}

/// The findings of a doctor in a process of its own. The trials fork, which a process with several threads can't do safely:
/// `watch` has some, and so have the tests.
///
/// # Errors
/// When the doctor can't be started, or says nothing.
pub fn ask() -> Result<Vec<Finding>> {
    let program = prepare::bin_dir()?.join("workshop");
    let output = Command::new(program).args(["doctor", "--json"]).output();
    let output = output.context("start the doctor")?;
    let judged: Judged = serde_json::from_slice(&output.stdout).context("read what it found")?;
    Ok(judged.findings)
}

/// Looks, judges and tells. The exit code is 1 if something that is needed fails.
///
/// # Errors
/// When the findings can't be printed.
pub fn examine(tell: Tell) -> Result<ExitCode> {
    let machine = look();
    let findings = judge(&machine);
    match tell {
        Tell::People => print!("{}", print::people(&machine, &findings)),
        Tell::Report => println!("{}", print::report(&machine, &findings)),
        Tell::Json => {
            let all = All { machine: &machine, findings: &findings };
            println!("{}", serde_json::to_string_pretty(&all).context("print the findings")?);
        }
    }
    let fails = findings.iter().any(|finding| finding.verdict == Verdict::Fails);
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
