//! Several processes on one store.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use imgc_store::Store;

use crate::{fixture, insert, new_entry, other_process};

const ROOT: &str = "IMGC_TEST_STORE";

fn root() -> PathBuf {
    PathBuf::from(std::env::var_os(ROOT).unwrap())
}

#[test]
fn processes_publish_to_one_store_at_a_time() {
    let f = fixture();
    let root = f.store.root();
    let children: Vec<_> =
        (0..3).map(|_| other_process("processes::publish_forty").env(ROOT, root).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(f.store.all_entries().unwrap().len(), 40);
    assert_eq!(f.store.usage().unwrap().trees, 40);
    let verified = f.store.verify().unwrap();
    assert_eq!((verified.read, verified.damaged.len(), verified.dropped.len()), (40, 0, 0));
}

#[test]
#[ignore = "run by processes_publish_to_one_store_at_a_time"]
fn publish_forty() {
    let store = Store::open(&root()).unwrap();
    let publisher = store.publisher().unwrap();
    for number in 0..40 {
        let _lease = store.lease("shared work").unwrap();
        let (digest, _) = insert(&store, 0o755, &[("a", &number.to_string())]);
        publisher.publish(new_entry(number, &[digest], Duration::ZERO));
    }
    publisher.finish().unwrap();
}

#[test]
fn the_scratch_and_leases_of_a_killed_process_go() {
    let f = fixture();
    let mut child =
        other_process("processes::hold_until_killed").env(ROOT, f.store.root()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = lines.find_map(|line| line.unwrap().split_once("HELD ").map(|(_, path)| path.to_owned())).unwrap();
    assert_eq!(f.store.sweep().unwrap().removed, 0);
    assert!(f.store.try_lease("held").unwrap().is_none());
    assert!(Path::new(&held).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let swept = f.store.sweep().unwrap();
    assert_eq!((swept.removed, swept.left.len()), (1, 0));
    assert!(!Path::new(&held).exists());
    assert!(f.store.try_lease("held").unwrap().is_some());
    let left = crate::walk(&f.store.root().join("scratch"));
    assert!(left.iter().all(|path| path.to_str().unwrap().contains(&format!("/{}-", std::process::id()))), "{left:?}");
}

#[test]
#[ignore = "run by the_scratch_and_leases_of_a_killed_process_go"]
fn hold_until_killed() {
    let store = Store::open(&root()).unwrap();
    let scratch = store.scratch("held").unwrap();
    std::fs::create_dir(scratch.path().join("content")).unwrap();
    let _lease = store.lease("held").unwrap();
    println!("HELD {}", scratch.path().display());
    std::thread::park();
}

#[test]
fn a_lease_is_held_once() {
    let f = fixture();
    let lease = f.store.lease("a/b c").unwrap();
    assert!(f.store.try_lease("a/b c").unwrap().is_none());
    assert!(f.store.try_lease("other").unwrap().is_some());
    drop(lease);
    assert!(f.store.try_lease("a/b c").unwrap().is_some());
    assert!(
        crate::walk(&f.store.root().join("locks"))
            .iter()
            .all(|path| path.ends_with("users") || path.ends_with("index"))
    );
}

#[test]
fn waiting_for_a_lease_ends_with_having_it() {
    let f = fixture();
    let counter = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let _lease = f.store.lease("counter").unwrap();
                    let seen = counter.load(std::sync::atomic::Ordering::Relaxed);
                    std::thread::yield_now();
                    counter.store(seen + 1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(counter.into_inner(), 200);
}
