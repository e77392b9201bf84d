//! The stat cache: never wrong, and quick.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use imgc_plan::Digest;
use imgc_store::{FileStamp, StatCache};

fn stamp(path: &Path) -> FileStamp {
    FileStamp::of(&fs::metadata(path).unwrap())
}

/// Times of change cannot be set back, so an old file is one that has been there for long.
fn old_file() -> PathBuf {
    PathBuf::from("/bin/sh")
}

#[test]
fn an_old_file_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/stat-cache");
    let file = old_file();
    let cache = StatCache::open(&path);
    assert_eq!(cache.lookup(&file, &stamp(&file)), None);
    let digest = cache.digest(&file).unwrap();
    assert_eq!(cache.lookup(&file, &stamp(&file)), Some(digest));
    cache.save().unwrap();
    let again = StatCache::open(&path);
    assert_eq!(again.lookup(&file, &stamp(&file)), Some(digest));
    assert_eq!(again.lookup(Path::new("/other"), &stamp(&file)), None);
    assert_eq!(again.lookup(&file, &stamp(dir.path())), None);
}

#[test]
fn a_fresh_file_is_read_again_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = (dir.path().join("stat-cache"), dir.path().join("file"));
    fs::write(&file, "one").unwrap();
    let cache = StatCache::open(&path);
    assert_eq!(cache.digest(&file).unwrap(), Digest::of(b"one"));
    // Same size, perhaps the same tick: no time stamp need tell.
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "two").unwrap();
    File::open(&file).unwrap().set_modified(before).unwrap();
    assert_eq!(cache.digest(&file).unwrap(), Digest::of(b"two"));
    cache.save().unwrap();
    assert_eq!(StatCache::open(&path).lookup(&file, &stamp(&file)), None, "racily clean");
}

#[test]
fn a_time_stamp_in_the_future_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "one").unwrap();
    File::open(&file).unwrap().set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    let cache = StatCache::open(&dir.path().join("stat-cache"));
    cache.digest(&file).unwrap();
    assert_eq!(cache.lookup(&file, &stamp(&file)), None);
}

#[test]
fn a_damaged_cache_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = (dir.path().join("stat-cache"), old_file());
    let cache = StatCache::open(&path);
    let digest = cache.digest(&file).unwrap();
    cache.save().unwrap();
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        fs::write(&path, &bad).unwrap();
        assert_eq!(StatCache::open(&path).lookup(&file, &stamp(&file)), None);
        fs::write(&path, &good[..at]).unwrap();
        assert_eq!(StatCache::open(&path).lookup(&file, &stamp(&file)), None);
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(StatCache::open(&path).lookup(&file, &stamp(&file)), Some(digest));
}

#[test]
fn a_missing_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(StatCache::open(&dir.path().join("cache")).digest(&dir.path().join("none")).is_err());
}

#[test]
fn a_hundred_thousand_digests_load_in_milliseconds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stat-cache");
    let known = stamp(&old_file());
    let cache = StatCache::open(&path);
    let name = |n: usize| format!("/home/somebody/project/with/folders/{}/file-{n}.txt", n % 100);
    for n in 0..100_000 {
        cache.insert(Path::new(&name(n)), &known, Digest::of(&n.to_le_bytes()), SystemTime::now());
    }
    cache.save().unwrap();
    let started = Instant::now();
    let again = StatCache::open(&path);
    eprintln!("opened after {:?}", started.elapsed());
    for n in (0..100_000).step_by(7) {
        assert_eq!(again.lookup(Path::new(&name(n)), &known), Some(Digest::of(&n.to_le_bytes())));
    }
    eprintln!("14,286 lookups after {:?}", started.elapsed());
}
