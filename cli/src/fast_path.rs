//! The last-apply record: when nothing that an apply looked at has changed, the next one ends without parsing.
//!
//! It costs one read of the record and one stat of each path in it. Whatever is doubtful, such as a file that changed
//! so shortly before it was read that its times cannot tell, means no record.

use std::collections::BTreeMap;
use std::fmt::Formatter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use imgc_plan::Digest;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::world::Asked;

/// What a stat says about a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Stamp {
    /// Nothing is there.
    Missing,
    /// Device, inode, size, mode, and modification and change time in nanoseconds since 1970.
    There(u64, u64, u64, u32, i64, i64),
    /// More was looked at than one stat can tell: links that lead on through links. Never the same again.
    Doubtful(bool),
}

/// By hand: records hold ten thousands of them, and what serde derives for an enum without tags keeps a copy of each to try
/// the forms one after the other.
impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Stamp;

            fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                f.write_str("null, a truth value, or six numbers")
            }

            fn visit_unit<E: Error>(self) -> Result<Stamp, E> {
                Ok(Stamp::Missing)
            }

            fn visit_bool<E: Error>(self, always: bool) -> Result<Stamp, E> {
                Ok(Stamp::Doubtful(always))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Stamp, A::Error> {
                let numbers = Deserialize::deserialize(SeqAccessDeserializer::new(seq))?;
                let (device, inode, size, mode, modified, changed) = numbers;
                Ok(Stamp::There(device, inode, size, mode, modified, changed))
            }
        }
        from.deserialize_any(Forms)
    }
}

/// So many paths are looked at by one thread at least: starting threads takes as long.
const PATHS_A_THREAD: usize = 256;

/// Kernel clocks tick every 10 ms at worst; twice that is safe.
const TICK: Duration = Duration::from_millis(20);

/// File systems that keep whole seconds only, some of them every other one.
const COARSE: Duration = Duration::from_secs(2);

impl Stamp {
    /// Of metadata at hand.
    pub(crate) fn of(meta: &std::fs::Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self::There(
            meta.dev(),
            meta.ino(),
            // The size of a directory says nothing that its times do not.
            if meta.is_dir() { 0 } else { meta.size() },
            meta.mode(),
            nanoseconds(meta.mtime(), meta.mtime_nsec()),
            nanoseconds(meta.ctime(), meta.ctime_nsec()),
        )
    }

    /// Of whatever stands at a path, a link itself where it is one.
    pub(crate) fn of_link(path: &Path) -> Self {
        std::fs::symlink_metadata(path).map_or(Self::Missing, |meta| Self::of(&meta))
    }

    /// Whether it may have changed after `read` without a change of its times.
    pub(crate) fn is_racy(self, read: SystemTime) -> bool {
        let (modified, changed) = match self {
            Self::Missing => return false,
            Self::Doubtful(_) => return true,
            Self::There(.., modified, changed) => (modified, changed),
        };
        let tick = if changed % 1_000_000_000 == 0 { COARSE } else { TICK };
        let limit = read.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(tick);
        let limit = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
        modified.max(changed) >= limit
    }
}

/// What an apply left for the next one, for `show` and for the fast path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`FORMAT`].
    format: u32,
    /// Over everything that is not a file: see [`key`].
    key: Digest,
    /// Whether the stamps can be trusted.
    trusted: bool,
    /// Every environment variable that was asked for, and its value.
    variables: BTreeMap<String, Option<String>>,
    /// Every file and directory that was looked at, before it was read.
    stamps: Vec<(PathBuf, Stamp)>,
    /// What was built, as it was placed.
    pub(crate) artifacts: Vec<Shown>,
    /// The files of the artifacts, after they were placed.
    placed: Vec<(PathBuf, Stamp)>,
    /// How many nodes the plan selected.
    pub(crate) nodes: usize,
    /// Until when cache policies let results be used, in seconds since 1970; none: for ever.
    fresh_until: Option<i64>,
}

/// An artifact as `show` and the summary of `apply` tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// The output.
    pub(crate) name: String,
    /// `oci.archive`.
    pub(crate) kind: String,
    /// Where it is; none where it only has an id or stays in the store.
    pub(crate) path: Option<PathBuf>,
    /// BLAKE3 of its content; none for an image.
    pub(crate) digest: Option<String>,
    /// SHA-256 of the file.
    pub(crate) sha256: Option<String>,
    /// In bytes.
    pub(crate) size: u64,
    /// What it is for; empty for a text.
    pub(crate) platform: String,
    /// Its id in another world.
    pub(crate) id: Option<String>,
    /// How to use it.
    pub(crate) usage: Vec<String>,
}

const FORMAT: u32 = 2;

/// A digest over everything that decides an apply and is no file: this very program, the arguments, the settings.
pub(crate) fn key(parts: &serde_json::Value) -> Digest {
    let program = std::env::current_exe().and_then(std::fs::metadata).map_or(Stamp::Missing, |meta| Stamp::of(&meta));
    Digest::of(serde_json::json!([FORMAT, program, parts]).to_string().as_bytes())
}

impl Record {
    /// Puts a record together after an apply that began at `began` and left `artifacts` and the files `beside` them.
    pub(crate) fn new(
        key: Digest,
        asked: Asked,
        artifacts: Vec<Shown>,
        beside: &[PathBuf],
        nodes: usize,
        began: SystemTime,
    ) -> Self {
        let stamps: Vec<_> = asked.stamps.into_iter().collect();
        let trusted = !stamps.iter().any(|(_, stamp)| stamp.is_racy(began));
        let files = artifacts.iter().filter_map(|artifact| artifact.path.clone()).chain(beside.iter().cloned());
        let placed = files.map(|path| (path.clone(), Stamp::of_link(&path))).collect();
        Self {
            format: FORMAT,
            key,
            trusted,
            variables: asked.variables,
            stamps,
            artifacts,
            placed,
            nodes,
            fresh_until: None,
        }
    }

