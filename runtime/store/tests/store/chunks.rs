//! Objects that leave the machine in chunks, and come back.

use std::fs;

use imgc_plan::Digest;
use imgc_store::Store;

use crate::fixture;

/// Bytes without any pattern that a cut could depend on.
fn noise(count: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

#[test]
fn what_two_versions_share_is_sent_once_and_comes_back_whole() {
    let f = fixture();
    let depot = f.dir.path().join("depot");
    let old = noise(4 << 20, 7);
    let mut new = old.clone();
    // In the middle: a comparison by blocks would find nothing in common after it.
    new.splice(1_000_000..1_000_003, noise(1000, 8));
    let (old, new) = (f.store.insert_bytes(&old).unwrap(), f.store.insert_bytes(&new).unwrap());
    let first = f.store.push(&old.digest, &depot).unwrap().unwrap();
    assert_eq!((first.sent, first.bytes), (first.chunks, old.size));
    let second = f.store.push(&new.digest, &depot).unwrap().unwrap();
    assert!(second.bytes < 600_000, "{second:?}");
    assert_eq!(f.store.push(&new.digest, &depot).unwrap().unwrap().sent, 0);
    let elsewhere = Store::open(&f.dir.path().join("elsewhere")).unwrap();
    for object in [&old, &new] {
        let pulled = elsewhere.pull(&object.digest, &depot).unwrap().unwrap();
        assert_eq!((pulled.digest, pulled.sha256, pulled.size), (object.digest, object.sha256, object.size));
        assert_eq!(fs::read(&pulled.path).unwrap(), fs::read(&object.path).unwrap());
    }
    assert_eq!(fs::read_dir(f.dir.path().join("elsewhere/scratch")).unwrap().count(), 1, "only the owner's lock");
}

#[test]
fn a_depot_is_not_trusted() {
    let f = fixture();
    let object = f.store.insert_bytes(&noise(300_000, 9)).unwrap();
    let nothing = Digest::of(b"nothing");
    let depot = f.dir.path().join("depot");
    assert_eq!(f.store.push(&nothing, &depot).unwrap(), None);
    f.store.push(&object.digest, &depot).unwrap().unwrap();
    let elsewhere = Store::open(&f.dir.path().join("elsewhere")).unwrap();
    assert_eq!(elsewhere.pull(&nothing, &depot).unwrap(), None);
    let mut files = Vec::new();
    for folder in ["chunks", "objects"] {
        for shard in fs::read_dir(depot.join(folder)).unwrap() {
            files.extend(fs::read_dir(shard.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(files.len() > 2);
    for path in &files {
        let sound = fs::read(path).unwrap();
        let mut flipped = sound.clone();
        flipped[sound.len() / 2] ^= 1;
        for bad in [flipped, sound[..sound.len() / 2].to_vec(), Vec::new()] {
            fs::write(path, bad).unwrap();
            assert_eq!(elsewhere.pull(&object.digest, &depot).unwrap(), None, "{}", path.display());
        }
        fs::remove_file(path).unwrap();
        assert_eq!(elsewhere.pull(&object.digest, &depot).unwrap(), None, "{}", path.display());
        fs::write(path, sound).unwrap();
    }
    assert!(elsewhere.pull(&object.digest, &depot).unwrap().is_some());
}
