//! The doctor: what works on this machine, for this user, and how to mend what doesn't.
//!
//! Looking and judging are apart: [`look`] fills a [`Machine`] with facts, and [`judge`] reads nothing
//! but that. So any machine can be judged anywhere, from what it wrote down.

pub mod judge;
mod look;
pub mod machine;
pub mod mend;
pub mod print;

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

pub use judge::{Finding, Verdict, judge};
pub use look::look;
pub use machine::Machine;

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
