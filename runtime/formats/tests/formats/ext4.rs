//! ext4 against `e2fsck` and `debugfs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use imgc_formats::ext4::{self, Ext4Error, Ext4Options};
use imgc_formats::region::Region;
use imgc_formats::tree::{Content, FileTree, Node, NodeKind};
use imgc_store::TreePath;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::{compare, oracle};

const MIB: u64 = 1 << 20;
const EPOCH: i64 = 1_700_000_000;

fn write(tree: &FileTree, size: u64, out: &Path) -> Result<(), Ext4Error> {
    let file = File::create(out).unwrap();
    file.set_len(size).unwrap();
    let options = Ext4Options { uuid: *b"0123456789abcdef", hash_seed: *b"fedcba9876543210", epoch: EPOCH };
    ext4::write(tree.clone(), &options, Region::new(&file, 0, size))
}

fn tree(nodes: impl IntoIterator<Item = (Vec<u8>, Node)>) -> FileTree {
    FileTree::new(nodes.into_iter().map(|(path, node)| (TreePath(path), node)).collect(), EPOCH).unwrap()
}

fn file(bytes: &[u8]) -> Node {
    Node::of_root(NodeKind::File(Content::Bytes(bytes.to_vec())), 0o644, EPOCH)
}

/// Written, it is clean and holds what it should.
fn round_trip(tree: &FileTree, size: u64) {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    write(tree, size, &image).unwrap();
    oracle::check_ext4(&image);
    compare::same(&image, tree, dir.path());
}

#[test]
fn all_kinds_of_nodes() {
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x07\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\
                \x10\0\x07\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    let with = |node: Node, xattrs: &[(&str, &[u8])]| Node {
        xattrs: xattrs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        ..node
    };
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice();
    let node = |kind, mode| Node { uid: 1_000_000, gid: 70_000, ..Node::of_root(kind, mode, -5) };
    let tree = tree([
        (b"".to_vec(), Node::of_root(NodeKind::Dir, 0o755, 0x2_0000_0001)),
        (b"bin/su".to_vec(), Node { mode: 0o4755, ..file(b"setuid") }),
        (b"bin/ping".to_vec(), with(file(b"ping"), &[("security.capability", capability)])),
        (b"bin/again".to_vec(), Node::of_root(NodeKind::Hardlink(TreePath(b"bin/su".to_vec())), 0o777, 0)),
        (b"empty".to_vec(), file(b"")),
        (b"acl".to_vec(), with(file(b"x"), &[("user.small", b"1"), ("user.large", &[b'v'; 3000])])),
        (b"list".to_vec(), node(NodeKind::File(Content::Bytes(vec![7; 10_000])), 0o2750)),
        (b"short".to_vec(), Node::of_root(NodeKind::Symlink(vec![b's'; 59]), 0o777, EPOCH)),
        (b"long".to_vec(), Node::of_root(NodeKind::Symlink(vec![b'l'; 60]), 0o777, EPOCH)),
        (b"longest".to_vec(), Node::of_root(NodeKind::Symlink(vec![b'm'; 4095]), 0o777, EPOCH)),
        (b"pipe".to_vec(), node(NodeKind::Fifo, 0o600)),
        (b"tmp".to_vec(), Node::of_root(NodeKind::Dir, 0o1777, EPOCH)),
    ]);
    round_trip(&tree, 64 * MIB);

    let mut with_acl = tree;
    with_acl.insert(&TreePath(b"shared".to_vec()), with(file(b"x"), &[("system.posix_acl_access", acl)])).unwrap();
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    write(&with_acl, 64 * MIB, &image).unwrap();
    oracle::check_ext4(&image);
    // debugfs gives it back in the form of getxattr(2), but where no id is meant it says 0, not -1.
    let said = oracle::debugfs(&image, "ea_get -x /shared system.posix_acl_access");
    let shown = |byte: u8| if byte == 0xff { 0 } else { byte };
    let hex = acl.iter().fold(String::new(), |text, byte| text + &format!("{:02x} ", shown(*byte)));
    assert!(said.contains(&hex), "{said}");
}

