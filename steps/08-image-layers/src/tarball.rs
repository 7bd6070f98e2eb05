//! Reading a tar archive that nobody vouches for.
//!
//! A tar archive is a row of 512-byte blocks: for each file a header, then the content, filled up to
//! whole blocks. What doesn't fit a header (long names, large numbers, extended attributes) stands
//! in extension headers before it, either GNU's or PAX records.
//!
//! The `tar` crate reads the header blocks. The walk from block to block is our own, because the
//! crate's loses what images have: it splits PAX records at line ends, but
//! `security.capability` is binary and may contain one; and it reads an extension header of any size into
//! memory. See also tar(5), pax(1).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use tar::{EntryType, GnuExtSparseHeader, Header};

const BLOCK: usize = 512;
/// The most that the extension headers of one file may hold.
const EXTENSIONS: u64 = 1 << 20;

/// How much an archive may hold: a few kilobytes can unpack to petabytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files together, holes included.
    pub bytes: u64,
    /// Headers: files, folders, links and extensions.
    pub entries: u64,
}

impl Default for Limits {
    /// 64 GiB in ten million entries: some ten times the largest images in use.
    fn default() -> Limits {
        Limits { bytes: 64 << 30, entries: 10_000_000 }
    }
}

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, with content.
    File,
    /// A folder.
    Directory,
    /// A symbolic link to whatever text `link` is.
    Symlink,
    /// Another name for the entry `link`.
    HardLink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// One entry of an archive, its extension headers worked in.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name, as it stands in the archive.
    pub path: PathBuf,
    /// What it makes.
    pub kind: Kind,
    /// What a link points at.
    pub link: PathBuf,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time: seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// A device's major and minor number.
    pub device: (u32, u32),
    /// The size in bytes, holes included.
    pub size: u64,
    /// Extended attributes.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
    /// Where in the file the content goes: offset and length. One piece, unless the file has holes.
    chunks: Vec<(u64, u64)>,
}

/// Walks through an archive.
pub struct Entries<R> {
    reader: R,
    limits: Limits,
    /// What is left to read of the current entry's content, and the filling behind it.
    content: u64,
    filling: u64,
}

impl<R: Read> Entries<R> {
    /// Starts at the first header.
    pub fn new(reader: R, limits: Limits) -> Entries<R> {
        Entries { reader, limits, content: 0, filling: 0 }
    }

