//! A part of the output file, written at any offset from several threads. Knows no format.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Blocks of this size that hold only zeros are not written: the output stays sparse.
const GRAIN: usize = 4096;
static ZEROS: [u8; GRAIN] = [0; GRAIN];

/// Whether whoever wants the output still wants it: asked before each write.
#[derive(Clone, Copy)]
pub struct Cancel<'a>(pub &'a (dyn Fn() -> bool + Sync));

impl Cancel<'_> {
    /// Nobody ever gives up.
    pub const NEVER: Cancel<'static> = Cancel(&|| false);

    /// # Errors
    /// [`io::ErrorKind::Interrupted`] once it was cancelled.
    pub(crate) fn check(self) -> io::Result<()> {
        if (self.0)() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Cancel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cancel")
    }
}

/// `len` bytes of `file` from `start` on; they must be zero (a hole) before the first write.
#[derive(Debug, Clone, Copy)]
pub struct Region<'a> {
    file: &'a File,
    start: u64,
    len: u64,
    cancel: Cancel<'a>,
}

impl<'a> Region<'a> {
    /// The part `start..start + len` of a file that reads as zeros there.
    pub fn new(file: &'a File, start: u64, len: u64) -> Self {
        Self { file, start, len, cancel: Cancel::NEVER }
    }

    /// The same region, whose writes fail once they are cancelled.
    #[must_use]
    pub fn until(self, cancel: Cancel<'a>) -> Self {
        Self { cancel, ..self }
    }

    /// In bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no room at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes `bytes` at offset `at`, leaving holes where they are zero.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.cancel.check()?;
        let end = at.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a write past the end of the partition"));
        }
        let mut from = 0;
        while let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) {
            let zero = run_len(rest, true);
            let data = rest.get(zero..).map_or(0, |rest| run_len(rest, false));
            if let Some(run) = rest.get(zero..zero + data).filter(|run| !run.is_empty()) {
                self.file.write_all_at(run, self.start + at + (from + zero) as u64)?;
            }
            from += zero + data;
        }
        Ok(())
    }
}

/// How many bytes at the start of `bytes` are blocks that are all zero (or all not).
fn run_len(bytes: &[u8], zero: bool) -> usize {
    bytes.chunks(GRAIN).take_while(|chunk| is_zero(chunk) == zero).map(<[u8]>::len).sum()
}

/// Whether all bytes are zero; compares whole blocks, which is fast in unoptimised builds, too.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(GRAIN).all(|chunk| ZEROS.get(..chunk.len()).is_some_and(|zeros| zeros == chunk))
}
