//! Merged trees against the real overlayfs.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_plan::Digest;
use imgc_store::{Entry, EntryKind, LayerTree, Manifest, Merged, TreePath};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{FileType, Mode, XattrFlags};

use crate::manifests::layer;

fn on(dir: &Path, manifest: Manifest) -> LayerTree {
    LayerTree { digest: manifest.digest(), size: manifest.size(), manifest: Arc::new(manifest), dir: dir.to_owned() }
}

fn unpacked_nowhere(manifests: Vec<Manifest>) -> Vec<LayerTree> {
    manifests.into_iter().enumerate().map(|(n, manifest)| on(Path::new(&format!("/layer{n}")), manifest)).collect()
}

#[test]
fn a_merged_tree_is_what_overlayfs_shows() {
    if let Some(status) = crate::in_mount_namespace("merged::compare_with_overlayfs") {
        assert!(status.success());
    }
}

#[test]
#[ignore = "run by a_merged_tree_is_what_overlayfs_shows, in a mount namespace"]
fn compare_with_overlayfs() {
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(layer(), 1..6), |manifests| {
            let base = tempfile::tempdir().unwrap();
            // The lowest layer of a single overlay cannot stand alone.
            let empty = base.path().join("empty");
            fs::create_dir(&empty).unwrap();
            let layers: Vec<LayerTree> = manifests
                .into_iter()
                .enumerate()
                .map(|(n, manifest)| {
                    let dir = base.path().join(format!("layer{n}"));
                    unpack(&manifest, &dir);
                    on(&dir, manifest)
                })
                .collect();
            let mount = base.path().join("mount");
            fs::create_dir(&mount).unwrap();
            let lowers: Vec<String> = layers.iter().rev().map(|layer| layer.dir.display().to_string()).collect();
            let owned = if is_real_root() { "" } else { ",userxattr" };
            let options = format!("lowerdir={}:{}{owned}", lowers.join(":"), empty.display());
            let options = CString::new(options).unwrap();
            rustix::mount::mount("overlay", &mount, "overlay", rustix::mount::MountFlags::RDONLY, &*options).unwrap();
            let shown = look(&mount);
            let merged = Merged::new(&layers);
            let mut links = Vec::new();
            for merged in merged.entries() {
                if let EntryKind::Hardlink { to } = &merged.kind {
                    links.push((merged.path.on(&mount), to.on(&mount)));
                }
            }
            let ino = |path: PathBuf| fs::symlink_metadata(path).unwrap().ino();
            let linked = links.into_iter().map(|(link, first)| (ino(link), ino(first))).collect::<Vec<_>>();
            rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::empty()).unwrap();
            prop_assert_eq!(describe(&merged), shown);
            prop_assert!(linked.iter().all(|(link, first)| link == first));
            Ok(())
        })
        .unwrap();
}

/// And not of a user namespace only.
fn is_real_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn unpack(manifest: &Manifest, dir: &Path) {
    fs::create_dir(dir).unwrap();
    for entry in &manifest.entries {
        let path = entry.path.on(dir);
        match &entry.kind {
            EntryKind::Dir { opaque } => {
                fs::create_dir_all(&path).unwrap();
                if *opaque {
                    let name = if is_real_root() { "trusted.overlay.opaque" } else { "user.overlay.opaque" };
                    rustix::fs::setxattr(&path, name, b"y", XattrFlags::empty()).unwrap();
                }
            }
            EntryKind::File { size, .. } => {
                let number = u8::try_from(*size).unwrap();
                fs::write(&path, vec![b'0' + number; usize::from(number)]).unwrap();
            }
            EntryKind::Symlink { target } => symlink(std::ffi::OsStr::from_bytes(target), &path).unwrap(),
            EntryKind::Hardlink { to } => fs::hard_link(to.on(dir), &path).unwrap(),
            EntryKind::Fifo => {
                rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
            }
            EntryKind::Whiteout => {
                rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
                continue;
            }
        }
        std::os::unix::fs::lchown(&path, Some(entry.uid), Some(entry.gid)).unwrap();
        if !matches!(entry.kind, EntryKind::Symlink { .. }) {
            fs::set_permissions(&path, PermissionsExt::from_mode(entry.mode)).unwrap();
        }
    }
}

type Seen = BTreeMap<TreePath, (String, u32, u32)>;

