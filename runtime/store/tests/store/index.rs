//! The index: what is published is found, also after the file is lost.

use std::fs;
use std::time::{Duration, Instant};

use imgc_plan::Fingerprint;
use imgc_store::{Payload, Store, StoreError};

use crate::{fingerprint, fixture, insert, new_entry, publish};

#[test]
fn what_is_published_is_found() {
    let f = fixture();
    let (digest, _) = insert(&f.store, 0o755, &[("a", "1")]);
    publish(&f.store, &[new_entry(1, &[digest], Duration::from_millis(7)), new_entry(2, &[], Duration::ZERO)]);
    let found = f.store.entries(&[fingerprint(1), fingerprint(2), fingerprint(3)]).unwrap();
    assert_eq!(found.len(), 2);
    let entry = &found[&fingerprint(1)];
    assert_eq!(entry.payload.read::<String>().unwrap(), "payload 1");
    assert_eq!((entry.refs.as_slice(), entry.cost), ([digest].as_slice(), Duration::from_millis(7)));
    f.store.touch(&[fingerprint(1)]).unwrap();
}

#[test]
fn what_is_published_survives_a_dropped_publisher() {
    let f = fixture();
    f.store.publisher().unwrap().publish(new_entry(1, &[], Duration::ZERO));
    assert_eq!(f.store.entries(&[fingerprint(1)]).unwrap().len(), 1);
}

#[test]
fn a_lost_or_damaged_index_is_rebuilt() {
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 4] = [
        ("missing", |index| fs::remove_file(index).unwrap()),
        ("empty", |index| fs::write(index, "").unwrap()),
        ("garbage", |index| fs::write(index, vec![b'x'; 10_000]).unwrap()),
        ("overwritten", |index| {
            let mut bytes = fs::read(index).unwrap();
            bytes[100..].fill(b'x');
            fs::write(index, bytes).unwrap();
        }),
    ];
    for (name, damage) in damages {
        let f = fixture();
        let (digest, _) = insert(&f.store, 0o755, &[("a", "1")]);
        let object = f.store.insert_bytes(b"bytes").unwrap();
        publish(&f.store, &[new_entry(1, &[digest, object.digest], Duration::from_millis(7))]);
        let before = f.store.all_entries().unwrap();
        let root = f.store.root().to_owned();
        drop(f.store);
        damage(&root.join("index.sqlite"));
        let store = Store::open(&root).unwrap();
        assert_eq!(store.all_entries().unwrap(), before, "{name}");
        assert_eq!(store.object_by_sha256(&object.sha256).unwrap(), Some(object), "{name}");
        assert_eq!(store.notes().len(), 1, "{name}");
        assert_eq!(store.notes().len(), 0, "{name}");
    }
}

#[test]
fn an_index_that_is_damaged_while_open_is_rebuilt() {
    let f = fixture();
    let many: Vec<_> = (0..600).map(|number| new_entry(number, &[], Duration::ZERO)).collect();
    publish(&f.store, &many);
    let f = f.reopen();
    let index = f.store.root().join("index.sqlite");
    let mut bytes = fs::read(&index).unwrap();
    bytes[8192..].fill(0xaa);
    fs::write(&index, bytes).unwrap();
    let all: Vec<Fingerprint> = (0..600).map(fingerprint).collect();
    assert_eq!(f.store.entries(&all).unwrap().len(), 600);
    assert_eq!(f.store.notes().len(), 1);
    assert_eq!(f.reopen().store.entries(&all).unwrap().len(), 600);
}

#[test]
fn a_rebuild_that_was_killed_is_begun_again() {
    let f = fixture();
    publish(&f.store, &[new_entry(1, &[], Duration::ZERO)]);
    let root = f.store.root().to_owned();
    drop(f.store);
    fs::rename(root.join("index.sqlite"), root.join("index.new")).unwrap();
    fs::write(root.join("index.new-journal"), vec![7; 4096]).unwrap();
    let store = Store::open(&root).unwrap();
    assert_eq!(store.all_entries().unwrap().len(), 1);
    assert!(!root.join("index.new").exists() && !root.join("index.new-journal").exists());
}

