//! A child's failure on its way to the parent: the exit code in one byte, then the sentence.

use std::io::{PipeReader, PipeWriter, Read, Write};

use anyhow::{Context, Error, Result};
use chroot::exit::{self, Coded};

/// Sends `error` and returns its exit code.
pub(crate) fn send(mut pipe: PipeWriter, error: &Error) -> u8 {
    let code = exit::code(error);
    let mut message = vec![code];
    message.extend(exit::sentence(error).into_bytes());
    // A parent that is gone has no use for the report.
    let _ = pipe.write_all(&message);
    code
}

/// Reads until the child has closed its end; `None` if it did so without a word.
pub(crate) fn receive(pipe: &mut PipeReader) -> Result<Option<Coded>> {
    let mut message = Vec::new();
    pipe.read_to_end(&mut message).context("read the container's report")?;
    Ok(message
        .split_first()
        .map(|(&code, text)| Coded { code, message: String::from_utf8_lossy(text).into_owned() }))
}
