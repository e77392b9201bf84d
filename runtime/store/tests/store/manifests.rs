//! The canonical encoding of manifests: there and back, and bytes of enemies.

use std::collections::{BTreeMap, BTreeSet};

use imgc_plan::Digest;
use imgc_store::{Entry, EntryKind, Manifest, TreePath};
use proptest::prelude::*;

pub(crate) const NAMES: [&str; 4] = ["a", "b", "a-b", "c"];

/// What a random layer has at one path.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Dir,
    Opaque,
    File(u8),
    Symlink,
    Link,
    Fifo,
    Whiteout,
}

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        3 => Just(Shape::Dir),
        1 => Just(Shape::Opaque),
        3 => (0..4u8).prop_map(Shape::File),
        1 => Just(Shape::Symlink),
        2 => Just(Shape::Link),
        1 => Just(Shape::Fifo),
        2 => Just(Shape::Whiteout),
    ]
}

/// A layer that keeps the rules. Names are few, so that layers meet.
pub(crate) fn layer() -> impl Strategy<Value = Manifest> {
    let path = prop::collection::vec(0..NAMES.len(), 1..4);
    let at = (path, shape(), prop::sample::select(vec![0o755u32, 0o700, 0o1777]), 0..3u32);
    prop::collection::vec(at, 0..12).prop_map(|wanted| {
        let mut entries: BTreeMap<TreePath, (Shape, u32, u32)> = BTreeMap::new();
        for (parts, shape, mode, owner) in wanted {
            let names: Vec<&str> = parts.iter().map(|part| NAMES[*part]).collect();
            let blocked = (1..names.len()).any(|depth| {
                let above = TreePath::from(names[..depth].join("/").as_str());
                entries.get(&above).is_some_and(|(shape, ..)| !matches!(shape, Shape::Dir | Shape::Opaque))
            });
            let path = TreePath::from(names.join("/").as_str());
            if blocked || entries.contains_key(&path) {
                continue;
            }
            for depth in 1..names.len() {
                let above = TreePath::from(names[..depth].join("/").as_str());
                entries.entry(above).or_insert((Shape::Dir, mode, owner));
            }
            entries.insert(path, (shape, mode, owner));
        }
        finish(entries)
    })
}

fn finish(shapes: BTreeMap<TreePath, (Shape, u32, u32)>) -> Manifest {
    let mut entries = vec![Entry {
        path: TreePath::default(),
        kind: EntryKind::Dir { opaque: false },
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: BTreeMap::new(),
    }];
    let mut last_file: Option<(TreePath, u32, u32)> = None;
    for (path, (shape, mode, owner)) in shapes {
        let content = |number: u8| vec![b'0' + number; usize::from(number)];
        let (mut mode, mut owner) = (mode, owner);
        let kind = match shape {
            Shape::Dir => EntryKind::Dir { opaque: false },
            Shape::Opaque => EntryKind::Dir { opaque: true },
            Shape::File(number) => {
                last_file = Some((path.clone(), mode, owner));
                EntryKind::File { digest: Digest::of(&content(number)), size: u64::from(number) }
            }
            Shape::Symlink => {
                mode = 0o777;
                EntryKind::Symlink { target: b"a".to_vec() }
            }
            Shape::Link => match &last_file {
                Some((to, file_mode, file_owner)) => {
                    (mode, owner) = (*file_mode, *file_owner);
                    EntryKind::Hardlink { to: to.clone() }
                }
                None => EntryKind::Fifo,
            },
            Shape::Fifo => EntryKind::Fifo,
            Shape::Whiteout => {
                (mode, owner) = (0, 0);
                EntryKind::Whiteout
            }
        };
        entries.push(Entry { path, kind, mode, uid: owner, gid: owner, mtime: 0, xattrs: BTreeMap::new() });
    }
    Manifest { entries }
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_encoded(mut manifest in layer(), value in prop::collection::vec(any::<u8>(), 0..9)) {
        if let Some(entry) = manifest.entries.first_mut() {
            entry.xattrs.insert("user.test".to_owned(), value.clone());
            entry.xattrs.insert("security.capability".to_owned(), value);
            entry.mtime = -7;
        }
        let encoded = manifest.encode();
        prop_assert_eq!(Manifest::decode(&encoded), Ok(manifest.clone()));
        prop_assert_eq!(Manifest::decode(&encoded).unwrap().digest(), manifest.digest());
    }

    #[test]
    fn other_bytes_are_refused_or_mean_something_else(manifest in layer(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut encoded = manifest.encode();
        let at = at.index(encoded.len());
        encoded[at] ^= 1 << bit;
        if let Ok(other) = Manifest::decode(&encoded) {
            prop_assert_ne!(other.digest(), manifest.digest());
            prop_assert_eq!(&other.encode(), &encoded, "there is one encoding of each manifest");
        }
        prop_assert!(Manifest::decode(&encoded[..at]).is_err());
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Manifest::decode(&bytes).is_err());
        let mut longer = Manifest::default().encode();
        longer.extend(&bytes);
        prop_assert_eq!(Manifest::decode(&longer).is_ok(), bytes.is_empty());
    }

    #[test]
    fn paths_order_by_their_parts(a in "[a/\\-]{0,6}", b in "[a/\\-]{0,6}") {
        let clean = |text: &str| {
            let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
            TreePath::from(parts.join("/").as_str())
        };
        let (a, b) = (clean(&a), clean(&b));
        prop_assert_eq!(a.cmp(&b), a.parts().collect::<Vec<_>>().cmp(&b.parts().collect::<Vec<_>>()));
    }
}

#[test]
fn a_count_is_not_believed() {
    let mut encoded = Manifest::default().encode();
    let count = encoded.len() - 8;
    encoded[count..].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(Manifest::decode(&encoded).is_err());
    encoded[count..].copy_from_slice(&1_000_000_000u64.to_le_bytes());
    encoded.extend([0xff; 64]);
    assert!(Manifest::decode(&encoded).is_err());
}

#[test]
fn the_encoding_is_what_it_was() {
    // Raise MANIFEST_VERSION when this digest changes: stores of users hold trees by it.
    let manifest = Manifest { entries: vec![crate::manifests::plain("a")] };
    let known = "f94799c8682f827bc0f786875ae01624e97611cbe9a59e1b14320831f8dedc8f";
    assert_eq!(manifest.digest().to_string(), known);
}

pub(crate) fn plain(path: &str) -> Entry {
    Entry {
        path: TreePath::from(path),
        kind: EntryKind::File { digest: Digest::of(b"x"), size: 1 },
        mode: 0o4755,
        uid: 1,
        gid: 2,
        mtime: 3,
        xattrs: BTreeMap::from([("user.a".to_owned(), vec![4])]),
    }
}

#[test]
fn random_layers_are_of_all_kinds() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds = BTreeSet::new();
    for _ in 0..200 {
        let manifest = layer().new_tree(&mut runner).unwrap().current();
        manifest.validate().unwrap();
        kinds.extend(manifest.entries.iter().map(|entry| match entry.kind {
            EntryKind::Dir { opaque } => {
                if opaque {
                    "opaque"
                } else {
                    "dir"
                }
            }
            EntryKind::File { .. } => "file",
            EntryKind::Symlink { .. } => "symlink",
            EntryKind::Hardlink { .. } => "hardlink",
            EntryKind::Fifo => "fifo",
            EntryKind::Whiteout => "whiteout",
        }));
    }
    assert_eq!(kinds.len(), 7);
}
