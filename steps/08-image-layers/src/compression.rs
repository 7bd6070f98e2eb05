//! Layers and archives come plain, gzipped, or as zstd.

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Result, bail};
use flate2::bufread::MultiGzDecoder;
use oci_spec::image::MediaType;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens a stream whichever way it is compressed, by its first bytes.
///
/// Media types are often wrong about compression, the first bytes never are: no tar archive
/// starts like a gzip or zstd stream.
pub fn decompress<'r>(reader: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut reader = BufReader::with_capacity(128 * 1024, reader);
    let start = reader.fill_buf()?;
    Ok(if start.starts_with(GZIP) {
        // pigz and others write a file as several gzip members, one after the other.
        Box::new(MultiGzDecoder::new(reader))
    } else if start.starts_with(ZSTD) {
        Box::new(zstd::stream::read::Decoder::with_buffer(reader)?)
    } else {
        Box::new(reader)
    })
}

/// The media type of a layer in this file, by its first bytes.
pub fn media_type(mut reader: impl Read) -> io::Result<MediaType> {
    let mut start = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut start)?;
    Ok(match () {
        () if start.starts_with(GZIP) => MediaType::ImageLayerGzip,
        () if start.starts_with(ZSTD) => MediaType::ImageLayerZstd,
        () => MediaType::ImageLayer,
    })
}

/// Refuses a layer that is something other than a tar archive (an encrypted one, a signature).
pub fn check_media_type(media_type: &MediaType) -> Result<()> {
    use MediaType::*;
    match media_type {
        ImageLayer | ImageLayerGzip | ImageLayerZstd => Ok(()),
        ImageLayerNonDistributable
        | ImageLayerNonDistributableGzip
        | ImageLayerNonDistributableZstd => Ok(()),
        Other(name) if name.starts_with("application/vnd.docker.image.rootfs.") => Ok(()),
        other => {
            bail!("a layer of the type '{other}' can't be read (only tar, tar+gzip, tar+zstd)")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_compression_reads_the_same() {
        let gzip = |text: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            gzip.write_all(text).unwrap();
            gzip.finish().unwrap()
        };
        let members = [gzip(b"one "), gzip(b"two")].concat();
        let zstd = zstd::encode_all(&b"one two"[..], 3).unwrap();
        for file in [b"one two".to_vec(), gzip(b"one two"), members, zstd] {
            let mut text = String::new();
            decompress(&file[..]).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one two");
        }
    }
}
