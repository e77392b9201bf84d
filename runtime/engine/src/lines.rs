//! Digests of the lines of small text files: enough to say later how many of them changed, and not what they said.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use imgc_plan::{Digest, EntryKind, Node, Value};
use serde::{Deserialize, Serialize};

/// Larger files are told as changed, without a count.
const LARGEST_FILE: u64 = 64 * 1024;
/// So much of one node's files is looked at.
const LARGEST_NODE: u64 = 512 * 1024;

/// By digest of a file: a short digest of each of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Lines(BTreeMap<Digest, Vec<u32>>);

impl Lines {
    /// Of the files that a node names, as they are on the disk now. One that has changed meanwhile is left out.
    pub(crate) fn of(node: &Node, package: &Path) -> Self {
        let mut files = Vec::new();
        node.args.values().for_each(|value| named(value, &mut files));
        let mut lines = BTreeMap::new();
        let mut left = LARGEST_NODE;
        for (path, digest, size) in files {
            if size > LARGEST_FILE || size > left || lines.contains_key(&digest) {
                continue;
            }
            left -= size;
            if let Some(found) = lines_of(&package.join(path), digest) {
                lines.insert(digest, found);
            }
        }
        Self(lines)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many lines differ between a file that was, by its digest, and one on the disk.
    pub(crate) fn changed(&self, before: &Digest, after: &Path, digest: Digest) -> Option<usize> {
        Some(differing(self.0.get(before)?, &lines_of(after, digest)?))
    }
}

/// How many lines differ between two texts.
pub(crate) fn changed_lines(before: &str, after: &str) -> usize {
    let lines = |text: &str| text.lines().map(short).collect::<Vec<u32>>();
    differing(&lines(before), &lines(after))
}

fn named(value: &Value, found: &mut Vec<(String, Digest, u64)>) {
    if let Value::File(file) = value {
        found.push((file.path.clone(), file.digest, file.size));
    } else if let Value::Dir(dir) = value {
        for entry in &dir.entries {
            if let EntryKind::File { digest, size } = entry.kind {
                found.push((format!("{}/{}", dir.path, entry.path), digest, size));
            }
        }
    } else if let Value::List(items) = value {
        for item in items {
            named(item, found);
        }
    } else if let Value::Record(fields) | Value::Variant { payload: fields, .. } = value {
        for field in fields.values() {
            named(field, found);
        }
    }
}

fn lines_of(path: &Path, digest: Digest) -> Option<Vec<u32>> {
    let bytes = std::fs::read(path).ok()?;
    let is_text = !bytes.contains(&0) && Digest::of(&bytes) == digest;
    let text = std::str::from_utf8(&bytes).ok().filter(|_| is_text)?;
    Some(text.lines().map(short).collect())
}

fn short(line: &str) -> u32 {
    let [a, b, c, d, ..] = Digest::of(line.as_bytes()).0;
    u32::from_le_bytes([a, b, c, d])
}

/// The larger number of lines that one has and the other has not: two lines that were edited are two.
fn differing(before: &[u32], after: &[u32]) -> usize {
    let mut balance: HashMap<u32, i64> = HashMap::new();
    for line in before {
        *balance.entry(*line).or_default() -= 1;
    }
    for line in after {
        *balance.entry(*line).or_default() += 1;
    }
    let (mut gone, mut new) = (0, 0);
    for count in balance.into_values() {
        gone += count.min(0).unsigned_abs();
        new += count.max(0).unsigned_abs();
    }
    usize::try_from(gone.max(new)).unwrap_or(usize::MAX)
}
