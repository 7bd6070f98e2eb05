//! What a container wrote, kept in the format of Docker's json-file driver: one object a line.
//!
//! ```json
//! {"log":"hello\n","stream":"stdout","time":"2026-11-21T10:14:45.123456789Z"}
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A line is cut when it gets this long, as Docker does: a program that never ends a line must not
/// fill the memory.
const LONGEST_LINE: usize = 16 * 1024;

/// One line that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The text, with its line feed unless the line was cut or never ended.
    pub log: String,
    /// Which of the two streams.
    pub stream: Stream,
    /// When it was read from the container.
    pub time: Timestamp,
}

/// An output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// What a program has to say.
    Stdout,
    /// What it complains of.
    Stderr,
}

/// The entries of the log `path`, oldest first; none when there is no log.
///
/// # Errors
/// When it can't be read, or a line of it isn't an entry.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Entry>> + use<>> {
    let lines = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        opened => Some(opened.with_context(|| format!("open {}", path.display()))?),
    };
    let lines = lines.into_iter().flat_map(|file| BufReader::new(file).lines());
    let shown = path.display().to_string();
    Ok(lines.enumerate().map(move |(number, line)| {
        let line = line.with_context(|| format!("read {shown}"))?;
        serde_json::from_str(&line)
            .with_context(|| format!("{shown}, line {}, is damaged", number + 1))
    }))
}

/// A log that is being written.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    length: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Log {
    /// Makes the log `path`, empty.
    pub(crate) fn create(path: &Path) -> Result<Log> {
        let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
        Ok(Log { file, length: 0, stdout: Vec::new(), stderr: Vec::new() })
    }

    /// Adds what was read from `stream`. What doesn't end with a line feed waits for the rest.
    pub(crate) fn add(&mut self, stream: Stream, bytes: &[u8]) -> Result<()> {
        let waiting = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        waiting.extend_from_slice(bytes);
        let entries = take_lines(waiting, stream, Timestamp::now());
        self.append(&entries)
    }

    /// Writes what still waits: the container has ended.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let now = Timestamp::now();
        let waiting = [(Stream::Stdout, &self.stdout), (Stream::Stderr, &self.stderr)];
        let entries: Vec<u8> = waiting
            .into_iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .flat_map(|(stream, bytes)| line(bytes, stream, now))
            .collect();
        self.append(&entries)
    }

    /// One write for all: and none that is half done. When the disk is full, what got through is
    /// taken back.
    fn append(&mut self, entries: &[u8]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(entries) {
            let _ = self.file.set_len(self.length);
            return Err(error).context("write log.json");
        }
        self.length += entries.len() as u64;
        Ok(())
    }
}

/// Takes the complete lines out of `waiting`, and cuts those that are too long.
fn take_lines(waiting: &mut Vec<u8>, stream: Stream, now: Timestamp) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut start = 0;
    while start < waiting.len() {
        let rest = &waiting[start..];
        let longest = &rest[..rest.len().min(LONGEST_LINE)];
        let length = match longest.iter().position(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if rest.len() >= LONGEST_LINE => LONGEST_LINE,
            None => break,
        };
        entries.extend(line(&rest[..length], stream, now));
        start += length;
    }
    waiting.drain(..start);
    entries
}

fn line(bytes: &[u8], stream: Stream, time: Timestamp) -> Vec<u8> {
    // JSON is Unicode: what isn't comes out as the replacement character, in Docker too.
    let log = String::from_utf8_lossy(bytes).into_owned();
    let mut line =
        serde_json::to_vec(&Entry { log, stream, time }).expect("a struct of plain text");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(entries: &[u8]) -> Vec<String> {
        let lines = entries.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice::<Entry>(line).unwrap().log).collect()
    }

    #[test]
    fn a_line_is_written_when_it_is_whole() {
        let mut waiting = b"one\ntwo\nthr".to_vec();
        let entries = take_lines(&mut waiting, Stream::Stdout, Timestamp::UNIX_EPOCH);
        assert_eq!(texts(&entries), ["one\n", "two\n"]);
        assert_eq!(waiting, b"thr");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut waiting = vec![b'x'; LONGEST_LINE + 10];
        let entries = take_lines(&mut waiting, Stream::Stdout, Timestamp::UNIX_EPOCH);
        assert_eq!(texts(&entries)[0].len(), LONGEST_LINE);
        assert_eq!(waiting.len(), 10);
    }

    #[test]
    fn an_entry_looks_like_dockers() {
        let entry = line(b"hi \xff\n", Stream::Stderr, Timestamp::UNIX_EPOCH);
        assert_eq!(
            String::from_utf8(entry).unwrap(),
            "{\"log\":\"hi \u{fffd}\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:00Z\"}\n"
        );
    }
}