    /// The record of results that may be used until then.
    pub(crate) fn fresh_until(self, fresh_until: Option<i64>) -> Self {
        Self { fresh_until, ..self }
    }

    /// Reads the record of a package, if there is one that this imgc understands.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let record: Self = serde_json::from_slice(&bytes).ok()?;
        (record.format == FORMAT).then_some(record)
    }

    /// Keeps the record. One that cannot be kept only costs the next apply its short cut.
    pub(crate) fn write(&self, path: &Path) {
        let made = path.parent().map(std::fs::create_dir_all).transpose();
        let written = made.and_then(|_| Ok(serde_json::to_vec(self)?)).and_then(|bytes| {
            imgc_store::place::write_file(path, &bytes, imgc_store::place::Durable::Later)
                .map_err(std::io::Error::other)
        });
        if let Err(error) = written {
            tracing::debug!("the record of this apply was not kept: {error}");
        }
    }

    /// Whether nothing at all has changed since.
    pub(crate) fn holds(&self, key: Digest) -> bool {
        let variable_holds = |(name, value): (&String, &Option<String>)| std::env::var(name).ok() == *value;
        let stamp_holds = |(path, stamp): &(PathBuf, Stamp)| {
            // Paths are as they were found, all links followed: a link in the place of a file is a change.
            let holds = Stamp::of_link(path) == *stamp;
            if !holds {
                tracing::info!("{} changed since the last apply", path.display());
            }
            holds
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.trusted
            && self.key == key
            && self.fresh_until.is_none_or(|until| now < until)
            && self.variables.iter().all(variable_holds)
            && all_hold(&self.stamps, &stamp_holds)
            && self.placed.iter().all(stamp_holds)
    }
}

/// Looks at all of them, many at a time. The threads have ended when this returns, and no pool of them stands: an ordinary
/// user's imgc enters its user namespace next, which the kernel forbids a process of several threads.
fn all_hold(stamps: &[(PathBuf, Stamp)], holds: &(impl Fn(&(PathBuf, Stamp)) -> bool + Sync)) -> bool {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = stamps.len().div_ceil(threads).max(PATHS_A_THREAD);
    if stamps.len() <= share {
        return stamps.iter().all(holds);
    }
    let changed = AtomicBool::new(false);
    let look = |share: &[(PathBuf, Stamp)]| {
        if !share.iter().all(|stamp| !changed.load(Ordering::Relaxed) && holds(stamp)) {
            changed.store(true, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let (mine, others) = stamps.split_at(share);
        for share in others.chunks(share) {
            scope.spawn(|| look(share));
        }
        look(mine);
    });
    !changed.into_inner()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(dir: &Path, began: SystemTime) -> Record {
        let file = dir.join("input");
        let asked = Asked { stamps: [(file.clone(), Stamp::of_link(&file))].into(), ..Asked::default() };
        Record::new(Digest::of(b"key"), asked, Vec::new(), &[dir.join("SHA256SUMS")], 1, began)
    }

    #[test]
    fn a_record_holds_until_anything_changes() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("input"), "1").unwrap();
        let later = SystemTime::now() + Duration::from_secs(1);
        let kept = record(dir.path(), later);
        kept.write(&dir.path().join("record"));
        let read = Record::read(&dir.path().join("record")).unwrap();
        assert_eq!(read, kept);
        assert!(read.holds(Digest::of(b"key")));
        assert!(!read.holds(Digest::of(b"another key")));
        fs::write(dir.path().join("input"), "22").unwrap();
        assert!(!read.holds(Digest::of(b"key")));
    }

    #[test]
    fn a_file_that_was_written_just_before_it_was_read_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("input"), "1").unwrap();
        assert!(!record(dir.path(), SystemTime::now()).holds(Digest::of(b"key")));
    }

    #[test]
    fn stamps_of_every_form_are_read_as_they_were_written() {
        let there = Stamp::There(1, u64::MAX, 3, 4, -5, i64::MAX);
        for stamp in [Stamp::Missing, Stamp::Doubtful(true), there] {
            let text = serde_json::to_string(&stamp).unwrap();
            assert_eq!(serde_json::from_str::<Stamp>(&text).unwrap(), stamp, "{text}");
        }
        for text in ["[1,2,3]", "[1,2,3,4,5,6,7]", "\"x\"", "7", "{}"] {
            assert!(serde_json::from_str::<Stamp>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_change_among_thousands_is_seen() {
        let stamps: Vec<_> =
            (0..=10 * PATHS_A_THREAD).map(|n| (PathBuf::from(n.to_string()), Stamp::Missing)).collect();
        assert!(all_hold(&stamps, &|_| true));
        for changed in [0, PATHS_A_THREAD, stamps.len() / 2, stamps.len() - 1] {
            assert!(!all_hold(&stamps, &|stamp| *stamp != stamps[changed]), "{changed}");
            assert!(all_hold(&stamps[..=changed], &|_| true), "{changed}");
        }
    }

    #[test]
    fn an_output_that_was_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("input"), "1").unwrap();
        fs::write(dir.path().join("SHA256SUMS"), "x").unwrap();
        let kept = record(dir.path(), SystemTime::now() + Duration::from_secs(1));
        assert!(kept.holds(Digest::of(b"key")));
        fs::remove_file(dir.path().join("SHA256SUMS")).unwrap();
        assert!(!kept.holds(Digest::of(b"key")));
    }
}
