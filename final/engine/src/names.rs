//! Names and ids of containers.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result, ensure};

/// What a container is like, when its owner doesn't say.
const ADJECTIVES: [&str; 32] = [
    "able", "bold", "brave", "bright", "calm", "clear", "deep", "eager", "early", "fair", "fleet",
    "fresh", "gentle", "glad", "grand", "keen", "kind", "light", "lively", "merry", "neat",
    "noble", "proud", "quick", "quiet", "ready", "sharp", "silent", "steady", "swift", "warm",
    "wise",
];

/// What it is: something at sea.
const NOUNS: [&str; 32] = [
    "anchor", "barge", "beacon", "bow", "brig", "buoy", "canoe", "clipper", "compass", "cutter",
    "deck", "dinghy", "dory", "ferry", "galley", "gull", "harbor", "helm", "hull", "keel", "ketch",
    "lantern", "mast", "oar", "pilot", "raft", "rudder", "sail", "schooner", "skiff", "sloop",
    "tug",
];

/// A new container's id: 64 hexadecimal digits that no other has.
pub(crate) fn new_id() -> Result<String> {
    Ok(random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A name out of the two lists, for the `attempt`-th try: a few tries hit others' names, more get a
/// number.
pub(crate) fn invent(attempt: u32) -> Result<String> {
    let [a, b] = random::<2>()?;
    let (adjective, noun) = (ADJECTIVES[a as usize % 32], NOUNS[b as usize % 32]);
    Ok(match attempt {
        0..4 => format!("{adjective}_{noun}"),
        _ => format!("{adjective}_{noun}{}", random::<1>()?[0]),
    })
}

/// Checks a name that somebody chose, by Docker's rule.
///
/// # Errors
/// When it has a sign that it may not have.
pub(crate) fn check(name: &str) -> Result<()> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    ensure!(
        first && rest && (2..=200).contains(&name.len()),
        "'{name}' can't be a container's name: two or more of a-z A-Z 0-9 _ . - that begin with a letter or a digit"
    );
    Ok(())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("read /dev/urandom")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_have_dockers_form() {
        let id = new_id().unwrap();
        assert!(id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(id, new_id().unwrap());
        for attempt in 0..10 {
            check(&invent(attempt).unwrap()).unwrap();
        }
    }

    #[test]
    fn names_stay_file_names() {
        for name in ["", "a", "../x", "a/b", ".hidden", "-rm", "a b", "ä1"] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