#[test]
fn names_and_depths_at_their_limits() {
    let mut nodes = vec![
        (vec![b'n'; 255], file(b"long name")),
        (b"odd/ \t\"'\\\x01\xff\xfe*".to_vec(), file(b"odd")),
        ("odd/\u{1f600}".as_bytes().to_vec(), file(b"smile")),
        ([vec![b'd'; 255], vec![b'e'; 255], vec![b'f'; 255]].join(&b'/'), file(b"deep and long")),
        (vec![vec![b'd']; 60].join(&b'/'), file(b"deep")),
    ];
    nodes.extend((0..20).map(|n| ([b"wide/".to_vec(), vec![b'a' + n; 250]].concat(), file(b""))));
    round_trip(&tree(nodes), 32 * MIB);
}

#[test]
fn a_large_directory_and_many_subdirectories() {
    let files = (0..5000).map(|n| (format!("many/file-number-{n}").into_bytes(), file(b"")));
    let dirs = (0..2000).map(|n| (format!("dirs/{n}").into_bytes(), Node::of_root(NodeKind::Dir, 0o700, EPOCH)));
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    write(&tree(files.chain(dirs)), 256 * MIB, &image).unwrap();
    oracle::check_ext4(&image);
    let listed = oracle::debugfs(&image, "ls -p /many");
    let names: BTreeSet<&str> = listed.lines().filter_map(|line| line.split('/').nth(5)).collect();
    let expected: Vec<String> = (0..5000).map(|n| format!("file-number-{n}")).collect();
    assert!(expected.iter().all(|name| names.contains(name.as_str())));
    assert_eq!(names.len(), 5002);
    assert!(oracle::debugfs(&image, "stat /dirs").contains("Links: 2002 "));
}

#[test]
fn large_files_with_and_without_holes() {
    let dir = TempDir::new().unwrap();
    let (dense, sparse) = (dir.path().join("dense"), dir.path().join("sparse"));
    let block: Vec<u8> = (0..MIB).map(|n| (n % 251) as u8 + 1).collect();
    fs::write(&dense, block.repeat(300)).unwrap();
    // Over four extents, which need a block of their own.
    let hole = File::create(&sparse).unwrap();
    hole.set_len(700 * MIB + 1).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&hole, b"end", 700 * MIB - 2).unwrap();
    let host = |path: &Path, size| {
        let content = Content::Host { path: path.to_owned(), size, digest: None };
        Node::of_root(NodeKind::File(content), 0o644, EPOCH)
    };
    let tree = tree([(b"dense".to_vec(), host(&dense, 300 * MIB)), (b"sparse".to_vec(), host(&sparse, 700 * MIB + 1))]);
    round_trip(&tree, 1200 * MIB);
}

#[test]
fn sizes_of_file_systems() {
    let tree = tree([(b"etc/hostname".to_vec(), file(b"box\n"))]);
    // One group, a last group too small to keep, several flex groups, odd ends.
    for size in
        [8 * MIB, 100 * MIB + 12_345, 128 * MIB + 8192, 129 * MIB, 2048 * MIB + 40_960, 5000 * MIB, 300_000 * MIB]
    {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image");
        write(&tree, size, &image).unwrap_or_else(|error| panic!("{size}: {error}"));
        oracle::check_ext4(&image);
    }
}

#[test]
fn many_small_files_get_inodes() {
    let tree = tree((0..30_000).map(|n| (format!("d{}/{n}", n % 100).into_bytes(), file(b""))));
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    // mke2fs would make 4096 inodes.
    write(&tree, 64 * MIB, &image).unwrap();
    oracle::check_ext4(&image);
}

