//! Reads and writes the small text files of /sys/fs/cgroup and /proc.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;

/// Writes `value` to `file` in one write(2): the kernel takes each as one command.
pub(crate) fn write(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// The text of `file`, without the line's end; `None` when this kernel has no such file or the
/// cgroup is gone.
pub(crate) fn text(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
}

/// The number in `file`; `None` also for "max", which is no limit.
pub(crate) fn number(file: &Path) -> Result<Option<u64>> {
    Ok(text(file)?.and_then(|text| text.parse().ok()))
}

/// The number after `key` in a text of lines like "oom_kill 3".
pub(crate) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Whether `error` says that the file or its cgroup is not there: ENODEV comes from a file that was
/// open when its cgroup was removed.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ENODEV as i32)
}

/// The text of a file in /proc.
pub(crate) fn read_proc(file: &str) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {file}"))
}

/// Undoes mountinfo's escapes: a space in a path is written \040.
pub(crate) fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = (first == b'\\').then(|| after.get(..3)).flatten();
        let code =
            octal.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_mountinfo_escapes() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(r"/a\9b\"), Path::new(r"/a\9b\"));
    }

    #[test]
    fn finds_a_field() {
        let events = "low 0\noom 2\noom_kill 1\n";
        assert_eq!(field(events, "oom_kill"), Some(1));
        assert_eq!(field(events, "oom"), Some(2));
        assert_eq!(field(events, "max"), None);
    }
}
