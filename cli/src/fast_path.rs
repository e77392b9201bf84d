//! The last-apply record: when nothing that an apply looked at has changed, the next one ends without parsing.
//!
//! It costs one read of the record and one stat of each path in it. Whatever is doubtful, such as a file that changed
//! so shortly before it was read that its times cannot tell, means no record.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What a stat says about a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Stamp {
    /// Nothing is there.
    Missing,
    /// Device, inode, size, mode, and modification and change time in nanoseconds since 1970.
    There(u64, u64, u64, u32, i128, i128),
}

/// Kernel clocks tick every 10 ms at worst; twice that is safe.
const TICK: Duration = Duration::from_millis(20);

impl Stamp {
    /// Of metadata at hand.
    pub(crate) fn of(meta: &std::fs::Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
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
        let Self::There(.., modified, changed) = self else { return false };
        let limit = read.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(TICK);
        let limit = i128::try_from(limit.as_nanos()).unwrap_or(i128::MAX);
        modified.max(changed) >= limit
    }
}
