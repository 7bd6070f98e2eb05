//! What a run of the suite told.

use std::time::Duration;

use anyhow::{Context, Result};

/// The outcome of the suite on one machine.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The kernel's release, as uname(1) prints it.
    pub(crate) kernel: String,
    pub(crate) passed: u32,
    pub(crate) failed: Vec<String>,
    /// Name and reason.
    pub(crate) skipped: Vec<(String, String)>,
    /// From the machine's start to its end.
    pub(crate) took: Duration,
    ended_well: bool,
}

impl Outcome {
    /// Reads what the suite printed.
    ///
    /// # Errors
    /// When it didn't come to its end.
    pub(crate) fn read(said: &str, ended_well: bool, took: Duration) -> Result<Self> {
        let kernel = said.lines().find_map(|line| line.strip_prefix("kernel: "));
        let kernel = kernel.context("there is no kernel")?.to_owned();
        // libtest's last line: "test result: ok. 214 passed; 0 failed; 5 ignored; …".
        let result = said.lines().find_map(|line| line.strip_prefix("test result: "));
        let passed = result.context("there is no result")?.split(' ').nth(1).unwrap_or_default();
        let passed = passed.parse().with_context(|| format!("'{passed}' is not a number"))?;
        let skipped = said.lines().filter_map(|line| line.strip_prefix("skipped: "));
        let skipped = skipped.filter_map(|line| line.split_once(": "));
        Ok(Outcome {
            kernel,
            passed,
            failed: failed(said),
            skipped: skipped.map(|(name, why)| (name.to_owned(), why.to_owned())).collect(),
            took,
            ended_well,
        })
    }

    /// Whether all is well; if not, what isn't.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        match (self.failed.as_slice(), self.ended_well) {
            ([], true) => Ok(()),
            ([], false) => Err("the suite ended with an error, though no test failed".to_owned()),
            (failed, _) => {
                Err(format!("{} tests failed:\n  {}", failed.len(), failed.join("\n  ")))
            }
        }
    }
}

/// The names below the last line that says "failures:".
fn failed(said: &str) -> Vec<String> {
    let Some((_, names)) = said.rsplit_once("\nfailures:\n") else { return Vec::new() };
    let names = names.lines().map_while(|line| line.strip_prefix("    "));
    names.map(str::to_owned).collect()
}