#[test]
fn a_tree_that_just_fits_and_one_that_does_not() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    let of = |bytes: u64| {
        let path = dir.path().join("content");
        File::create(&path).unwrap().set_len(bytes).unwrap();
        let content = Content::Host { path, size: bytes, digest: None };
        tree([(b"all".to_vec(), Node::of_root(NodeKind::File(content), 0o644, EPOCH))])
    };
    let room = ext4::capacity(200 * MIB, 14).unwrap();
    // Root and lost+found take five blocks.
    write(&of(room - 5 * 4096), 200 * MIB, &image).unwrap();
    oracle::check_ext4(&image);
    match write(&of(room - 5 * 4096 + 1), 200 * MIB, &image) {
        Err(Ext4Error::Full { needs, leaves, .. }) => assert_eq!((needs, leaves), (room + 4096, room)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn content_that_changed_is_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("content");
    fs::write(&path, b"after").unwrap();
    let digest = imgc_plan::Digest::of(b"befor");
    for (size, digest) in [(5, Some(digest)), (4, None), (6, None)] {
        let content = Content::Host { path: path.clone(), size, digest };
        let tree = tree([(b"file".to_vec(), Node::of_root(NodeKind::File(content), 0o644, EPOCH))]);
        let error = write(&tree, 16 * MIB, &dir.path().join("image")).unwrap_err();
        assert!(error.to_string().contains("is not what it was"), "{error}");
    }
}

#[test]
fn what_ext4_cannot_hold_is_refused() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    let said = |node: Node| {
        write(&tree([(b"it".to_vec(), node)]), 16 * MIB, &image).map_err(|error| error.to_string()).unwrap_err()
    };
    let with = |name: &str, len| Node { xattrs: BTreeMap::from([(name.to_owned(), vec![1; len])]), ..file(b"") };
    assert!(said(with("user.big", 5000)).contains("larger than the 4 KiB"));
    assert!(said(with("btrfs.odd", 1)).contains("`btrfs.odd`"));
    assert!(said(with("system.posix_acl_access", 3)).contains("posix_acl_access"));
    assert!(said(Node::of_root(NodeKind::Symlink(Vec::new()), 0o777, 0)).contains("symbolic link `/it`"));
    let lost = tree([(b"lost+found".to_vec(), file(b""))]);
    assert!(matches!(write(&lost, 16 * MIB, &image), Err(Ext4Error::LostAndFound)));
    assert!(matches!(write(&lost, 4096, &image), Err(Ext4Error::LostAndFound | Ext4Error::Full { .. })));
}

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    // A line end would end the request to debugfs.
    let byte = any::<u8>().prop_map(|byte| if matches!(byte, 0 | b'/' | b'\n' | b'\r') { b'x' } else { byte });
    let short = "[a-c]{1,2}".prop_map(String::into_bytes);
    let odd = proptest::collection::vec(byte, 1..=255).prop_filter("not a name", |name| name != b"." && name != b"..");
    prop_oneof![3 => short, 1 => odd]
}

fn any_node() -> impl Strategy<Value = Node> {
    let bytes = prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 0..100),
        (1_usize..40_000, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ];
    let kind = prop_oneof![
        2 => Just(NodeKind::Dir),
        5 => bytes.prop_map(|bytes| NodeKind::File(Content::Bytes(bytes))),
        2 => "[a-z/.]{1,200}".prop_map(|target| NodeKind::Symlink(target.into_bytes())),
        1 => Just(NodeKind::Fifo),
    ];
    let xattrs = proptest::collection::btree_map("(user|security|trusted)\\.[a-z]{1,12}", "[a-z]{1,100}", 0..4);
    let time = -2_147_483_648_i64..=10_737_418_239;
    (kind, 0_u32..0o10_000, any::<u32>(), any::<u32>(), time, xattrs).prop_map(
        |(kind, mode, uid, gid, mtime, xattrs)| {
            // Readable and searchable, so that the dump is when this runs as a user.
            let mode = if matches!(kind, NodeKind::Symlink(_)) { 0o777 } else { mode | 0o700 };
            let xattrs = xattrs.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
            Node { kind, mode, uid, gid, mtime, xattrs }
        },
    )
}

fn any_tree() -> impl Strategy<Value = FileTree> {
    let path = proptest::collection::vec(any_name(), 1..5).prop_map(|names| names.join(&b'/'));
    let nodes = proptest::collection::btree_map(path, any_node(), 0..60);
    (nodes, any::<u8>()).prop_map(|(nodes, every)| {
        let mut tree = FileTree::new(BTreeMap::new(), EPOCH).unwrap();
        for (path, node) in nodes {
            // What does not fit in beside the others is left out.
            let _ = tree.insert(&TreePath(path), node);
        }
        let files = tree.nodes().filter(|(_, node)| matches!(node.kind, NodeKind::File(_) | NodeKind::Symlink(_)));
        let linked: Vec<TreePath> = files.step_by(usize::from(every % 7) + 2).map(|(path, _)| path.clone()).collect();
        for (n, to) in linked.into_iter().enumerate() {
            let link = Node::of_root(NodeKind::Hardlink(to), 0, 0);
            tree.insert(&TreePath(format!("zz/link{n}").into_bytes()), link).unwrap_or_default();
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(tree in any_tree()) {
        round_trip(&tree, 64 * MIB);
    }
}
