//! Small images to test with.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use imgc_oci::{ArchiveLayer, ArchiveSpec, RunConfig};
use imgc_plan::{Digest, Platform};
use imgc_store::{Entry, EntryKind, Manifest, TreePath};

pub(crate) const EPOCH: i64 = 1_700_000_000;

pub(crate) fn platform() -> Platform {
    "linux(debian)/amd64".parse().unwrap()
}

/// A layer with these files, each its own content; directories are made for them.
pub(crate) fn layer(dir: &Path, name: &str, files: &[(&str, &str)]) -> ArchiveLayer {
    let at = dir.join(name);
    let mut entries = BTreeMap::new();
    let mut add = |path: &str, kind: EntryKind, mode: u32| {
        let path = TreePath(path.into());
        let (mode, mtime) = if kind == EntryKind::Whiteout { (0, 0) } else { (mode, EPOCH - 9) };
        let entry = Entry { path: path.clone(), kind, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() };
        entries.insert(path, entry);
    };
    for (path, content) in files {
        for (slash, _) in path.match_indices('/') {
            add(&path[..slash], EntryKind::Dir { opaque: false }, 0o755);
        }
        std::fs::create_dir_all(at.join(path).parent().unwrap()).unwrap();
        if *content == "-" {
            add(path, EntryKind::Whiteout, 0);
            continue;
        }
        std::fs::write(at.join(path), content).unwrap();
        let kind = EntryKind::File { digest: Digest::of(content.as_bytes()), size: content.len() as u64 };
        add(path, kind, 0o644);
    }
    std::fs::create_dir_all(&at).unwrap();
    let manifest = Arc::new(Manifest { entries: entries.into_values().collect() });
    ArchiveLayer { manifest, dir: at, created_by: format!("sh \"{name}\"") }
}

/// An image of two layers with all of a configuration.
pub(crate) fn spec(dir: &Path) -> ArchiveSpec {
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    ArchiveSpec {
        platform: platform(),
        config: RunConfig {
            env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned()), ("A".to_owned(), "b=c".to_owned())]),
            entrypoint: text(&["/bin/site"]),
            cmd: text(&["--serve", "80"]),
            user: "33:33".to_owned(),
            workdir: "/srv".to_owned(),
            labels: BTreeMap::from([("z".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]),
            ports: text(&["80/tcp"]),
        },
        created_epoch: EPOCH,
        layers: vec![
            layer(dir, "base", &[("etc/motd", "old"), ("etc/gone", "x"), ("bin/site", "#!")]),
            layer(dir, "site", &[("etc/motd", "new"), ("etc/gone", "-"), ("srv/index.html", "<h1>")]),
        ],
        tag: Some("imgc-test:1".parse().unwrap()),
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?} ended with {status}:\n{stdout}{stderr}");
    stdout.into_owned()
}

/// Whether a program is there; says so where it is not.
pub(crate) fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    assert!(found || std::env::var_os("CI").is_none(), "{program} is not installed, but CI wants it");
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}
