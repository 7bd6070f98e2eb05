//! How Docker prints: tables, times, sizes.

use engine::State;
use jiff::Timestamp;

/// Lines up columns as Docker does: each at least ten wide, three blanks between two.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count() + 3).max().unwrap_or(0).max(10)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            match column + 1 == row.len() {
                true => text += cell,
                false => text += &format!("{cell:<0$}", widths[column]),
            }
        }
        text.push('\n');
    }
    text
}

/// How long ago `then` is, in words: "2 minutes ago".
pub fn ago(then: Timestamp) -> String {
    format!("{} ago", duration(seconds_since(then)))
}

/// The STATUS column of `ps`.
pub fn status(state: &State) -> String {
    match state {
        State::Created => "Created".to_owned(),
        State::Running { started, .. } => format!("Up {}", duration(seconds_since(*started))),
        State::Exited { code, finished, .. } => format!("Exited ({code}) {}", ago(*finished)),
    }
}

fn seconds_since(then: Timestamp) -> u64 {
    Timestamp::now().as_second().saturating_sub(then.as_second()).max(0) as u64
}

/// A number of seconds in words, as rough as Docker has them.
fn duration(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// A size with three digits: "4.26MB". Units of 1000.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    let number = format!("{value:.decimals$}");
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => &number,
    };
    format!("{number}{unit}")
}

/// `text` in at most `width` signs.
pub fn shorten(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_docker_words_them() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (2 * 3600, "2 hours"),
            (3 * 86400, "3 days"),
            (20 * 86400, "2 weeks"),
            (90 * 86400, "3 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(duration(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_261_574, "4.26MB"),
            (42_600_000, "42.6MB"),
            (426_000_000, "426MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn columns_are_at_least_ten_wide() {
        let rows =
            [["ID", "NAME"], ["0123456789ab", "x"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "ID             NAME\n0123456789ab   x\n");
        let rows = [["A", "B"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "A         B\n");
    }
}
