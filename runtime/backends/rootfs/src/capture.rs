//! Capture: what a step left in the upper directory becomes a layer in normal form, in place.
//!
//! Afterwards the directory holds exactly what the manifest says, so the next step sees the same tree whether its
//! machine is live or opened from the store. What equals the layers below is taken out: a step that changed nothing
//! leaves nothing.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use imgc_backend::BackendError;
use imgc_plan::Digest;
use imgc_store::{Entry, EntryKind, Manifest, TreePath};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

use crate::attributes;
use crate::below::{Below, Dirs, Seen};
use crate::volatile::Treatment;

/// How to capture.
pub(crate) struct Rules<'a> {
    /// Seconds since 1970; later time stamps become this.
    pub(crate) epoch: i64,
    /// What becomes of paths.
    pub(crate) volatile: fn(&[u8]) -> Treatment,
    /// What the tree lies on.
    pub(crate) below: &'a Below,
}

/// What was captured.
pub(crate) struct Captured {
    /// In normal form; without entries where nothing changed.
    pub(crate) manifest: Manifest,
    /// Things that layers do not hold and that were left out.
    pub(crate) left_out: Vec<String>,
}

/// Brings the tree at `dir` into normal form and says what is in it.
pub(crate) fn capture(dir: &Path, rules: &Rules<'_>) -> Result<Captured, BackendError> {
    let mut walk = Walk { dir, rules, nodes: Vec::new(), links: HashMap::new(), left_out: Vec::new() };
    let root = rules.below.root();
    walk.dir(Path::new(""), None, root)?;
    let Walk { mut nodes, left_out, .. } = walk;
    hash(dir, &mut nodes)?;
    let kept = settle(dir, &mut nodes)?;
    let entries = nodes.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(node, _)| node.entry).collect();
    Ok(Captured { manifest: Manifest { entries }, left_out })
}

/// One entry of the tree, before it is known whether it stays.
struct Node<'a> {
    entry: Entry,
    /// The directory it is in; none for the root.
    parent: Option<usize>,
    seen: Seen<'a>,
    /// A file that has further names.
    linked: bool,
}

struct Walk<'a> {
    dir: &'a Path,
    rules: &'a Rules<'a>,
    /// In the order of manifests.
    nodes: Vec<Node<'a>>,
    /// First names of files that have several, by device and inode.
    links: HashMap<(u64, u64), usize>,
    left_out: Vec<String>,
}

impl<'a> Walk<'a> {
    fn dir(&mut self, path: &Path, parent: Option<usize>, seen: Seen<'a>) -> Result<(), BackendError> {
        let host = self.dir.join(path);
        let metadata = host.symlink_metadata().map_err(reading(&host))?;
        let marked = attributes::is_opaque(&host).map_err(reading(&host))?;
        let opaque = marked && seen.is_dir();
        if marked && !opaque {
            attributes::set_opaque(&host, false).map_err(writing(&host))?;
        }
        let mut entry = self.entry(path, &host, &metadata, EntryKind::Dir { opaque })?;
        // The time of a directory only says that something in it was made or removed; it is not worth a layer.
        if let Some((below, _)) = seen.top.filter(|_| seen.is_dir()) {
            entry.mtime = below.mtime;
        }
        let dirs = if opaque { Dirs::default() } else { seen.dirs.clone() };
        let index = self.nodes.len();
        self.nodes.push(Node { entry, parent, seen, linked: false });
        let mut names = Vec::new();
        for child in std::fs::read_dir(&host).map_err(reading(&host))? {
            names.push(child.map_err(reading(&host))?.file_name());
        }
        names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        for name in names {
            self.child(&path.join(name), index, &dirs)?;
        }
        Ok(())
    }

