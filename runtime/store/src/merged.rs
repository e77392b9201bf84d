//! Layers on top of each other, seen as one tree: what overlayfs would show, computed from manifests alone.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::layer_tree::LayerTree;
use crate::tree::{Entry, EntryKind, Manifest, TreePath};

/// What several layers show together.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    entries: Vec<MergedEntry>,
}

/// One entry of a merged tree.
#[derive(Debug, Clone)]
pub struct MergedEntry {
    /// What stands there. Hard links lead to an entry of the same layer that is visible.
    pub entry: Entry,
    /// Where the topmost layer that has it keeps it: content of files, attributes of all. Nothing stands there for
    /// whiteouts as seen by [`Merged::squash`] except the marker itself.
    pub host: PathBuf,
    /// Index of that layer, from the bottom.
    pub layer: usize,
}

impl std::ops::Deref for MergedEntry {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Merged {
    /// Merges layers, the lowest first, into a complete tree: no whiteouts, no opaque directories.
    pub fn new(layers: &[LayerTree]) -> Self {
        let manifests: Vec<&Manifest> = layers.iter().map(|layer| &*layer.manifest).collect();
        let mut items = fold(&manifests);
        items.retain(|item| !matches!(item.entry(&manifests).map(|entry| &entry.kind), Some(EntryKind::Whiteout)));
        for item in &mut items {
            item.opaque = false;
        }
        Self::resolve(&items, layers, &manifests)
    }

    /// Merges neighbouring layers, the lowest first, into one that can lie where they lay: whiteouts and opaque
    /// directories stay, as what is below may have something to hide.
    pub fn squash(layers: &[LayerTree]) -> Self {
        let manifests: Vec<&Manifest> = layers.iter().map(|layer| &*layer.manifest).collect();
        Self::resolve(&fold(&manifests), layers, &manifests)
    }

    /// Sorted by path, each path once.
    pub fn entries(&self) -> &[MergedEntry] {
        &self.entries
    }

    /// The entry at `path`.
    pub fn get(&self, path: &TreePath) -> Option<&MergedEntry> {
        let at = self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// The manifest of the merged tree.
    pub fn manifest(&self) -> Manifest {
        Manifest { entries: self.entries.iter().map(|merged| merged.entry.clone()).collect() }
    }

    /// Writes entries out, and gives hard links whose first name is hidden a new first name.
    fn resolve(items: &[Item], layers: &[LayerTree], manifests: &[&Manifest]) -> Self {
        let mut entries: Vec<MergedEntry> = Vec::with_capacity(items.len());
        let mut first_names: HashMap<(u32, &TreePath), TreePath> = HashMap::new();
        for item in items {
            let (Some(found), Some(layer)) = (item.entry(manifests), layers.get(item.layer as usize)) else { continue };
            let mut entry = found.clone();
            match &found.kind {
                EntryKind::Dir { .. } => entry.kind = EntryKind::Dir { opaque: item.opaque },
                EntryKind::Hardlink { to } => {
                    let original = manifests.get(item.layer as usize).and_then(|manifest| manifest.get(to));
                    let first = first_names.entry((item.layer, to)).or_insert_with(|| {
                        let seen =
                            entries.binary_search_by(|seen| seen.path.cmp(to)).ok().and_then(|at| entries.get(at));
                        let visible = seen.is_some_and(|seen| seen.layer == item.layer as usize);
                        if visible { to.clone() } else { found.path.clone() }
                    });
                    match original {
                        Some(original) if *first == found.path => entry.kind = original.kind.clone(),
                        _ => entry.kind = EntryKind::Hardlink { to: first.clone() },
                    }
                }
                EntryKind::File { .. } | EntryKind::Symlink { .. } | EntryKind::Fifo | EntryKind::Whiteout => {}
            }
            entries.push(MergedEntry { host: entry.path.on(&layer.dir), entry, layer: item.layer as usize });
        }
        Self { entries }
    }
}

/// An entry by its place, small enough that lists of them are cheap to copy for every layer.
#[derive(Debug, Clone, Copy)]
struct Item {
    layer: u32,
    index: u32,
    /// Of a directory: hides what is below all layers seen so far.
    opaque: bool,
}

impl Item {
    fn entry<'a>(self, manifests: &[&'a Manifest]) -> Option<&'a Entry> {
        manifests.get(self.layer as usize)?.entries.get(self.index as usize)
    }
}

/// Lays one layer after the other over what there is, keeping whiteouts.
fn fold(manifests: &[&Manifest]) -> Vec<Item> {
    let mut below: Vec<Item> = Vec::new();
    for (layer, manifest) in (0u32..).zip(manifests) {
        below = lay_over(&below, layer, manifest, manifests);
    }
    below
}

/// Both lists are sorted so that a directory's content follows it directly. Runs of `below` that the layer does not
/// touch are found by galloping and copied whole: a small layer on a large tree costs little.
fn lay_over(below: &[Item], layer: u32, manifest: &Manifest, manifests: &[&Manifest]) -> Vec<Item> {
    let path_of = |item: &Item| item.entry(manifests).map(|entry| &entry.path);
    let mut merged = Vec::with_capacity(below.len() + manifest.entries.len());
    let mut rest = below;
    for (index, entry) in (0u32..).zip(&manifest.entries) {
        let before = gallop(rest, |item| path_of(item).is_some_and(|path| *path < entry.path));
        let (untouched, after) = rest.split_at(before);
        merged.extend_from_slice(untouched);
        rest = after;
        let hidden = rest.first().copied().filter(|item| path_of(item) == Some(&entry.path));
        let hidden_kind = hidden.and_then(|item| item.entry(manifests)).map(|entry| &entry.kind);
        if hidden.is_some() {
            rest = rest.get(1..).unwrap_or_default();
        }
        let opaque = match (&entry.kind, hidden_kind) {
            (EntryKind::Dir { opaque: false }, None) => false,
            (EntryKind::Dir { opaque: false }, Some(EntryKind::Dir { .. })) => hidden.is_some_and(|item| item.opaque),
            // What is not a directory, a whiteout included, hid everything further down, and still does.
            (EntryKind::Dir { opaque: false }, Some(_)) => true,
            (kind, _) => {
                rest = rest
                    .get(gallop(rest, |item| path_of(item).is_some_and(|path| path.is_below(&entry.path)))..)
                    .unwrap_or_default();
                matches!(kind, EntryKind::Dir { .. })
            }
        };
        merged.push(Item { layer, index, opaque });
    }
    merged.extend_from_slice(rest);
    merged
}

/// How many items at the front satisfy `test`, which holds for a front part only.
fn gallop(items: &[Item], test: impl Fn(&Item) -> bool) -> usize {
    let mut reach = 1;
    while items.get(reach - 1).is_some_and(&test) {
        reach *= 2;
    }
    let (low, high) = (reach / 2, (reach - 1).min(items.len()));
    low + items.get(low..high).unwrap_or_default().partition_point(test)
}
