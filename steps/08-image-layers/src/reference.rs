//! What people call an image: `NAME[:TAG]`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, ensure};

/// A repository and a tag: `busybox:latest`, `registry.example:5000/team/app:1.2`.
///
/// As in Docker, no tag means `latest`, and `docker.io/library/` goes without saying.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The part before the colon.
    pub repository: String,
    /// The part behind it.
    pub tag: String,
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        // A colon before a slash belongs to a registry's port, not to a tag.
        let (repository, tag) = match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (text, "latest"),
        };
        let repository = repository.strip_prefix("docker.io/").unwrap_or(repository);
        let repository = repository.strip_prefix("library/").unwrap_or(repository);
        ensure!(
            is_repository(repository) && is_tag(tag),
            "'{text}' is not an image's name (NAME[:TAG], the name in lower case)"
        );
        Ok(Reference { repository: repository.into(), tag: tag.into() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// Lower-case words joined by `.`, `_`, `-`, in parts divided by `/`; the first part may be a
/// registry with its port.
fn is_repository(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 255
        && text.split('/').enumerate().all(|(place, part)| {
            let registry = place == 0 && text.contains('/');
            part.starts_with(word)
                && part.ends_with(word)
                && part.chars().all(|c| word(c) || "._-".contains(c) || (registry && c == ':'))
        })
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128 && text.starts_with(word) && text.chars().all(|c| word(c) || ".-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_docker_reads_them() {
        for (text, name) in [
            ("busybox", "busybox:latest"),
            ("busybox:1.36", "busybox:1.36"),
            ("docker.io/library/busybox", "busybox:latest"),
            ("docker.io/me/app:v1", "me/app:v1"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", ":", "a:", ":a", "Busybox", "../x", "a//b", "a b", "-a", "a:.b", "a\n"] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
