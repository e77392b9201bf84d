//! What the layers below show at a path, by their manifests.

use std::sync::Arc;

use imgc_store::{Entry, EntryKind, LayerTree, Manifest, TreePath};

/// The layers that something new lies on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Below {
    /// From the top down.
    layers: Vec<Arc<Manifest>>,
}

/// The layers in which a directory is to be seen, from the top down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dirs(Vec<usize>);

/// What is to be seen at a path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen<'a> {
    /// The topmost entry and its layer's manifest.
    pub(crate) top: Option<(&'a Entry, &'a Manifest)>,
    /// If it is a directory: all layers that have a part of it.
    pub(crate) dirs: Dirs,
}

impl Below {
    /// These layers, the lowest first.
    pub(crate) fn new(trees: &[LayerTree]) -> Self {
        Self { layers: trees.iter().rev().map(|tree| Arc::clone(&tree.manifest)).collect() }
    }

    /// The root.
    pub(crate) fn root(&self) -> Seen<'_> {
        let root = TreePath(Vec::new());
        let top = self.layers.iter().find_map(|manifest| Some((manifest.get(&root)?, &**manifest)));
        Seen { top, dirs: Dirs((0..self.layers.len()).collect()) }
    }

    /// What is to be seen at `path` in a directory that is to be seen in `dirs`.
    pub(crate) fn child(&self, dirs: &Dirs, path: &TreePath) -> Seen<'_> {
        let mut seen = Seen::default();
        for index in &dirs.0 {
            let Some(manifest) = self.layers.get(*index) else { continue };
            let Some(entry) = manifest.get(path) else { continue };
            match &entry.kind {
                EntryKind::Whiteout => break,
                EntryKind::Dir { opaque } => {
                    seen.top.get_or_insert((entry, manifest));
                    seen.dirs.0.push(*index);
                    if *opaque {
                        break;
                    }
                }
                EntryKind::File { .. } | EntryKind::Symlink { .. } | EntryKind::Hardlink { .. } | EntryKind::Fifo => {
                    if seen.dirs.0.is_empty() {
                        seen.top = Some((entry, manifest));
                    }
                    break;
                }
            }
        }
        seen
    }
}

impl Seen<'_> {
    /// Whether a directory is to be seen.
    pub(crate) fn is_dir(&self) -> bool {
        !self.dirs.0.is_empty()
    }

    /// Whether an entry is, in all that layers keep, what is to be seen.
    pub(crate) fn equals(&self, entry: &Entry) -> bool {
        let Some((top, manifest)) = self.top else { return false };
        let first = if let EntryKind::Hardlink { to } = &top.kind { manifest.get(to) } else { Some(top) };
        let kind = first.map(|first| &first.kind);
        let same_kind = match (kind, &entry.kind) {
            // Whether a layer hides something is not seen from above.
            (Some(EntryKind::Dir { .. }), EntryKind::Dir { .. }) => true,
            (kind, own) => kind == Some(own),
        };
        same_kind
            && (top.mode, top.uid, top.gid, top.mtime) == (entry.mode, entry.uid, entry.gid, entry.mtime)
            && top.xattrs == entry.xattrs
    }
}
