//! A tree read from a directory of this host.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use imgc_formats::tree::{Content, FileTree, Node, NodeKind};
use imgc_store::TreePath;

pub(crate) fn read(root: &Path) -> FileTree {
    let mut nodes = BTreeMap::new();
    visit(root, Vec::new(), &mut nodes, &mut HashMap::new());
    FileTree::new(nodes, 0).unwrap()
}

fn visit(at: &Path, path: Vec<u8>, nodes: &mut BTreeMap<TreePath, Node>, seen: &mut HashMap<(u64, u64), TreePath>) {
    let meta = fs::symlink_metadata(at).unwrap();
    let kind = meta.file_type();
    let here = TreePath(path.clone());
    let kind = if kind.is_dir() {
        NodeKind::Dir
    } else if kind.is_symlink() {
        NodeKind::Symlink(fs::read_link(at).unwrap().into_os_string().into_vec())
    } else if kind.is_file() {
        match seen.entry((meta.dev(), meta.ino())) {
            std::collections::hash_map::Entry::Occupied(first) => NodeKind::Hardlink(first.get().clone()),
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(here.clone());
                NodeKind::File(Content::Host { path: at.to_owned(), size: meta.len(), digest: None })
            }
        }
    } else if meta.mode() & 0o170_000 == 0o010_000 {
        NodeKind::Fifo
    } else {
        return;
    };
    let is_dir = matches!(kind, NodeKind::Dir);
    let node = Node {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: meta.mtime(),
        xattrs: xattrs(at),
    };
    nodes.insert(here, node);
    if is_dir {
        let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let mut path = path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            visit(&at.join(&name), path, nodes, seen);
        }
    }
}

fn xattrs(at: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65536];
    let len = rustix::fs::llistxattr(at, &mut names).unwrap_or(0);
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let name = String::from_utf8(name.to_vec()).unwrap();
            let mut value = vec![0; 65536];
            let len = rustix::fs::lgetxattr(at, &name, &mut value).unwrap();
            (name, value[..len].to_vec())
        })
        .collect()
}
