//! Whether an ext4 file system is what a tree says, asked of `debugfs`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use imgc_formats::tree::{Content, FileTree, Node, NodeKind};
use imgc_store::TreePath;

use crate::oracle;

/// Every node: kind, mode, owner, time, size, links, extended attributes, content.
pub(crate) fn same(image: &Path, tree: &FileTree, scratch: &Path) {
    let requests: Vec<_> = tree.nodes().map(|(path, _)| format!("stat {}", quoted(path))).collect();
    let answers = ask(image, scratch, &requests);
    let mut links: HashMap<TreePath, usize> = HashMap::new();
    for (path, node) in tree.nodes() {
        *links.entry(first_of(node, path)).or_default() += 1;
    }
    for ((path, node), answer) in tree.nodes().zip(answers) {
        attributes(path, node, tree, &links, &answer);
    }
    let xattrs =
        || tree.nodes().flat_map(|(path, node)| node.xattrs.iter().map(move |(name, value)| (path, name, value)));
    let requests: Vec<_> = xattrs().map(|(path, name, _)| format!("ea_get -x {} {name}", quoted(path))).collect();
    let answers = ask(image, scratch, &requests);
    for ((path, name, value), answer) in xattrs().zip(answers) {
        let hex = value.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x} "));
        assert!(
            answer.contains(&format!("{name} ({}) = {hex}\n", value.len())),
            "{path:?}: {name} is {answer}, not {hex}"
        );
    }
    let dump = scratch.join("dump");
    fs::create_dir(&dump).unwrap();
    oracle::debugfs(image, &format!("rdump / {}", oracle::text(&dump)));
    for (path, node) in tree.nodes() {
        content(&path.on(&dump), node, tree);
    }
}

/// The answers of `debugfs`, one a request.
fn ask(image: &Path, scratch: &Path, requests: &[String]) -> Vec<String> {
    let script = scratch.join("requests");
    let bytes: Vec<u8> = requests.iter().flat_map(|line| into_bytes(line).into_iter().chain([b'\n'])).collect();
    fs::write(&script, bytes).unwrap();
    let said = oracle::run_bytes("debugfs", &["-f", oracle::text(&script), oracle::text(image)]);
    let said = String::from_utf8_lossy(&said).into_owned();
    let answers: Vec<String> = said.split("debugfs: ").skip(1).map(str::to_owned).collect();
    assert_eq!(answers.len(), requests.len());
    answers
}

/// Bytes that are no UTF-8 are kept in the script by one character each.
fn quoted(path: &TreePath) -> String {
    let text: String = path.0.iter().map(|byte| char::from(*byte)).collect();
    format!("\"/{}\"", text.replace('"', "\"\""))
}

fn into_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn attributes(path: &TreePath, node: &Node, tree: &FileTree, links: &HashMap<TreePath, usize>, answer: &str) {
    let field = |name: &str| {
        let at = answer.find(name).unwrap_or_else(|| panic!("{path:?}: no {name} in {answer}"));
        answer[at + name.len()..].split_whitespace().next().unwrap()
    };
    let first = first_of(node, path);
    let node = tree.get(&first).unwrap();
    let kind = match node.kind {
        NodeKind::Dir => "directory",
        NodeKind::File(_) | NodeKind::Hardlink(_) => "regular",
        NodeKind::Symlink(_) => "symlink",
        NodeKind::Fifo => "FIFO",
    };
    assert_eq!(field("Type:"), kind, "{path:?}");
    assert_eq!(u32::from_str_radix(field("Mode:"), 8).unwrap(), node.mode, "{path:?}");
    // debugfs prints them as signed numbers.
    assert_eq!(field("User:"), node.uid.cast_signed().to_string(), "{path:?}");
    assert_eq!(field("Group:"), node.gid.cast_signed().to_string(), "{path:?}");
    assert_eq!(seconds(field("mtime: ")), node.mtime, "{path:?}");
    if !node.is_dir() {
        assert_eq!(field("Links:"), links[&first].to_string(), "{path:?}");
    }
}

fn first_of(node: &Node, path: &TreePath) -> TreePath {
    match &node.kind {
        NodeKind::Hardlink(to) => to.clone(),
        NodeKind::Dir | NodeKind::File(_) | NodeKind::Symlink(_) | NodeKind::Fifo => path.clone(),
    }
}

/// A time as `debugfs` prints it: low half, colon, nanoseconds and epoch.
fn seconds(text: &str) -> i64 {
    let (low, extra) = text.split_once(':').unwrap();
    let low = u32::from_str_radix(low.trim_start_matches("0x"), 16).unwrap();
    let extra = i64::from_str_radix(extra, 16).unwrap();
    i64::from(low.cast_signed()) + ((extra & 3) << 32)
}

fn content(dumped: &Path, node: &Node, tree: &FileTree) {
    match &node.kind {
        NodeKind::Dir => assert!(dumped.is_dir(), "{}", dumped.display()),
        NodeKind::Symlink(target) => assert_eq!(&fs::read_link(dumped).unwrap().into_os_string().into_vec(), target),
        NodeKind::File(Content::Bytes(bytes)) => assert!(&fs::read(dumped).unwrap() == bytes, "{}", dumped.display()),
        NodeKind::File(Content::Host { path, .. }) => {
            assert!(fs::read(dumped).unwrap() == fs::read(path).unwrap(), "{}", dumped.display());
        }
        NodeKind::Hardlink(to) => content(dumped, tree.get(to).unwrap(), tree),
        // Not dumped; its kind was compared.
        NodeKind::Fifo => {}
    }
}
