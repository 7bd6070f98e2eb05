//! Words and columns: what the forms of the facts share.

use std::fmt;

/// The widest line, for a plain terminal.
const WIDTH: usize = 80;

/// A line of a table: `key`, then `value`, under the heading `group`.
pub(crate) struct Row {
    pub group: &'static str,
    pub key: String,
    pub value: String,
}

impl Row {
    pub fn new(group: &'static str, key: impl Into<String>, value: impl Into<String>) -> Self {
        Row { group, key: key.into(), value: value.into() }
    }
}

/// Writes rows in three columns, each group under its name and a blank line between groups.
pub(crate) fn grouped(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let mut group = "";
    for row in rows {
        let heading = if row.group == group { "" } else { row.group };
        if !heading.is_empty() && !group.is_empty() {
            writeln!(f)?;
        }
        group = row.group;
        columns(f, &format!("{heading:<12}"), &row.key, 15, &row.value)?;
    }
    Ok(())
}

/// Writes one row after `indent`; what is too long for a line goes on below.
pub(crate) fn columns(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    key: &str,
    key_width: usize,
    value: &str,
) -> fmt::Result {
    let key = clean(key);
    let first = indent.len() + key_width + 1;
    let mut lines = wrap(&clean(value), WIDTH - first).into_iter();
    if key.chars().count() > key_width {
        writeln!(f, "{indent}{}", shorten(&key, WIDTH - indent.len()))?;
    } else {
        let line = format!("{indent}{key:<key_width$} {}", lines.next().unwrap_or_default());
        writeln!(f, "{}", line.trim_end())?;
    }
    lines.try_for_each(|line| writeln!(f, "{:first$}{line}", ""))
}

/// Breaks a text at its blanks.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let word = shorten(word, width);
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + length <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// Leaves out the middle of a word that is too long: a path's beginning and end tell most.
fn shorten(word: &str, width: usize) -> String {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() <= width {
        return word.to_owned();
    }
    let head = width / 3;
    let tail = letters.len() - (width - head - 1);
    letters[..head].iter().chain(&['…']).chain(&letters[tail..]).collect()
}

/// Makes control characters harmless: a hostname or a path may hold what moves a terminal's cursor.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => clean.extend(letter.escape_default()),
            false => clean.push(letter),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_goes_on_below_and_long_words_lose_their_middle() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(shorten("/abcdefghij", 7), "/a…ghij");
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(clean("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
    }
}
