//! Layers: in, out, torn, damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use imgc_store::{EntryKind, Manifest, StoreError};

use crate::{dir, entry, file, fixture, insert, new_entry, publish, walk};

#[test]
fn a_layer_comes_back_as_it_went_in() {
    let f = fixture();
    let (digest, manifest) = insert(&f.store, 0o755, &[("passwd", "root"), ("group", "wheel")]);
    let tree = f.store.tree(&digest).unwrap().unwrap();
    assert_eq!((&*tree.manifest, tree.digest, tree.size), (&manifest, manifest.digest(), 9));
    assert_eq!(fs::read_to_string(tree.dir.join("etc/passwd")).unwrap(), "root");
    assert_eq!(f.store.has_trees(&[digest, imgc_plan::Digest::of(b"no")]), [true, false]);
    assert!(walk(&f.store.root().join("scratch")).iter().all(|path| path.extension().unwrap() == "lock"));
}

#[test]
fn equal_layers_are_kept_once() {
    let f = fixture();
    let (first, _) = insert(&f.store, 0o755, &[("a", "1")]);
    let (second, _) = insert(&f.store, 0o755, &[("a", "1")]);
    assert_eq!(first, second);
    assert_eq!(f.store.usage().unwrap().trees, 1);
}

#[test]
fn a_manifest_that_breaks_rules_is_refused() {
    let f = fixture();
    let up = |path: &str| Manifest { entries: vec![file(path, "x")] };
    let bad = [
        up("a/../b"),
        up("missing/parent"),
        Manifest { entries: vec![file("b", "x"), file("a", "x")] },
        Manifest { entries: vec![file("a", "x"), file("a", "x")] },
        Manifest { entries: vec![dir("a", 0o10000)] },
        Manifest { entries: vec![entry("a", EntryKind::Hardlink { to: "b".into() }, 0o644), file("b", "x")] },
        Manifest { entries: vec![entry("", EntryKind::Fifo, 0o644)] },
    ];
    for manifest in bad {
        let scratch = f.store.scratch("test").unwrap();
        let result = f.store.insert_tree(&manifest, scratch.path());
        assert!(matches!(result, Err(StoreError::Manifest { .. })), "{manifest:?}");
    }
}

#[test]
fn a_layer_with_unreadable_directories_can_be_inserted_and_removed() {
    let f = fixture();
    let (digest, _) = insert(&f.store, 0o000, &[("shadow", "secret")]);
    assert!(f.store.tree(&digest).unwrap().is_some());
    f.store.remove(&imgc_store::Selection::All).unwrap();
    assert_eq!(f.store.usage().unwrap(), imgc_store::Usage::default());
    assert!(walk(&f.store.root().join("trees")).is_empty());
}

#[test]
fn scratch_goes_with_its_owner_however_it_looks() {
    let f = fixture();
    let scratch = f.store.scratch("un/usual name").unwrap();
    let path = scratch.path().to_owned();
    fs::create_dir_all(path.join("a/b")).unwrap();
    fs::set_permissions(path.join("a"), PermissionsExt::from_mode(0o000)).unwrap();
    assert_eq!(f.store.sweep().unwrap().removed, 0, "its owner lives");
    drop(f.store);
    assert!(path.exists(), "scratch may outlive the store");
    drop(scratch);
    assert!(!path.exists());
}

#[test]
fn a_layer_is_marked_until_it_is_on_the_disk() {
    let f = fixture();
    let (digest, _) = insert(&f.store, 0o755, &[("a", "1")]);
    let tree = f.store.tree_dir(&digest).unwrap().unwrap();
    let manifest = tree.with_file_name("manifest");
    assert!(!manifest.exists());
    publish(&f.store, &[new_entry(1, &[digest], std::time::Duration::ZERO)]);
    assert!(manifest.exists());
}

#[test]
fn a_layer_of_another_boot_is_read_before_it_is_used() {
    let f = fixture();
    let (whole, _) = insert(&f.store, 0o755, &[("a", "1")]);
    let (torn, _) = insert(&f.store, 0o755, &[("a", "2")]);
    for digest in [whole, torn] {
        let tree = f.store.tree_dir(&digest).unwrap().unwrap();
        let files = walk(tree.parent().unwrap());
        let manifest = files.iter().find(|path| path.to_str().unwrap().contains("/manifest-")).unwrap();
        fs::rename(manifest, tree.with_file_name("manifest-another-boot")).unwrap();
        if digest == torn {
            fs::write(tree.join("etc/a"), "").unwrap();
        }
    }
    assert!(f.store.tree(&whole).unwrap().is_some());
    assert!(f.store.tree(&torn).unwrap().is_none());
    assert_eq!(f.store.notes().len(), 1);
    assert_eq!(f.store.usage().unwrap().quarantined, 1);
    // The step runs again, and what it leaves takes the free place.
    let (again, _) = insert(&f.store, 0o755, &[("a", "2")]);
    assert!(again == torn && f.store.tree(&torn).unwrap().is_some());
}

#[test]
fn a_flipped_bit_with_the_old_time_is_found_by_verify() {
    let f = fixture();
    let (good, _) = insert(&f.store, 0o755, &[("a", "good")]);
    let (bad, _) = insert(&f.store, 0o755, &[("a", "evil")]);
    let object = f.store.insert_bytes(b"object").unwrap();
    publish(
        &f.store,
        &[
            new_entry(1, &[good], std::time::Duration::ZERO),
            new_entry(2, &[good, bad], std::time::Duration::ZERO),
            new_entry(3, &[object.digest], std::time::Duration::ZERO),
        ],
    );
    assert_eq!(f.store.verify().unwrap().damaged, []);
    let flip = |path: &std::path::Path| {
        let before = fs::metadata(path).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        let mut bytes = fs::read(path).unwrap();
        bytes[0] ^= 1;
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, before.permissions()).unwrap();
        fs::File::open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    };
    flip(&f.store.tree(&bad).unwrap().unwrap().dir.join("etc/a"));
    flip(&object.path);
    let verified = f.store.verify().unwrap();
    assert_eq!(verified.damaged.iter().map(|damage| damage.digest).collect::<Vec<_>>(), [object.digest, bad]);
    let mut dropped = verified.dropped;
    dropped.sort();
    let mut expected = [crate::fingerprint(2), crate::fingerprint(3)];
    expected.sort();
    assert_eq!(dropped, expected);
    assert!(f.store.tree(&bad).unwrap().is_none());
    assert!(f.store.object(&object.digest).unwrap().is_none());
    assert!(f.store.tree(&good).unwrap().is_some());
    assert_eq!(f.store.entries(&[crate::fingerprint(1), crate::fingerprint(2)]).unwrap().len(), 1);
    assert_eq!(f.store.verify().unwrap().damaged, []);
}

#[test]
fn a_file_that_does_not_belong_there_is_damage() {
    let f = fixture();
    let (digest, _) = insert(&f.store, 0o755, &[("a", "1")]);
    fs::write(f.store.tree_dir(&digest).unwrap().unwrap().join("etc/b"), "x").unwrap();
    assert_eq!(f.store.verify().unwrap().damaged.len(), 1);
}
