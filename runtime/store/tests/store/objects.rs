//! Objects, and putting them where users want them.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use imgc_plan::{Digest, Sha256};
use imgc_store::place::{place, place_link};

use crate::fixture;

#[test]
fn bytes_are_found_by_both_digests() {
    let f = fixture();
    let object = f.store.insert_bytes(b"hello").unwrap();
    assert_eq!((object.digest, object.sha256, object.size), (Digest::of(b"hello"), Sha256::of(b"hello"), 5));
    assert_eq!(f.store.object(&object.digest).unwrap().as_ref(), Some(&object));
    assert_eq!(f.store.object_by_sha256(&object.sha256).unwrap().as_ref(), Some(&object));
    assert_eq!(f.store.object(&Digest::of(b"other")).unwrap(), None);
    assert_eq!(f.store.insert_bytes(b"hello").unwrap(), object);
    assert_eq!(fs::read(&object.path).unwrap(), b"hello");
}

#[test]
fn a_file_is_moved_or_copied_in() {
    let f = fixture();
    let scratch = f.store.scratch("test").unwrap();
    let content = vec![7; 3 << 20];
    let (moved, copied) = (scratch.path().join("moved"), f.dir.path().join("copied"));
    fs::write(&moved, &content).unwrap();
    fs::write(&copied, &content).unwrap();
    let object = f.store.insert_file(&moved).unwrap();
    assert_eq!((object.digest, object.sha256), (Digest::of(&content), Sha256::of(&content)));
    assert_eq!(f.store.insert_copy(&copied).unwrap(), object);
    assert!(!moved.exists() && copied.exists());
}

#[test]
fn an_object_that_somebody_wrote_to_is_a_miss() {
    let f = fixture();
    let object = f.store.insert_bytes(b"hello").unwrap();
    fs::set_permissions(&object.path, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&object.path, b"jello").unwrap();
    assert_eq!(f.store.object_by_sha256(&object.sha256).unwrap(), None);
    assert_eq!(f.store.notes().len(), 1);
    assert_eq!(f.store.insert_bytes(b"hello").unwrap().digest, object.digest);
    assert!(f.store.object(&object.digest).unwrap().is_some());
}

#[test]
fn an_object_that_was_only_touched_is_read_again_and_kept() {
    let f = fixture();
    let object = f.store.insert_bytes(b"hello").unwrap();
    fs::File::open(&object.path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(f.store.object(&object.digest).unwrap().is_some());
    fs::remove_file(object.path.with_extension("json")).unwrap();
    assert!(f.store.object(&object.digest).unwrap().is_some());
}

#[test]
fn holes_stay_holes() {
    let f = fixture();
    let disk = f.dir.path().join("disk.raw");
    let file = fs::File::create(&disk).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(b"boot", 0).unwrap();
    file.write_all_at(b"data", 40 << 20).unwrap();
    let object = f.store.insert_copy(&disk).unwrap();
    let dest = f.dir.path().join("out.raw");
    fs::write(&dest, "replaced").unwrap();
    place(&object, &dest).unwrap();
    for path in [&object.path, &dest] {
        let found = fs::metadata(path).unwrap();
        assert_eq!(found.len(), 64 << 20);
        assert!(found.blocks() * 512 < 1 << 20, "{} takes {} blocks", path.display(), found.blocks());
    }
    assert_eq!(imgc_store::hash_file(&dest).unwrap().digest, object.digest);
    assert!(fs::metadata(&dest).unwrap().permissions().mode() & 0o200 != 0, "the user may write to it");
}

#[test]
fn a_link_is_the_object_itself_and_read_only() {
    let f = fixture();
    let object = f.store.insert_bytes(b"archive").unwrap();
    let dest = f.dir.path().join("web.tar");
    for _ in 0..2 {
        place_link(&object, &dest).unwrap();
        let found = fs::metadata(&dest).unwrap();
        assert_eq!(found.ino(), fs::metadata(&object.path).unwrap().ino());
        assert_eq!(found.permissions().mode() & 0o777, 0o444);
    }
    let others: Vec<_> = fs::read_dir(f.dir.path()).unwrap().collect();
    assert_eq!(others.len(), 2, "no temporary file stays");
    assert!(f.store.object(&object.digest).unwrap().is_some(), "a link is no change");
}