fn describe(merged: &Merged) -> Seen {
    let describe = |entry: &Entry, host: &Path| match &entry.kind {
        EntryKind::Dir { opaque } => if *opaque { "opaque" } else { "dir" }.to_owned(),
        EntryKind::File { .. } | EntryKind::Hardlink { .. } => format!("file {}", fs::read_to_string(host).unwrap()),
        EntryKind::Symlink { target } => format!("link to {}", String::from_utf8_lossy(target)),
        EntryKind::Fifo => "fifo".to_owned(),
        EntryKind::Whiteout => "whiteout".to_owned(),
    };
    let entries = merged.entries().iter();
    entries.map(|seen| (seen.path.clone(), (describe(seen, &seen.host), seen.mode, seen.uid))).collect()
}

fn look(mount: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut paths = crate::walk(mount);
    paths.push(mount.to_owned());
    for path in paths {
        // Where no other layer has a directory, its whiteouts are listed, and not there when one looks.
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let kind = found.file_type();
        let text = if kind.is_dir() {
            "dir".to_owned()
        } else if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            format!("file {}", fs::read_to_string(&path).unwrap())
        };
        let inside = TreePath(path.strip_prefix(mount).unwrap().as_os_str().as_bytes().to_vec());
        seen.insert(inside, (text, found.mode() & 0o7777, found.uid()));
    }
    seen
}

proptest! {
    /// Squashing some layers in the middle changes nothing in what all of them show.
    #[test]
    fn squashed_layers_show_the_same(manifests in prop::collection::vec(layer(), 2..7), cut in any::<(prop::sample::Index, prop::sample::Index)>()) {
        let layers = unpacked_nowhere(manifests);
        let (a, b) = (cut.0.index(layers.len()), cut.1.index(layers.len()));
        let (low, high) = (a.min(b), a.max(b) + 1);
        let squashed = Merged::squash(&layers[low..high]).manifest();
        prop_assert_eq!(squashed.validate(), Ok(()));
        let mut fewer = layers[..low].to_vec();
        fewer.push(on(Path::new("/squashed"), squashed));
        fewer.extend_from_slice(&layers[high..]);
        let merged = Merged::new(&layers).manifest();
        prop_assert_eq!(merged.validate(), Ok(()));
        prop_assert_eq!(Merged::new(&fewer).manifest(), merged);
    }
}

#[test]
fn a_link_whose_first_name_is_hidden_is_the_file() {
    let link = |path: &str| crate::entry(path, EntryKind::Hardlink { to: "a".into() }, 0o644);
    let low = Manifest { entries: vec![crate::file("a", "shared"), link("b"), link("c")] };
    let high = Manifest { entries: vec![crate::file("a", "other")] };
    let merged = Merged::new(&unpacked_nowhere(vec![low, high]));
    let kinds: Vec<&EntryKind> = merged.entries().iter().map(|entry| &entry.kind).collect();
    let shared = EntryKind::File { digest: Digest::of(b"shared"), size: 6 };
    assert_eq!(kinds[1..], [&shared, &EntryKind::Hardlink { to: "b".into() }]);
    assert_eq!(merged.get(&"b".into()).unwrap().host, Path::new("/layer0/b"));
    assert_eq!(merged.get(&"a".into()).unwrap().layer, 1);
}

#[test]
fn sixty_layers_on_a_large_tree_merge_quickly() {
    let name = |n: usize| format!("d{:03}/f{n}", n % 500);
    let mut base = Manifest::default();
    base.entries.extend((0..500).map(|n| crate::dir(&format!("d{n:03}"), 0o755)));
    base.entries.extend((0..50_000).map(|n| crate::manifests::plain(&name(n))));
    base.sort();
    let mut manifests = vec![base];
    for layer in 0..60 {
        let mut manifest = Manifest::default();
        manifest.entries.extend((0..500).map(|n| crate::dir(&format!("d{n:03}"), 0o755)));
        manifest.entries.extend((0..500).map(|n| crate::manifests::plain(&name(n * 100 + layer))));
        manifest.sort();
        manifests.push(manifest);
    }
    let layers = unpacked_nowhere(manifests);
    let started = std::time::Instant::now();
    let merged = Merged::new(&layers);
    eprintln!("50,500 entries under 60 layers of 1,000: {:?}", started.elapsed());
    assert_eq!(merged.entries().len(), 50_500);
}