    /// The next entry, or `None` behind the last. What was not read of the one before is skipped.
    ///
    /// # Errors
    /// When the archive ends too early, is no tar archive, holds an entry of an unknown type, or
    /// is over the limits.
    #[allow(clippy::should_implement_trait)] // an entry's content is read through `self`
    pub fn next(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip(self.content + self.filling)?;
            let Some(header) = self.header()? else { return Ok(None) };
            match header.entry_type() {
                EntryType::GNULongName => extensions.path = Some(self.long_name(&header)?),
                EntryType::GNULongLink => extensions.link = Some(self.long_name(&header)?),
                EntryType::XHeader => extensions.records(&self.extension(&header)?)?,
                // A global header is a remark about the whole archive (`git archive` writes one).
                EntryType::XGlobalHeader => drop(self.extension(&header)?),
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    /// The current entry's content as it stands in the archive: whole, unless it has holes.
    pub fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    /// Writes the current entry's content, leaving its holes out.
    pub fn copy_to(&mut self, entry: &Entry, file: &mut File) -> Result<()> {
        for &(offset, length) in &entry.chunks {
            file.seek(SeekFrom::Start(offset))?;
            // A short read is an error in `Content` already.
            io::copy(&mut self.content().take(length), file)?;
        }
        file.set_len(entry.size)?;
        Ok(())
    }

    /// Reads on to the end of the file, so that a reader below sees every byte, and returns it.
    pub fn finish(mut self) -> Result<R> {
        let rest = io::copy(&mut self.reader.by_ref().take(self.limits.bytes), &mut io::sink())?;
        ensure!(rest < self.limits.bytes, "there is no end to what follows the archive");
        Ok(self.reader)
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let mut block = [0; BLOCK];
        match self.reader.read(&mut block).context("read the archive")? {
            0 => return Ok(None),
            count => self.fill(&mut block[count..])?,
        }
        if block == [0; BLOCK] {
            return Ok(None); // two empty blocks mark the end; one is enough to know
        }
        let Some(left) = self.limits.entries.checked_sub(1) else {
            bail!("the archive holds more entries than the limit allows");
        };
        self.limits.entries = left;
        let header = Header::from_byte_slice(&block);
        ensure!(header.cksum().ok() == Some(checksum(&block)), "this is not a tar archive");
        Ok(Some(header.clone()))
    }

    /// Takes `size` bytes of content off the limit.
    fn account(&mut self, size: u64) -> Result<()> {
        let Some(left) = self.limits.bytes.checked_sub(size) else {
            bail!("the archive holds more bytes than the limit allows");
        };
        self.limits.bytes = left;
        Ok(())
    }

    fn start_content(&mut self, size: u64) -> Result<()> {
        self.account(size)?;
        self.content = size;
        self.filling = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = header.entry_size().context("read a tar header")?;
        ensure!(size <= EXTENSIONS, "an extension header of {size} bytes is too large");
        self.start_content(size)?;
        let mut data = Vec::with_capacity(size as usize);
        self.content().read_to_end(&mut data)?;
        Ok(data)
    }

    fn long_name(&mut self, header: &Header) -> Result<PathBuf> {
        let mut name = self.extension(header)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(path(name))
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry> {
        let Extensions { path: name, link, size, uid, gid, mtime, xattrs, sparse } = extensions;
        let name = name.unwrap_or_else(|| path(header.path_bytes().into_owned()));
        let bad = || format!("read the tar header of '{}'", name.display());
        let link = link.or_else(|| Some(path(header.link_name_bytes()?.into_owned())));
        let kind = kind(header, &name)?;
        let raw = header.as_old();

        let stored = match (kind, size) {
            (Kind::File, Some(size)) => size,
            (Kind::File, None) => header.entry_size().with_context(bad)?,
            _ => 0, // whatever a folder's or a link's header says: it has no content
        };
        self.start_content(stored)?;
        let (size, chunks) = match (header.as_gnu(), sparse) {
            (Some(gnu), _) if header.entry_type().is_gnu_sparse() => {
                let map = gnu.sparse.iter().filter(|piece| !piece.is_empty());
                let mut chunks = map
                    .map(|piece| Ok((piece.offset()?, piece.length()?)))
                    .collect::<io::Result<Vec<_>>>()
                    .with_context(bad)?;
                self.more_chunks(gnu.is_extended(), &mut chunks)?;
                (gnu.real_size().with_context(bad)?, chunks)
            }
            (_, Some(size)) => (size, self.sparse_map()?),
            _ => (stored, vec![(0, stored)]),
        };
        self.account(size.saturating_sub(stored))?;
        self.check_chunks(&chunks, size).with_context(bad)?;

        Ok(Entry {
            kind,
            link: link.unwrap_or_default(),
            mode: number(&raw.mode, header.mode()).with_context(bad)? & 0o7777,
            uid: id(uid.map_or_else(|| number(&raw.uid, header.uid()), Ok).with_context(bad)?)?,
            gid: id(gid.map_or_else(|| number(&raw.gid, header.gid()), Ok).with_context(bad)?)?,
            mtime: mtime.unwrap_or_else(|| (header.mtime().unwrap_or(0) as i64, 0)),
            device: (
                header.device_major().ok().flatten().unwrap_or(0),
                header.device_minor().ok().flatten().unwrap_or(0),
            ),
            size,
            xattrs,
            chunks,
            path: name,
        })
    }

    /// GNU's own sparse format: more of the map follows the header, block by block.
    fn more_chunks(&mut self, mut more: bool, chunks: &mut Vec<(u64, u64)>) -> Result<()> {
        while more {
            self.account(BLOCK as u64)?;
            let mut block = GnuExtSparseHeader::new();
            self.fill(block.as_mut_bytes())?;
            for piece in block.sparse().iter().filter(|piece| !piece.is_empty()) {
                chunks.push((piece.offset()?, piece.length()?));
            }
            ensure!(chunks.len() < 1_000_000, "a file with too many holes");
            more = block.is_extended();
        }
        Ok(())
    }

    /// PAX sparse format 1.0: the content starts with the map, as decimal lines in whole blocks.
    fn sparse_map(&mut self) -> Result<Vec<(u64, u64)>> {
        let mut text = Vec::new();
        let mut number = || -> Result<u64> {
            loop {
                if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    return Ok(std::str::from_utf8(&line)?.trim_end().parse()?);
                }
                let mut block = [0; BLOCK];
                self.content().read_exact(&mut block)?;
                ensure!(text.len() < BLOCK, "a sparse map without numbers");
                text.extend_from_slice(&block);
            }
        };
        let pieces = number()?;
        ensure!(pieces < 1_000_000, "a file with too many holes");
        (0..pieces).map(|_| Ok((number()?, number()?))).collect()
    }

    /// The pieces must follow each other, lie inside the file, and be what the archive holds.
    fn check_chunks(&self, chunks: &[(u64, u64)], size: u64) -> Result<()> {
        let mut end = 0;
        let mut stored = 0;
        for &(offset, length) in chunks {
            ensure!(offset >= end, "its pieces overlap");
            end = offset.checked_add(length).context("its pieces are too long")?;
            stored += length;
        }
        ensure!(end <= size && stored == self.content, "its size doesn't fit its content");
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.reader.read_exact(buffer).map_err(truncated).context("read the archive")
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        (self.content, self.filling) = (0, 0);
        let skipped = io::copy(&mut self.reader.by_ref().take(count), &mut io::sink())
            .context("read the archive")?;
        ensure!(skipped == count, truncated(io::ErrorKind::UnexpectedEof.into()));
        Ok(())
    }
}

/// Reads the content of the current entry of [`Entries`]; an early end is an error.
pub struct Content<'e, R>(&'e mut Entries<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.0.content).unwrap_or(usize::MAX));
        let count = self.0.reader.read(&mut buffer[..want])?;
        if count == 0 && want > 0 {
            return Err(truncated(io::ErrorKind::UnexpectedEof.into()));
        }
        self.0.content -= count as u64;
        Ok(count)
    }
}

