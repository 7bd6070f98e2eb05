//! What content is called: the SHA-256 of its bytes.
//!
//! A name that is computed from the content can't lie. Whoever reads content by its digest hashes it
//! on the way, and knows at the last byte whether it is what was asked for.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use anyhow::{Error, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

/// `sha256:` and 64 hexadecimal digits.
///
/// A digest that came out of a file is part of a path soon after, so nothing else is accepted:
/// `sha256:../../etc/passwd` is no digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::from(Sha256::new_with_prefix(bytes))
    }

    /// The 64 digits: the file's name under `blobs/sha256`.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, which people use as an image's id.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    // ANCHOR: chain
    /// The name of a layer that lies on the layers in `below` (OCI image spec, "Layer ChainID").
    ///
    /// The layer's own digest doesn't name it well: what a folder looks like once a layer is
    /// applied depends on what was there before. So the name is a digest of digests, one for the
    /// whole pile.
    pub fn chain(below: Option<&Digest>, layer: &Digest) -> Digest {
        match below {
            None => layer.clone(),
            Some(below) => Digest::of(format!("{below} {layer}").as_bytes()),
        }
    }
    // ANCHOR_END: chain
}

impl From<Sha256> for Digest {
    fn from(hash: Sha256) -> Digest {
        Digest(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        let Some(hex) = text.strip_prefix("sha256:") else {
            bail!("'{text}' is not a sha256 digest");
        };
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        ensure!(hex.len() == 64 && hex.bytes().all(lower_hex), "'{text}' is not a sha256 digest");
        Ok(Digest(hex.into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// Hashes and counts what passes through it, in either direction.
pub struct Hashing<T> {
    inner: T,
    hash: Sha256,
    size: u64,
}

impl<T> Hashing<T> {
    /// Wraps a reader or a writer.
    pub fn new(inner: T) -> Hashing<T> {
        Hashing { inner, hash: Sha256::new(), size: 0 }
    }

    /// How many bytes have passed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What was wrapped, and the digest of all that has passed.
    pub fn finish(self) -> (T, Digest) {
        (self.inner, self.hash.into())
    }

    fn seen(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.seen(&buffer[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.seen(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_64_digits_and_nothing_else() {
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
        for wrong in
            ["sha256:", "sha512:00", "sha256:../../../../etc/passwd", &EMPTY.to_uppercase()]
        {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reader_hashes_as_it_goes() {
        let mut reader = Hashing::new(&b"layer"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.size(), 5);
        assert_eq!(reader.finish().1, Digest::of(b"layer"));
    }
}
