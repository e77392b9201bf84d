//! Removing: selections, budgets, and what is in use.

use std::time::Duration;

use imgc_store::{Removed, Selection, StoreError, Trimmed};

use crate::{fingerprint, fixture, insert, new_entry, publish, walk};

#[test]
fn removing_an_entry_keeps_what_others_need() {
    let f = fixture();
    let (base, _) = insert(&f.store, 0o755, &[("a", "base")]);
    let (step, _) = insert(&f.store, 0o755, &[("a", "step")]);
    publish(&f.store, &[new_entry(1, &[base], Duration::ZERO), new_entry(2, &[base, step], Duration::ZERO)]);
    let removed = f.store.remove(&Selection::Entries(vec![fingerprint(2)])).unwrap();
    assert_eq!((removed.entries, removed.trees), (1, 1));
    assert_eq!(f.store.has_trees(&[base, step]), [true, false]);
}

#[test]
fn removing_all_leaves_an_empty_store_that_works() {
    let f = fixture();
    let (digest, _) = insert(&f.store, 0o000, &[("a", "1")]);
    let object = f.store.insert_bytes(b"bytes").unwrap();
    publish(&f.store, &[new_entry(1, &[digest, object.digest], Duration::ZERO)]);
    let removed = f.store.remove(&Selection::All).unwrap();
    assert_eq!((removed.entries, removed.trees, removed.objects), (1, 1, 1));
    for folder in ["objects", "trees", "entries", "quarantine"] {
        assert_eq!(walk(&f.store.root().join(folder)), [] as [std::path::PathBuf; 0]);
    }
    insert(&f.store, 0o755, &[("a", "1")]);
    let root = f.store.root().to_owned();
    drop(f.store);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn nothing_is_taken_from_a_run() {
    let f = fixture();
    insert(&f.store, 0o755, &[("a", "1")]);
    let sharing = f.store.share().unwrap();
    let another_run = f.store.share().unwrap();
    assert_eq!(f.store.trim(0, &[]).unwrap(), Trimmed::InUse);
    assert!(matches!(f.store.remove(&Selection::All), Err(StoreError::InUse { .. })));
    assert!(matches!(f.store.verify(), Err(StoreError::InUse { .. })));
    drop((sharing, another_run));
    assert!(matches!(f.store.trim(0, &[]).unwrap(), Trimmed::Done(removed) if removed.trees == 1));
}

#[test]
fn a_trim_takes_what_is_cheapest_to_make_again() {
    let f = fixture();
    let layers: Vec<_> = ["orphan", "cheap", "dear", "kept"]
        .iter()
        .map(|name| insert(&f.store, 0o755, &[("a", name.repeat(10_000).as_str())]).0)
        .collect();
    let second = Duration::from_secs(1);
    publish(
        &f.store,
        &[
            new_entry(2, &[layers[2]], 1000 * second),
            new_entry(1, &[layers[1]], second),
            new_entry(3, &[layers[3]], second / 1000),
        ],
    );
    let usage = f.store.usage().unwrap();
    assert_eq!((usage.trees, usage.entries), (4, 3));
    let keep = [fingerprint(3)];
    assert_eq!(f.store.trim(usage.bytes(), &keep).unwrap(), Trimmed::Done(Removed::default()));
    assert!(
        matches!(f.store.trim(usage.bytes() - 1, &keep).unwrap(), Trimmed::Done(r) if (r.entries, r.trees) == (0, 1))
    );
    assert_eq!(f.store.has_trees(&layers), [false, true, true, true]);
    let left = f.store.usage().unwrap().bytes();
    assert!(matches!(f.store.trim(left - 1, &keep).unwrap(), Trimmed::Done(r) if (r.entries, r.trees) == (1, 1)));
    assert_eq!(f.store.has_trees(&layers), [false, false, true, true]);
    assert!(matches!(f.store.trim(0, &keep).unwrap(), Trimmed::Done(_)));
    assert_eq!(f.store.has_trees(&layers), [false, false, false, true]);
}

#[test]
fn the_default_budget_is_part_of_the_disk() {
    let f = fixture();
    let budget = imgc_store::default_budget(&f.store).unwrap();
    assert!(budget > 0 && budget <= 20 << 30);
}