fn truncated(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off")
        }
        _ => error,
    }
}

/// What the extension headers say about the entry that follows them.
#[derive(Default)]
struct Extensions {
    path: Option<PathBuf>,
    link: Option<PathBuf>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(OsString, Vec<u8>)>,
    /// The full size of a file with holes, in PAX sparse format 1.0.
    sparse: Option<u64>,
}

impl Extensions {
    /// PAX records: `LENGTH KEY=VALUE\n`, the length counting the whole record.
    fn records(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let (length, record) = record(data).context("read a PAX header")?;
            let (key, value) = record;
            self.record(key, value).with_context(|| format!("read the PAX record '{key}'"))?;
            data = &data[length..];
        }
        Ok(())
    }

    fn record(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let text = || std::str::from_utf8(value).context("not a text");
        match key {
            "path" | "GNU.sparse.name" => self.path = Some(path(value.into())),
            "linkpath" => self.link = Some(path(value.into())),
            "size" => self.size = Some(text()?.parse()?),
            "uid" => self.uid = Some(text()?.parse()?),
            "gid" => self.gid = Some(text()?.parse()?),
            "mtime" => self.mtime = Some(timestamp(text()?)?),
            "GNU.sparse.realsize" => self.sparse = Some(text()?.parse()?),
            "GNU.sparse.major" => ensure!(value == b"1", "an old sparse format"),
            "GNU.sparse.map" | "GNU.sparse.offset" => bail!("an old sparse format"),
            _ => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    self.xattrs.push((name.into(), value.into()));
                }
            }
        }
        Ok(())
    }
}

/// The length of the first record, its key and its value.
fn record(data: &[u8]) -> Option<(usize, (&str, &[u8]))> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let key = std::str::from_utf8(&record[..equals]).ok()?;
    Some((length, (key, &record[equals + 1..])))
}

/// `SECONDS[.FRACTION]`, as seconds and nanoseconds.
fn timestamp(text: &str) -> Result<(i64, u32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (seconds, nanos): (i64, u32) = (seconds.parse()?, digits.parse()?);
    Ok(match text.starts_with('-') && nanos > 0 {
        true => (seconds.saturating_sub(1), 1_000_000_000 - nanos), // -1.25 is -2 and 0.75
        false => (seconds, nanos),
    })
}

fn kind(header: &Header, name: &std::path::Path) -> Result<Kind> {
    Ok(match header.entry_type() {
        // The oldest format marks a folder by a slash only.
        EntryType::Regular if name.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            Kind::Directory
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::HardLink,
        EntryType::Char => Kind::CharDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Fifo => Kind::Fifo,
        other => {
            let letter = char::from(other.as_byte()).escape_default();
            bail!("'{}' is an entry of the unknown type '{letter}'", name.display())
        }
    })
}

/// The sum of the header's bytes, its own field counted as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let field = 148..156;
    let byte = |(at, byte): (usize, &u8)| if field.contains(&at) { 32 } else { u32::from(*byte) };
    block.iter().enumerate().map(byte).sum()
}

/// A number of the header. Some programs leave a field empty and mean 0.
fn number<T: Default>(field: &[u8], value: io::Result<T>) -> io::Result<T> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(T::default()) } else { value }
}

fn id(number: u64) -> Result<u32> {
    u32::try_from(number).with_context(|| format!("{number} is no user's or group's id"))
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_may_hold_line_ends() {
        let (length, (key, value)) = record(b"13 key=a\nb=c\nrest").unwrap();
        assert_eq!((length, key, value), (13, "key", &b"a\nb=c"[..]));
        for wrong in ["", "5", "9 k=v\n", "0 k=v\n", "5 k=v!", "5 kv\n", "-5 k=v\n"] {
            assert!(record(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_timestamp_has_a_fraction() {
        assert_eq!(timestamp("12").unwrap(), (12, 0));
        assert_eq!(timestamp("12.5").unwrap(), (12, 500_000_000));
        assert_eq!(timestamp("-1.25").unwrap(), (-2, 750_000_000));
        assert!(timestamp("soon").is_err());
    }
}