#[test]
fn a_rebuilt_index_leaves_out_entries_whose_trees_are_gone() {
    let f = fixture();
    let (digest, _) = insert(&f.store, 0o755, &[("a", "1")]);
    publish(&f.store, &[new_entry(1, &[digest], Duration::ZERO), new_entry(2, &[], Duration::ZERO)]);
    imgc_store::remove_tree(f.store.tree_dir(&digest).unwrap().unwrap().parent().unwrap()).unwrap();
    fs::remove_file(f.store.root().join("index.sqlite")).unwrap();
    let f = f.reopen();
    assert_eq!(f.store.all_entries().unwrap().len(), 1);
}

#[test]
fn a_store_of_a_newer_imgc_is_left_alone() {
    let f = fixture();
    publish(&f.store, &[new_entry(1, &[], Duration::ZERO)]);
    let root = f.store.root().to_owned();
    drop(f.store);
    fs::write(root.join("version"), "2\n").unwrap();
    let before = crate::walk(&root).len();
    let error = Store::open(&root).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, .. }) && error.help().is_some());
    assert_eq!(crate::walk(&root).len(), before);
    fs::write(root.join("version"), "hello").unwrap();
    assert!(matches!(Store::open(&root), Err(StoreError::Foreign { .. })));
    fs::write(root.join("version"), "1\n").unwrap();
    assert_eq!(Store::open(&root).unwrap().all_entries().unwrap().len(), 1);
}

#[test]
fn specs_are_remembered_by_package_and_address() {
    let f = fixture();
    let spec = |text: &str| Payload::of(text).unwrap();
    f.store.remember_spec("/one", "web/sh", &spec("a")).unwrap();
    f.store.remember_spec("/one", "web/sh", &spec("b")).unwrap();
    f.store.remember_spec("/two", "web/sh", &spec("c")).unwrap();
    assert_eq!(f.store.spec("/one", "web/sh").unwrap(), Some(spec("b")));
    assert_eq!(f.store.spec("/one", "web/copy").unwrap(), None);
    assert_eq!(f.store.specs("/two").unwrap().len(), 1);
}

#[test]
fn few_of_many_and_many_of_few_are_read() {
    let f = fixture();
    let some: Vec<_> = (0..400).map(|number| new_entry(number, &[], Duration::ZERO)).collect();
    publish(&f.store, &some);
    for wanted in [0..3, 300..500, 0..110, 0..1000, 400..600] {
        let expected: Vec<u32> = wanted.clone().filter(|number| *number < 400).collect();
        let keys: Vec<Fingerprint> = wanted.map(fingerprint).collect();
        let found = f.store.entries(&keys).unwrap();
        assert_eq!(found.len(), expected.len());
        assert!(expected.iter().all(|number| found.contains_key(&fingerprint(*number))));
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -p imgc-store -- --ignored --nocapture ten_thousand"]
fn ten_thousand_entries_are_read_at_once() {
    let f = fixture();
    let many: Vec<_> = (0..10_000).map(|number| new_entry(number, &[], Duration::ZERO)).collect();
    publish(&f.store, &many);
    let wanted: Vec<Fingerprint> = (0..10_000).map(fingerprint).collect();
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(f.store.entries(&wanted).unwrap().len(), 10_000);
        eprintln!("10,000 entries: {:?}", started.elapsed());
        let started = Instant::now();
        assert_eq!(f.store.entries(&wanted[..3000]).unwrap().len(), 3000);
        eprintln!("3,000 of them: {:?}", started.elapsed());
    }
}

#[test]
fn sixty_small_layers_are_published_in_few_batches() {
    let f = fixture();
    let publisher = f.store.publisher().unwrap();
    let started = Instant::now();
    for number in 0..60 {
        let (digest, _) = insert(&f.store, 0o755, &[("token", &number.to_string())]);
        publisher.publish(new_entry(number, &[digest], Duration::ZERO));
    }
    let before_waiting = started.elapsed();
    publisher.finish().unwrap();
    eprintln!("60 small layers: {before_waiting:?}, durable after {:?}", started.elapsed());
    assert_eq!(f.store.all_entries().unwrap().len(), 60);
}
