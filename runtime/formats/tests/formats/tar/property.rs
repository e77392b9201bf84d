//! Properties: whatever tree there is comes back; whatever bytes there are, nothing breaks.

use std::collections::BTreeMap;

use imgc_plan::Digest;
use imgc_store::{Entry, EntryKind, Manifest, TreePath};
use proptest::prelude::*;

use super::{pack_bytes, unpack_bytes};

/// Some content for a name, or none for a directory.
type Leaf = (Option<Vec<u8>>, u32, u32, i64);

fn leaf() -> impl Strategy<Value = Leaf> {
    (
        prop::option::of(prop::collection::vec(any::<u8>(), 0..1500)),
        0_u32..0o10000,
        prop_oneof![0_u32..3000, 2_000_000_u32..4_000_000],
        0_i64..super::EPOCH,
    )
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no separators", |b| *b != 0 && *b != b'/');
    let short = prop::collection::vec(byte, 1..6);
    let long = (50_usize..255).prop_map(|len| vec![b'l'; len]);
    prop_oneof![5 => short, 1 => long]
        .prop_filter("no special names", |name| name != b"." && name != b".." && !name.starts_with(b".wh."))
}

/// A manifest whose parents are all there, written below a directory.
fn tree(leaves: BTreeMap<Vec<Vec<u8>>, Leaf>) -> (Manifest, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut entries: BTreeMap<TreePath, Entry> = BTreeMap::new();
    for (parts, (content, mode, uid, mtime)) in leaves {
        for end in 1..=parts.len() {
            let path = TreePath(parts[..end].join(b"/".as_slice()));
            let own = (end == parts.len()).then_some(content.as_ref()).flatten();
            let parent = TreePath(parts[..end - 1].join(b"/".as_slice()));
            let in_file = entries.get(&parent).is_some_and(|e| !matches!(e.kind, EntryKind::Dir { .. }));
            if in_file || entries.contains_key(&path) {
                continue;
            }
            let kind = if let Some(content) = own {
                std::fs::write(path.on(dir.path()), content).unwrap();
                EntryKind::File { digest: Digest::of(content), size: content.len() as u64 }
            } else {
                std::fs::create_dir(path.on(dir.path())).unwrap();
                EntryKind::Dir { opaque: false }
            };
            let entry = Entry { path: path.clone(), kind, mode, uid, gid: uid, mtime, xattrs: BTreeMap::new() };
            entries.insert(path, entry);
        }
    }
    (Manifest { entries: entries.into_values().collect() }, dir)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(leaves in prop::collection::btree_map(prop::collection::vec(name(), 1..4), leaf(), 0..12)) {
        let (manifest, dir) = tree(leaves);
        let bytes = pack_bytes(&manifest, dir.path());
        let into = tempfile::tempdir().unwrap();
        let found = unpack_bytes(&bytes, into.path());
        let found = match found {
            Ok(found) => found.manifest,
            // Directories that their owner may not enter stop an ordinary user.
            Err(_) if !super::is_root() => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        prop_assert_eq!(&found, &manifest);
        imgc_store::remove_tree(into.path()).unwrap();
        std::fs::create_dir(into.path()).unwrap();
    }

    #[test]
    fn bent_archives_break_nothing(at in 0_usize..6000, bit in 0_u8..8, cut in 0_usize..9000) {
        let (manifest, dir) = super::everything();
        let mut bytes = pack_bytes(&manifest, dir.path());
        bytes[at] ^= 1 << bit;
        bytes.truncate(bytes.len() - cut);
        let into = tempfile::tempdir().unwrap();
        if let Ok(found) = unpack_bytes(&bytes, into.path()) {
            prop_assert!(found.manifest.validate().is_ok());
        }
    }
}
