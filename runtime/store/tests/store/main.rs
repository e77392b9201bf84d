//! The store as its users see it: real directories, processes, mounts.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a helper of tests that fails is a failing test"
)]

mod collect;
mod depots;
mod index;
mod layers;
mod manifests;
mod merged;
mod mounts;
mod objects;
mod processes;
mod stat_cache;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use imgc_plan::{Digest, Fingerprint};
use imgc_store::{Entry, EntryKind, Manifest, NewEntry, Payload, Store, TreePath};

/// A store in a directory of its own.
struct Fixture {
    store: Store,
    dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    Fixture { store: Store::open(&dir.path().join("cache")).unwrap(), dir }
}

impl Fixture {
    fn reopen(self) -> Self {
        let Self { store, dir } = self;
        let root = store.root().to_owned();
        drop(store);
        Self { store: Store::open(&root).unwrap(), dir }
    }
}

fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Entry { path: TreePath::from(path), kind, mode, uid, gid, mtime: 0, xattrs: BTreeMap::new() }
}

fn dir(path: &str, mode: u32) -> Entry {
    entry(path, EntryKind::Dir { opaque: false }, mode)
}

fn file(path: &str, content: &str) -> Entry {
    let kind = EntryKind::File { digest: Digest::of(content.as_bytes()), size: content.len() as u64 };
    entry(path, kind, 0o644)
}

/// Inserts a layer of files, all in the directory `etc` of the given mode.
fn insert(store: &Store, dir_mode: u32, files: &[(&str, &str)]) -> (Digest, Manifest) {
    let scratch = store.scratch("test").unwrap();
    let top = scratch.path().join("tree");
    fs::create_dir_all(top.join("etc")).unwrap();
    let mut manifest = Manifest { entries: vec![dir("", 0o755), dir("etc", dir_mode)] };
    for (name, content) in files {
        let path = format!("etc/{name}");
        fs::write(top.join(&path), content).unwrap();
        fs::set_permissions(top.join(&path), PermissionsExt::from_mode(0o644)).unwrap();
        manifest.entries.push(file(&path, content));
    }
    symlink("nowhere", top.join("link")).unwrap();
    manifest.entries.push(entry("link", EntryKind::Symlink { target: b"nowhere".to_vec() }, 0o777));
    fs::set_permissions(top.join("etc"), PermissionsExt::from_mode(dir_mode)).unwrap();
    fs::set_permissions(&top, PermissionsExt::from_mode(0o755)).unwrap();
    manifest.sort();
    (store.insert_tree(&manifest, &top).unwrap(), manifest)
}

fn fingerprint(number: u32) -> Fingerprint {
    Fingerprint(Digest::of(&number.to_le_bytes()).0)
}

fn new_entry(number: u32, refs: &[Digest], cost: Duration) -> NewEntry {
    let payload = Payload::of(&format!("payload {number}")).unwrap();
    NewEntry { fingerprint: fingerprint(number), payload, refs: refs.to_vec(), size: 1, cost }
}

fn publish(store: &Store, entries: &[NewEntry]) {
    let publisher = store.publisher().unwrap();
    for entry in entries {
        publisher.publish(entry.clone());
    }
    publisher.finish().unwrap();
}

/// This test binary, to run one ignored test in another process.
fn other_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command
}

/// Runs one ignored test in a mount namespace of its own, as root of a user namespace where we are not root; nothing
/// where that is not possible.
fn in_mount_namespace(test: &str) -> Option<ExitStatus> {
    let mut unshare = vec!["--mount", "--propagation", "private"];
    if !rustix::process::geteuid().is_root() {
        unshare.extend(["--map-root-user", "--map-auto"]);
    }
    let possible = Command::new("unshare").args(&unshare).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED {test}: needs `unshare {}`", unshare.join(" "));
        return None;
    }
    let inner = other_process(test);
    let mut command = Command::new("unshare");
    command.args(&unshare).arg(inner.get_program()).args(inner.get_args());
    Some(command.status().unwrap())
}

/// Every path below `dir`.
fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for child in fs::read_dir(dir).unwrap() {
        let path = child.unwrap().path();
        if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}
