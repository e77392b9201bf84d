//! Layers and objects that leave the machine in chunks, and come to another store.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use imgc_plan::Digest;
use imgc_store::{Depot, Entry, EntryKind, Manifest, Store, StoreError};
use rustix::fs::{CWD, FileType, Mode};

use crate::{Fixture, dir, entry, file, fixture, insert, new_entry, publish, walk};

/// The attribute that anybody may set.
const OPAQUE: &str = "user.overlay.opaque";

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

fn depot_of(f: &Fixture) -> Depot {
    Depot::make(&f.dir.path().join("depot")).unwrap()
}

fn elsewhere(f: &Fixture) -> Store {
    Store::open(&f.dir.path().join("elsewhere")).unwrap()
}

/// Every file of a depot but its version and the lists of exports.
fn files(depot: &Depot) -> Vec<PathBuf> {
    let all = ["chunks", "objects", "trees", "entries"].map(|folder| depot.root().join(folder));
    all.iter().filter(|folder| folder.is_dir()).flat_map(|folder| walk(folder)).filter(|path| path.is_file()).collect()
}

#[test]
fn what_two_versions_share_is_written_once_and_comes_back_whole() {
    let f = fixture();
    let depot = depot_of(&f);
    let old = noise(4 << 20, 7);
    let mut new = old.clone();
    // In the middle: a comparison by blocks would find nothing in common after it.
    new.splice(1_000_000..1_000_003, noise(1000, 8));
    let (old, new) = (f.store.insert_bytes(&old).unwrap(), f.store.insert_bytes(&new).unwrap());
    publish(&f.store, &[new_entry(1, &[old.digest], Duration::from_secs(1))]);
    let first = f.store.export(&f.store.all_entries().unwrap(), &depot).unwrap();
    assert_eq!((first.entries, first.pushed.sent), (1, first.pushed.chunks));
    assert!(first.pushed.bytes > old.size / 2, "{first:?}");
    publish(&f.store, &[new_entry(2, &[new.digest], Duration::from_secs(1))]);
    let second = f.store.export(&f.store.all_entries().unwrap(), &depot).unwrap();
    assert!(second.entries == 2 && second.pushed.bytes < 600_000, "{second:?}");
    assert_eq!(f.store.export(&f.store.all_entries().unwrap(), &depot).unwrap().pushed.sent, 0);
    let other = elsewhere(&f);
    let imported = other.import(&depot, OPAQUE).unwrap();
    assert_eq!((imported.entries, imported.had, imported.parts, imported.refused), (2, 0, 2, vec![]));
    for object in [&old, &new] {
        let pulled = other.object(&object.digest).unwrap().unwrap();
        assert_eq!((pulled.digest, pulled.sha256, pulled.size), (object.digest, object.sha256, object.size));
        assert_eq!(fs::read(&pulled.path).unwrap(), fs::read(&object.path).unwrap());
    }
    let again = other.import(&depot, OPAQUE).unwrap();
    assert_eq!((again.entries, again.had, again.parts), (0, 2, 0));
    assert_eq!(fs::read_dir(other.root().join("scratch")).unwrap().count(), 1, "only the owner's lock");
}