    fn child(&mut self, path: &Path, parent: usize, dirs: &Dirs) -> Result<(), BackendError> {
        let host = self.dir.join(path);
        let metadata = host.symlink_metadata().map_err(reading(&host))?;
        let tree_path = tree_path(path);
        let seen = self.rules.below.child(dirs, &tree_path);
        let kind = metadata.file_type();
        if is_whiteout(&metadata) {
            if seen.top.is_some() {
                self.nodes.push(Node { entry: whiteout(tree_path), parent: Some(parent), seen, linked: false });
                return Ok(());
            }
            return remove(&host);
        }
        match (self.rules.volatile)(&tree_path.0) {
            Treatment::Drop if kind.is_dir() => {}
            Treatment::Drop => return remove(&host),
            Treatment::Empty if kind.is_file() => {
                let file = std::fs::OpenOptions::new().write(true).open(&host).map_err(writing(&host))?;
                file.set_len(0).map_err(writing(&host))?;
            }
            Treatment::Keep | Treatment::Empty => {}
        }
        if kind.is_dir() {
            return self.dir(path, Some(parent), seen);
        }
        let entry_kind = if kind.is_file() {
            EntryKind::File { digest: Digest([0; 32]), size: 0 }
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&host).map_err(reading(&host))?;
            EntryKind::Symlink { target: target.into_os_string().into_vec() }
        } else if kind.is_fifo() {
            EntryKind::Fifo
        } else {
            return self.leave_out(&host, tree_path, parent, seen, kind.is_socket());
        };
        // The size is asked again: emptying a file changed it.
        let metadata = host.symlink_metadata().map_err(reading(&host))?;
        let mut entry = self.entry(path, &host, &metadata, entry_kind)?;
        let linked = kind.is_file() && metadata.nlink() > 1;
        if linked {
            let first = *self.links.entry((metadata.dev(), metadata.ino())).or_insert(self.nodes.len());
            if let Some(first) = self.nodes.get_mut(first) {
                first.linked = true;
                entry.kind = EntryKind::Hardlink { to: first.entry.path.clone() };
            }
        }
        // A lone name left of several is a plain file: `linked` of the first is set only when a second one comes.
        let further = matches!(entry.kind, EntryKind::Hardlink { .. });
        self.nodes.push(Node { entry, parent: Some(parent), seen, linked: further });
        Ok(())
    }

    fn entry(&self, path: &Path, host: &Path, metadata: &Metadata, kind: EntryKind) -> Result<Entry, BackendError> {
        let is_link = metadata.file_type().is_symlink();
        let xattrs = if is_link { Ok(std::collections::BTreeMap::new()) } else { attributes::kept(host) };
        let file = EntryKind::File { digest: Digest([0; 32]), size: metadata.size() };
        let kind = if metadata.is_file() { file } else { kind };
        Ok(Entry {
            path: tree_path(path),
            kind,
            mode: if is_link { 0o777 } else { metadata.mode() & 0o7777 },
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: metadata.mtime().min(self.rules.epoch),
            xattrs: xattrs.map_err(reading(host))?,
        })
    }

    /// Takes out a device node or socket; what it hid below stays hidden.
    fn leave_out(
        &mut self,
        host: &Path,
        path: TreePath,
        parent: usize,
        seen: Seen<'a>,
        socket: bool,
    ) -> Result<(), BackendError> {
        let what = if socket { "socket" } else { "device node" };
        self.left_out.push(format!("{what} /{}", String::from_utf8_lossy(&path.0)));
        remove(host)?;
        if seen.top.is_some() {
            rustix::fs::mknodat(CWD, host, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(|error| writing(host)(error.into()))?;
            self.nodes.push(Node { entry: whiteout(path), parent: Some(parent), seen, linked: false });
        }
        Ok(())
    }
}

/// Fills in the digests of all files.
fn hash(dir: &Path, nodes: &mut [Node<'_>]) -> Result<(), BackendError> {
    nodes.par_iter_mut().try_for_each(|node| {
        let EntryKind::File { digest, size } = &mut node.entry.kind else { return Ok(()) };
        let host = node.entry.path.on(dir);
        *digest = digest_of(&host, *size).map_err(reading(&host))?;
        Ok(())
    })
}

/// The digest of a file's content.
pub(crate) fn digest_of(path: &Path, size: u64) -> io::Result<Digest> {
    const SMALL: u64 = 1 << 16;
    if size <= SMALL {
        return Ok(Digest::of(&std::fs::read(path)?));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// Takes out what equals the layers below, and gives all that stays its normal times. Says for each node whether it
/// stays.
fn settle(dir: &Path, nodes: &mut [Node<'_>]) -> Result<Vec<bool>, BackendError> {
    let mut kept = vec![false; nodes.len()];
    // Children stand after their directories, so from the end each directory is met when all in it are decided.
    for index in (0..nodes.len()).rev() {
        let Some(node) = nodes.get(index) else { continue };
        let host = node.entry.path.on(dir);
        let occupied = kept.get(index).copied().unwrap_or_default();
        let stays = occupied || matters(node);
        if !stays && node.entry.path.is_root() {
            continue;
        }
        if !stays {
            if node.entry.is_dir() {
                std::fs::remove_dir(&host).map_err(writing(&host))?;
            } else {
                remove(&host)?;
            }
            continue;
        }
        if !matches!(node.entry.kind, EntryKind::Whiteout) {
            set_time(&host, node.entry.mtime).map_err(writing(&host))?;
        }
        // The root is an entry only where it is not as it was; directories on the way always are.
        let parent = node.parent;
        let is_root = node.entry.path.is_root();
        if let Some(kept) = kept.get_mut(index) {
            *kept = !is_root || matters(node);
        }
        if let Some(kept) = parent.and_then(|parent| kept.get_mut(parent)) {
            *kept = true;
        }
    }
    Ok(kept)
}

/// Whether a node is not what is to be seen below anyway.
fn matters(node: &Node<'_>) -> bool {
    let hides = matches!(node.entry.kind, EntryKind::Dir { opaque: true } | EntryKind::Whiteout);
    if node.entry.path.is_root() && node.seen.top.is_none() {
        return !is_plain_root(&node.entry);
    }
    hides || node.linked || !node.seen.equals(&node.entry)
}

/// Whether an entry is a root as every tree has it.
pub(crate) fn is_plain_root(entry: &Entry) -> bool {
    (entry.mode, entry.uid, entry.gid) == (0o755, 0, 0) && entry.xattrs.is_empty() && entry.path.is_root()
}

fn whiteout(path: TreePath) -> Entry {
    Entry {
        path,
        kind: EntryKind::Whiteout,
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: std::collections::BTreeMap::new(),
    }
}

fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn tree_path(path: &Path) -> TreePath {
    TreePath(path.as_os_str().as_bytes().to_vec())
}

/// Gives a file a time in whole seconds; its access time, too, which nothing else sets.
pub(crate) fn set_time(path: &Path, mtime: i64) -> io::Result<()> {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn remove(path: &Path) -> Result<(), BackendError> {
    std::fs::remove_file(path).map_err(writing(path))
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> BackendError {
    BackendError::io(format!("cannot read {}", path.display()))
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> BackendError {
    BackendError::io(format!("cannot change {}", path.display()))
}
