//! Copies the contents of many files to their places, from several threads, checking each against its digest. Which
//! thread copies what never shows in the output.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use imgc_plan::Digest;

use crate::region::Region;
use crate::tree::Content;

/// Files are padded with zeros to a multiple of this.
const BLOCK: usize = 4096;
/// Reads and writes are of this size where files are that large.
const CHUNK: usize = 1 << 20;
/// One thread takes at least so many bytes, or files, at a time.
const BATCH_BYTES: u64 = 4 << 20;
const BATCH_FILES: usize = 512;

/// Why a file did not get to its place.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not hold what it should: a damaged store.
    #[error("{path} is not what it was when its layer was made")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The output cannot be written.
    #[error("cannot write the disk")]
    Write(#[source] io::Error),
}

/// A file and where in the output it goes: `(offset, length)`, ascending, together at least as long as the file.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) content: &'a Content,
    pub(crate) runs: Vec<(u64, u64)>,
}

/// Copies all of them.
pub(crate) fn copy(jobs: &[Job<'_>], region: Region<'_>) -> Result<(), ContentError> {
    let batches = batches(jobs);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let error = Mutex::new(None);
    let work = || {
        let mut writer = Writer::new(region);
        while !failed.load(Ordering::Relaxed)
            && let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let done = batch.iter().try_for_each(|job| one(job, &mut writer)).and_then(|()| writer.flush());
            if let Err(first) = done {
                failed.store(true, Ordering::Relaxed);
                if let Ok(mut error) = error.lock() {
                    error.get_or_insert(first);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).clamp(1, 8).min(batches.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    error.into_inner().ok().flatten().map_or(Ok(()), Err)
}

fn batches<'a, 'b>(jobs: &'a [Job<'b>]) -> Vec<&'a [Job<'b>]> {
    let mut batches = Vec::new();
    let mut rest = jobs;
    while !rest.is_empty() {
        let mut bytes = 0;
        let mut count = 0;
        while let Some(job) = rest.get(count)
            && bytes < BATCH_BYTES
            && count < BATCH_FILES
        {
            bytes += job.content.size();
            count += 1;
        }
        let (batch, others) = rest.split_at(count);
        batches.push(batch);
        rest = others;
    }
    batches
}

/// Copies one file; the last of its bytes may stay in the writer.
fn one(job: &Job<'_>, writer: &mut Writer<'_>) -> Result<(), ContentError> {
    let (path, size, digest) = match job.content {
        Content::Bytes(bytes) => {
            return place(job, writer, bytes.len() as u64, &mut bytes.as_slice(), Path::new("")).map(|_| ());
        }
        Content::Host { path, size, digest } => (path, *size, digest),
    };
    let mut file = File::open(path).map_err(|source| ContentError::Read { path: path.clone(), source })?;
    let found = place(job, writer, size, &mut file, path)?;
    let longer = file.read(&mut [0]).map_err(|source| ContentError::Read { path: path.clone(), source })? > 0;
    if longer || digest.is_some_and(|digest| digest != found) {
        return Err(ContentError::Changed { path: path.clone() });
    }
    Ok(())
}

/// Copies `size` bytes to the runs of a job; gives their digest.
fn place(
    job: &Job<'_>,
    writer: &mut Writer<'_>,
    size: u64,
    from: &mut dyn Read,
    path: &Path,
) -> Result<Digest, ContentError> {
    let mut hasher = blake3::Hasher::new();
    let mut left = size;
    for (at, len) in &job.runs {
        writer.seek(*at)?;
        let mut run = left.min(*len);
        left -= run;
        while run > 0 {
            let count = usize::try_from(run).unwrap_or(CHUNK).min(CHUNK);
            let bytes = writer.room(count)?;
            from.read_exact(bytes).map_err(|source| {
                if source.kind() == io::ErrorKind::UnexpectedEof {
                    return ContentError::Changed { path: path.to_owned() };
                }
                ContentError::Read { path: path.to_owned(), source }
            })?;
            hasher.update(bytes);
            run -= count as u64;
        }
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// Joins small neighbouring writes to large ones.
struct Writer<'a> {
    region: Region<'a>,
    /// Where in the region the buffer goes.
    at: u64,
    /// Of a fixed length, at least twice a chunk; the first `len` bytes count.
    buffer: Vec<u8>,
    len: usize,
}

impl<'a> Writer<'a> {
    fn new(region: Region<'a>) -> Self {
        Self { region, at: 0, buffer: vec![0; 2 * CHUNK + BLOCK], len: 0 }
    }

    /// Goes on at offset `at`.
    fn seek(&mut self, at: u64) -> Result<(), ContentError> {
        let padded = self.len.next_multiple_of(BLOCK);
        if self.at + padded as u64 == at {
            self.buffer.get_mut(self.len..padded).unwrap_or_default().fill(0);
            self.len = padded;
            return Ok(());
        }
        self.flush()?;
        self.at = at;
        Ok(())
    }

    /// The next `count` bytes, at most a chunk, to be filled.
    fn room(&mut self, count: usize) -> Result<&mut [u8], ContentError> {
        if self.len >= CHUNK {
            self.flush()?;
        }
        let start = self.len;
        self.len += count;
        Ok(self.buffer.get_mut(start..self.len).unwrap_or_default())
    }

    fn flush(&mut self) -> Result<(), ContentError> {
        let bytes = self.buffer.get(..self.len).unwrap_or_default();
        self.region.write(self.at, bytes).map_err(ContentError::Write)?;
        self.at += self.len as u64;
        self.len = 0;
        Ok(())
    }
}