/// Everything that a layer can hold, made as a backend makes it.
fn layer_of_every_kind(f: &Fixture) -> Digest {
    let scratch = f.store.scratch("test").unwrap();
    let top = scratch.path().join("tree");
    fs::create_dir_all(top.join("closed/inner")).unwrap();
    for name in ["closed/inner/file", "empty"] {
        fs::write(top.join(name), if name == "empty" { "" } else { "content" }).unwrap();
    }
    fs::hard_link(top.join("closed/inner/file"), top.join("second")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", top.join("link")).unwrap();
    rustix::fs::mknodat(CWD, top.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut entries = vec![
        dir("", 0o755),
        Entry { mtime: 1234, ..entry("closed", EntryKind::Dir { opaque: true }, 0o555) },
        dir("closed/inner", 0o1777),
        Entry { mode: 0o4755, mtime: 99, ..file("closed/inner/file", "content") },
        file("empty", ""),
        entry("link", EntryKind::Symlink { target: b"/etc/passwd".to_vec() }, 0o777),
        entry("pipe", EntryKind::Fifo, 0o600),
        Entry { mode: 0o4755, mtime: 99, ..entry("second", EntryKind::Hardlink { to: "closed/inner/file".into() }, 0) },
    ];
    // Only root may make the device that stands for a whiteout.
    if rustix::process::geteuid().is_root() {
        rustix::fs::mknodat(CWD, top.join("gone"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        entries.push(Entry { uid: 0, gid: 0, ..entry("gone", EntryKind::Whiteout, 0) });
    }
    for entry in entries.iter().rev().filter(|entry| !matches!(entry.kind, EntryKind::Symlink { .. })) {
        if entry.kind != EntryKind::Whiteout {
            let mode = Mode::from_raw_mode(entry.mode);
            rustix::fs::chmodat(CWD, entry.path.on(&top), mode, rustix::fs::AtFlags::empty()).unwrap();
        }
    }
    let mut manifest = Manifest { entries };
    manifest.sort();
    f.store.insert_tree(&manifest, &top).unwrap()
}

#[test]
fn a_layer_comes_with_all_that_it_says() {
    let f = fixture();
    let digest = layer_of_every_kind(&f);
    publish(&f.store, &[new_entry(1, &[digest], Duration::from_secs(3))]);
    let depot = depot_of(&f);
    f.store.export(&f.store.all_entries().unwrap(), &depot).unwrap();
    let other = elsewhere(&f);
    assert_eq!(other.import(&depot, OPAQUE).unwrap().entries, 1);
    let (ours, theirs) = (f.store.tree(&digest).unwrap().unwrap(), other.tree(&digest).unwrap().unwrap());
    assert_eq!(ours.manifest, theirs.manifest);
    let mut value = [0; 8];
    let length = rustix::fs::lgetxattr(theirs.dir.join("closed"), OPAQUE, &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"y");
    let time = |name: &str| std::os::unix::fs::MetadataExt::mtime(&theirs.dir.join(name).symlink_metadata().unwrap());
    assert_eq!((time("closed"), time("second"), time("link")), (1234, 99, 0));
    assert_eq!(other.verify().unwrap().damaged, vec![]);
    let (ours, theirs) = (f.store.all_entries().unwrap(), other.all_entries().unwrap());
    assert_eq!((&ours[0].payload, ours[0].cost), (&theirs[0].payload, theirs[0].cost));
}

#[test]
fn a_depot_is_not_trusted() {
    let f = fixture();
    let object = f.store.insert_bytes(&noise(150_000, 9)).unwrap();
    let (tree, _) = insert(&f.store, 0o755, &[("one", "1"), ("two", "2")]);
    publish(&f.store, &[new_entry(1, &[object.digest, tree], Duration::ZERO)]);
    let depot = depot_of(&f);
    f.store.export(&f.store.all_entries().unwrap(), &depot).unwrap();
    let files = files(&depot);
    assert!(files.len() > 4, "{files:?}");
    let other = elsewhere(&f);
    for path in &files {
        let sound = fs::read(path).unwrap();
        let mut flipped = sound.clone();
        flipped[sound.len() / 2] ^= 1;
        for bad in [Some(flipped), Some(sound[..sound.len() / 2].to_vec()), Some(Vec::new()), None] {
            match &bad {
                Some(bad) => fs::write(path, bad).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            let imported = other.import(&depot, OPAQUE).unwrap();
            assert_eq!(imported.entries, 0, "{}", path.display());
            // An entry that is not there is missed in the list of its export.
            assert_eq!(imported.refused.len(), 1, "{}", path.display());
            assert_eq!(other.all_entries().unwrap(), vec![]);
            // What is damaged is mended by the next export.
            f.store.export(&f.store.all_entries().unwrap(), &depot).unwrap();
            assert_eq!(fs::read(path).unwrap(), sound, "{}", path.display());
        }
        // Parts that were whole came all the same; the next file is to be looked at again.
        other.remove(&imgc_store::Selection::All).unwrap();
    }
    assert_eq!(other.import(&depot, OPAQUE).unwrap().entries, 1);
    assert_eq!(fs::read_dir(other.root().join("scratch")).unwrap().count(), 1, "only the owner's lock");
}

/// A list only says what there should be: without it everything comes, and one that is damaged is told.
#[test]
fn a_damaged_list_is_told_and_costs_nothing() {
    let f = fixture();
    let object = f.store.insert_bytes(&noise(1_000, 7)).unwrap();
    publish(&f.store, &[new_entry(1, &[object.digest], Duration::ZERO)]);
    let depot = depot_of(&f);
    f.store.export(&f.store.all_entries().unwrap(), &depot).unwrap();
    let lists: Vec<PathBuf> = walk(&depot.root().join("lists")).into_iter().filter(|path| path.is_file()).collect();
    let [list] = lists.as_slice() else { panic!("{lists:?}") };
    let other = elsewhere(&f);
    fs::write(list, "{}").unwrap();
    let imported = other.import(&depot, OPAQUE).unwrap();
    assert_eq!((imported.entries, imported.refused.len()), (1, 1), "{:?}", imported.refused);
    assert!(imported.refused[0].1.contains("is damaged"), "{:?}", imported.refused);
    fs::remove_file(list).unwrap();
    let imported = other.import(&depot, OPAQUE).unwrap();
    assert_eq!((imported.had, imported.refused), (1, vec![]));
}

#[test]
fn other_directories_and_versions_are_refused_and_left_alone() {
    let f = fixture();
    let at = f.dir.path().join("mine");
    assert!(matches!(Depot::open(&at), Err(StoreError::DepotForeign { .. })));
    fs::create_dir(&at).unwrap();
    assert!(matches!(Depot::open(&at), Err(StoreError::DepotForeign { .. })));
    fs::write(at.join("letter"), "dear").unwrap();
    assert!(matches!(Depot::make(&at), Err(StoreError::DepotForeign { .. })));
    assert_eq!(fs::read_dir(&at).unwrap().count(), 1);
    fs::write(at.join("version"), "1\n").unwrap();
    assert!(matches!(Depot::make(&at), Err(StoreError::DepotForeign { .. })), "the version of a store");
    fs::write(at.join("version"), "imgc layers 2\n").unwrap();
    for refused in [Depot::make(&at), Depot::open(&at)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, StoreError::DepotVersion { found: 2, known: 1, .. }), "{error}");
        assert!(error.help().unwrap().contains("export again"));
    }
    assert_eq!(fs::read_to_string(at.join("version")).unwrap(), "imgc layers 2\n");
}

#[test]
fn what_is_damaged_at_home_does_not_leave() {
    let f = fixture();
    let (sound, _) = insert(&f.store, 0o755, &[("a", "a")]);
    let (damaged, _) = insert(&f.store, 0o755, &[("b", "b")]);
    publish(&f.store, &[new_entry(1, &[sound], Duration::ZERO), new_entry(2, &[damaged, sound], Duration::ZERO)]);
    let inside = f.store.tree(&damaged).unwrap().unwrap().dir.join("etc/b");
    fs::write(inside, "c").unwrap();
    let depot = depot_of(&f);
    let exported = f.store.export(&f.store.all_entries().unwrap(), &depot).unwrap();
    assert_eq!((exported.entries, exported.left_out.len()), (1, 1), "{exported:?}");
    assert!(f.store.tree(&damaged).unwrap().is_none(), "set aside");
    assert_eq!(elsewhere(&f).import(&depot, OPAQUE).unwrap().entries, 1);
}
