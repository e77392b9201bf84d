//! One bit flips in a file of the store, and its time stamps say that nothing happened.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bed::{Bed, builds, program, walk};

/// Flips a bit of the byte at `at`, or of the last one before it; the time of the change is restored.
pub(crate) fn flip(path: &Path, at: usize) {
    let meta = path.metadata().expect("file");
    let times = fs::FileTimes::new().set_modified(meta.modified().expect("time"));
    let mut bytes = fs::read(path).expect("file");
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 4;
    // Root writes to read-only files; the inode stays the same one.
    let mut file = fs::OpenOptions::new().write(true).open(path).expect("file");
    std::io::Write::write_all(&mut file, &bytes).expect("file");
    file.set_times(times).expect("time");
}

/// Everything in the store whose content is ours to vouch for.
fn content(cache: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["objects", "trees", "entries"] {
        walk(&cache.join(folder), &mut |path| {
            if path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0) {
                found.push(path.to_owned());
            }
        });
    }
    found
}

#[test]
fn every_flipped_bit_is_found_and_what_it_spoilt_is_made_again() {
    if !builds() {
        return;
    }
    let bed = Bed::new(&program(4));
    bed.apply();
    let expected = bed.archive();
    let files = content(&bed.cache);
    assert!(files.len() > 12, "{files:?}");
    for (number, path) in files.iter().enumerate() {
        flip(path, 7 + 13 * number);
        let said = bed.run(&["cache", "verify", "--format", "json"]);
        let found = said.json();
        let count = |name: &str| found[name].as_array().map_or(0, Vec::len);
        assert!(count("damaged") + count("mended") > 0, "{}: nothing found: {found}", path.display());
        assert_eq!(said.code, Some(if count("damaged") > 0 { 3 } else { 0 }), "{}", path.display());
        fs::remove_dir_all(bed.path("package/out")).expect("out");
        bed.apply();
        assert!(bed.archive() == expected, "{}: other bytes", path.display());
        let sound = bed.must(&["cache", "verify", "--format", "json"]).json();
        assert_eq!(sound["mended"].as_array().map(Vec::len), Some(0), "{}: {sound}", path.display());
        bed.must(&["cache", "rm", "--all"]);
        bed.apply();
    }
}

/// Exports read what they put in place: nobody has to verify first.
#[test]
fn a_flipped_bit_in_an_artifact_never_reaches_the_output_directory() {
    if !builds() {
        return;
    }
    let bed = Bed::new(&program(2));
    bed.apply();
    let expected = bed.archive();
    let mut objects = content(&bed.cache);
    objects.retain(|path| path.starts_with(bed.cache.join("objects")) && path.extension().is_none());
    assert_eq!(objects.len(), 1, "{objects:?}");
    flip(&objects[0], 4000);
    fs::remove_dir_all(bed.path("package/out")).expect("out");
    let said = bed.apply();
    assert!(bed.archive() == expected, "{}{}", said.out, said.err);
    assert!(said.out.contains("was set aside"), "{}{}", said.out, said.err);
}

#[test]
fn missing_trees_and_lost_sidecars_are_found() {
    if !builds() {
        return;
    }
    let bed = Bed::new(&program(4));
    bed.apply();
    let expected = bed.archive();
    let mut sidecars = content(&bed.cache);
    sidecars.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    for path in &sidecars {
        fs::remove_file(path).expect("sidecar");
    }
    let mended = bed.must(&["cache", "verify", "--format", "json"]).json();
    assert_eq!(mended["mended"].as_array().map(Vec::len), Some(sidecars.len()), "{mended}");
    assert!(sidecars.iter().all(|path| path.exists()), "sidecars are written anew");
    let tree = crate::bed::entries(&bed.cache.join("trees")).remove(0);
    fs::remove_dir_all(&tree).expect("tree");
    let said = bed.run(&["cache", "verify", "--format", "json"]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert_eq!(said.json()["missing"].as_array().map(Vec::len), Some(1), "{}", said.out);
    bed.apply();
    assert!(bed.archive() == expected);
}
