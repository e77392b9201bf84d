//! Compressed files, and checksums of files.
//!
//! Equal input gives equal bytes on any host: neither times nor names nor a number of threads go into them. Knows nothing
//! of what the files are.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;

use sha2::Digest as _;

use crate::region::Cancel;

/// What is read at a time.
const CHUNK: usize = 1 << 18;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Zstandard (RFC 8878), with its checksum.
    Zstd,
    /// gzip (RFC 1952), without a name and a time.
    Gzip,
    /// xz, with its CRC-64.
    Xz,
}

/// How a checksum is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// As `sha256sum`.
    Sha256,
    /// As `sha512sum`.
    Sha512,
    /// As `b3sum`.
    Blake3,
}

impl Method {
    /// The highest level that it knows.
    pub fn most(self) -> u32 {
        match self {
            Self::Zstd => 19,
            Self::Gzip | Self::Xz => 9,
        }
    }

    /// What its own program takes where nobody says it.
    fn usual(self) -> u32 {
        match self {
            Self::Zstd => 3,
            Self::Gzip | Self::Xz => 6,
        }
    }
}

/// Compresses the file at `from` into a new file at `to`.
///
/// # Errors
/// Reading or writing fails; [`io::ErrorKind::Interrupted`] once it was cancelled.
pub fn compress(from: &Path, to: &Path, method: Method, level: Option<u32>, cancel: Cancel<'_>) -> io::Result<()> {
    let level = level.unwrap_or(method.usual()).clamp(1, method.most());
    let out = BufWriter::new(File::create(to)?);
    let mut out = match method {
        Method::Zstd => {
            let mut encoder = zstd::Encoder::new(out, level.cast_signed())?;
            encoder.include_checksum(true)?;
            encoder.set_pledged_src_size(Some(std::fs::metadata(from)?.len()))?;
            feed(from, &mut encoder, cancel)?;
            encoder.finish()?
        }
        Method::Gzip => {
            let mut encoder = flate2::GzBuilder::new().mtime(0).write(out, flate2::Compression::new(level));
            feed(from, &mut encoder, cancel)?;
            encoder.finish()?
        }
        Method::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(out, level);
            feed(from, &mut encoder, cancel)?;
            encoder.finish()?
        }
    };
    out.flush()
}

/// The checksum of a file in hexadecimal digits.
///
/// # Errors
/// As [`compress`].
pub fn checksum(file: &Path, algorithm: Algorithm, cancel: Cancel<'_>) -> io::Result<String> {
    let hex = |bytes: &[u8]| hex::encode(bytes);
    Ok(match algorithm {
        Algorithm::Sha256 => {
            let mut hash = sha2::Sha256::new();
            feed(file, &mut Hashing(|bytes: &[u8]| hash.update(bytes)), cancel)?;
            hex(&hash.finalize())
        }
        Algorithm::Sha512 => {
            let mut hash = sha2::Sha512::new();
            feed(file, &mut Hashing(|bytes: &[u8]| hash.update(bytes)), cancel)?;
            hex(&hash.finalize())
        }
        Algorithm::Blake3 => {
            let mut hash = blake3::Hasher::new();
            feed(file, &mut hash, cancel)?;
            hash.finalize().to_hex().to_string()
        }
    })
}

/// Bytes go nowhere but into a hash.
struct Hashing<F>(F);

impl<F: FnMut(&[u8])> Write for Hashing<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a whole file into something, in pieces, as long as it is wanted.
fn feed(file: &Path, into: &mut dyn Write, cancel: Cancel<'_>) -> io::Result<()> {
    let mut file = File::open(file)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        cancel.check()?;
        match file.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => into.write_all(chunk.get(..n).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sample(dir: &Path) -> std::path::PathBuf {
        let path = dir.join("sample");
        let text = (0_u64..50_000).map(|n| format!("line {}\n", n * n % 977)).collect::<Vec<_>>().concat();
        std::fs::write(&path, text + &"\0".repeat(3 << 20)).unwrap();
        path
    }

    /// Programs of others read it, and it is the same each time, at each level.
    #[test]
    fn what_is_compressed_is_read_by_others_and_always_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let from = sample(dir.path());
        let plain = std::fs::read(&from).unwrap();
        for (method, reader) in [(Method::Zstd, "zstd"), (Method::Gzip, "gzip"), (Method::Xz, "xz")] {
            let mut sizes = Vec::new();
            for level in [None, Some(1), Some(9)] {
                let (one, two) = (dir.path().join("one"), dir.path().join("two"));
                compress(&from, &one, method, level, Cancel::NEVER).unwrap();
                compress(&from, &two, method, level, Cancel::NEVER).unwrap();
                let bytes = std::fs::read(&one).unwrap();
                assert_eq!(bytes, std::fs::read(&two).unwrap(), "{method:?} at {level:?}");
                sizes.push(bytes.len());
                let Ok(read) = Command::new(reader).arg("-dc").stdin(File::open(&one).unwrap()).output() else {
                    continue;
                };
                assert!(read.status.success(), "{reader}: {}", String::from_utf8_lossy(&read.stderr));
                assert_eq!(read.stdout, plain, "{reader} at {level:?}");
            }
            assert!(sizes[2] < sizes[1] && sizes[0] < plain.len(), "{method:?}: {sizes:?}");
        }
    }

    #[test]
    fn checksums_are_those_of_the_usual_programs() {
        let dir = tempfile::tempdir().unwrap();
        let from = sample(dir.path());
        for (algorithm, program) in [(Algorithm::Sha256, "sha256sum"), (Algorithm::Sha512, "sha512sum")] {
            let said = Command::new(program).arg(&from).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            assert_eq!(checksum(&from, algorithm, Cancel::NEVER).unwrap(), said.split(' ').next().unwrap());
        }
        let bytes = std::fs::read(&from).unwrap();
        let known = blake3::hash(&bytes).to_hex().to_string();
        assert_eq!(checksum(&from, Algorithm::Blake3, Cancel::NEVER).unwrap(), known);
    }

    #[test]
    fn nobody_waits_for_what_is_not_wanted_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let from = sample(dir.path());
        let cancel = Cancel(&|| true);
        let error = compress(&from, &dir.path().join("out"), Method::Xz, None, cancel).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
