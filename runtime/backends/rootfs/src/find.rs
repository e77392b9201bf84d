//! Files and directories out of a layer, for steps of other images.

use std::collections::BTreeMap;

use imgc_backend::{BackendError, Layer, LayerId, Wanted};
use imgc_plan::{DirRef, EntryKind as Kind, FileRef, TreeEntry, Value};
use imgc_store::{EntryKind, Merged, MergedEntry, Store, TreePath};

use crate::errors;

/// As Linux has it.
const MOST_LINKS: usize = 40;

/// What stands at `path`, links followed inside the image.
pub(crate) fn find(store: &Store, layer: &Layer, path: &str, wanted: Wanted) -> Result<Value, BackendError> {
    let mut trees = Vec::with_capacity(layer.chain.len());
    for LayerId(digest) in &layer.chain {
        trees.push(store.tree(digest).map_err(errors::store)?.ok_or_else(|| BackendError::Environment {
            message: format!("the layer {} is no longer in the cache", digest.short()),
            help: Some("run the same command again: it is built anew".to_owned()),
        })?);
    }
    let merged = Merged::new(&trees);
    let at = resolve(&merged, path)?;
    let entry = merged.get(&at);
    match (wanted, entry.map(|entry| &entry.kind)) {
        (Wanted::File, Some(EntryKind::File { .. } | EntryKind::Hardlink { .. })) => {
            let entry = entry.and_then(|entry| original(&merged, entry));
            entry.and_then(file).map(Value::from).ok_or_else(|| refuse("it is not there"))
        }
        (Wanted::Dir, Some(EntryKind::Dir { .. })) => dir(&merged, &at, path).map(Value::from),
        (Wanted::Dir, None) if at.is_root() => dir(&merged, &at, path).map(Value::from),
        (Wanted::File, Some(EntryKind::Dir { .. })) => Err(refuse("it is a directory; take it with `.dir`")),
        (Wanted::Dir, Some(EntryKind::File { .. } | EntryKind::Hardlink { .. })) => {
            Err(refuse("it is a file; take it with `.file`"))
        }
        (_, Some(_)) => Err(refuse("it is neither a file nor a directory")),
        (_, None) => Err(refuse("it is not there")),
    }
}

fn refuse(message: &str) -> BackendError {
    BackendError::Program { message: message.to_owned(), help: None }
}

/// The path without links in it. Links that are absolute begin at the root of the image, `..` never leaves it.
fn resolve(merged: &Merged, path: &str) -> Result<TreePath, BackendError> {
    let mut open: Vec<Vec<u8>> = path.split('/').rev().map(|part| part.as_bytes().to_vec()).collect();
    let mut at: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    while let Some(part) = open.pop() {
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                at.pop();
                continue;
            }
            _ => at.push(part),
        }
        let Some(EntryKind::Symlink { target }) = merged.get(&TreePath(at.join(&b'/'))).map(|entry| &entry.kind) else {
            continue;
        };
        links += 1;
        if links > MOST_LINKS {
            return Err(refuse("its links lead in a circle"));
        }
        at.pop();
        if target.first() == Some(&b'/') {
            at.clear();
        }
        open.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
    }
    Ok(TreePath(at.join(&b'/')))
}

/// The entry with the content that a name stands for.
fn original<'m>(merged: &'m Merged, entry: &'m MergedEntry) -> Option<&'m MergedEntry> {
    match &entry.kind {
        EntryKind::Hardlink { to } => merged.get(to),
        EntryKind::File { .. } => Some(entry),
        EntryKind::Dir { .. } | EntryKind::Symlink { .. } | EntryKind::Fifo | EntryKind::Whiteout => None,
    }
}

/// Read from where the store keeps it.
fn file(entry: &MergedEntry) -> Option<FileRef> {
    let EntryKind::File { digest, size } = entry.kind else { return None };
    Some(FileRef { path: entry.host.to_str()?.to_owned(), digest, mode: mode(entry.mode), size })
}

/// As modes of the package's own files are: whether its owner may execute it is all that counts.
fn mode(mode: u32) -> u32 {
    if mode & 0o100 == 0 { 0o644 } else { 0o755 }
}

fn dir(merged: &Merged, at: &TreePath, asked: &str) -> Result<DirRef, BackendError> {
    let mut entries = Vec::new();
    let mut places = BTreeMap::new();
    for found in merged.entries().iter().filter(|entry| entry.path.is_below(at)) {
        let below = found.path.0.get(at.0.len()..).unwrap_or_default();
        let text = |bytes: &[u8]| {
            let wrong = || refuse("a name in it is not UTF-8");
            std::str::from_utf8(bytes).map(|text| text.trim_start_matches('/').to_owned()).map_err(|_| wrong())
        };
        let path = text(below)?;
        let kind = match &found.kind {
            EntryKind::Dir { .. } => Kind::Dir,
            EntryKind::Symlink { target } => {
                let wrong = |_| refuse("a link in it is not UTF-8");
                Kind::Symlink { target: String::from_utf8(target.clone()).map_err(wrong)? }
            }
            EntryKind::File { .. } | EntryKind::Hardlink { .. } => {
                let file = original(merged, found).and_then(file);
                let Some(FileRef { digest, size, path: host, .. }) = file else { continue };
                places.insert(path.clone(), host);
                Kind::File { digest, size }
            }
            EntryKind::Fifo | EntryKind::Whiteout => continue,
        };
        let mode = match kind {
            Kind::Dir => 0o755,
            Kind::File { .. } => mode(original(merged, found).map_or(found.mode, |entry| entry.mode)),
            Kind::Symlink { .. } => 0o777,
        };
        entries.push(TreeEntry { path, kind, mode });
    }
    entries.sort();
    let digest = DirRef::merkle(&entries);
    Ok(DirRef { path: asked.to_owned(), digest, ignore: Vec::new(), exact_modes: false, entries, places })
}
