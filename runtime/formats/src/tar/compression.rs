//! Compression of archives, told by their first bytes.

use std::io::{self, BufRead, BufReader, Read};

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip, possibly of several members.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Looks at the first bytes of an archive; what is not known counts as plain.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// A reader of the plain bytes of an archive that may be compressed, and how it is.
///
/// Nothing but the first buffer of `reader` is read here. What follows the compressed data stays unread.
pub fn decompress<'r>(reader: impl Read + Send + 'r) -> io::Result<(Box<dyn Read + Send + 'r>, Compression)> {
    let mut reader = BufReader::with_capacity(128 * 1024, reader);
    let compression = Compression::of(reader.fill_buf()?);
    let plain: Box<dyn Read + Send + 'r> = match compression {
        Compression::Plain => Box::new(reader),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
    };
    Ok((plain, compression))
}
