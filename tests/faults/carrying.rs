//! Layers that go to the store of another machine by `imgc cache export` and `import`: nothing is built there again,
//! only what changed goes a second time, and what is damaged, cut short or of another version is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::bed::{Bed, builds, program, remove, walk};

const STEPS: usize = 5;

/// A bed in which the program was built once and all of it exported, with what `cache export` said.
fn exported(steps: usize) -> (Bed, serde_json::Value) {
    let bed = Bed::new(&program(steps));
    bed.apply();
    let said = export(&bed);
    (bed, said)
}

fn export(bed: &Bed) -> serde_json::Value {
    bed.must(&["cache", "export", "../depot", "--all", "--format", "json"]).json()
}

fn chunks(bed: &Bed) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&bed.path("depot/chunks"), &mut |path| found.push(path.to_owned()));
    found.retain(|path| path.is_file());
    found
}

/// An apply in which nothing ran and that gave the same bytes.
fn nothing_runs(bed: &Bed, expected: &[u8], what: &str) {
    let applied = bed.apply();
    assert_eq!(applied.json()["ran"], 0, "{what}: {}", applied.out);
    assert!(bed.archive() == expected, "{what}: other bytes");
    bed.nothing_is_left(what);
}

#[test]
fn what_was_exported_is_not_built_elsewhere_and_an_edit_adds_little() {
    if !builds() {
        return;
    }
    let (bed, first) = exported(STEPS);
    let expected = bed.archive();
    assert_eq!(first["left_out"], serde_json::json!([]));
    let bytes = |said: &serde_json::Value| said["bytes"].as_u64().expect("bytes");
    assert!(bytes(&first) > 100_000, "a busybox and its archive: {first}");
    assert_eq!(export(&bed)["written"], 0, "nothing changed");

    let edited = program(STEPS).replace("text = \"5\"", "text = \"five\"");
    fs::write(bed.path("package/main.imgc"), &edited).expect("program");
    bed.apply();
    let second = export(&bed);
    assert!(bytes(&second) > 0 && bytes(&second) < bytes(&first) / 2, "first {first}, then {second}");

    for program in [program(STEPS), edited] {
        bed.reset();
        fs::write(bed.path("package/main.imgc"), &program).expect("program");
        let taken = bed.must(&["cache", "import", "../depot", "--format", "json"]).json();
        assert_eq!(taken["refused"], serde_json::json!([]));
        if program.contains("five") {
            assert_eq!(bed.apply().json()["ran"], 0);
        } else {
            nothing_runs(&bed, &expected, "another machine");
            bed.must(&["cache", "verify"]);
        }
    }
}

#[test]
fn one_address_comes_with_the_steps_below_it() {
    if !builds() {
        return;
    }
    let bed = Bed::new(&program(STEPS));
    bed.apply();
    bed.must(&["cache", "export", "../depot", "box"]);
    bed.reset();
    bed.must(&["cache", "import", "../depot"]);
    // The archive was not asked for.
    assert_eq!(bed.apply().json()["ran"], 1);
    bed.reset();
    let refused = bed.run(&["cache", "export", "../depot", "nowhere"]);
    assert!(
        refused.code == Some(1) && refused.err.contains("nothing in the store is named `nowhere`"),
        "{}",
        refused.err
    );
    let refused = bed.run(&["cache", "export", "../depot"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
}

#[test]
fn what_is_damaged_on_its_way_is_refused_and_can_be_mended() {
    if !builds() {
        return;
    }
    let (bed, _) = exported(STEPS);
    let expected = bed.archive();
    let all = chunks(&bed);
    let largest = all.iter().max_by_key(|path| fs::metadata(path).expect("chunk").len()).expect("a chunk");
    let sound = fs::read(largest).expect("chunk");
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 0x10;
    let other = bed.path("other").display().to_string();
    let import = ["cache", "import", "../depot", "--cache-dir", &other];
    for (bad, word) in [(Some(flipped), "is damaged"), (Some(sound[..9].to_vec()), "is damaged"), (None, "is missing")]
    {
        match bad {
            Some(bad) => fs::write(largest, bad).expect("chunk"),
            None => fs::remove_file(largest).expect("chunk"),
        }
        let refused = bed.run(&import);
        assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
        for part in ["refused: ", word, "cannot be used", "export them again"] {
            assert!(refused.err.contains(part), "`{part}` is not in: {}", refused.err);
        }
    }
    for (text, part) in [("imgc layers 9\n", "were exported in format 9"), ("letters\n", "holds no exported layers")] {
        fs::write(bed.path("depot/version"), text).expect("version");
        for command in [&import[..], &["cache", "export", "../depot", "--all"]] {
            let refused = bed.run(command);
            assert!(refused.code == Some(4) && refused.err.contains(part), "{}", refused.err);
        }
    }
    fs::write(bed.path("depot/version"), "imgc layers 1\n").expect("version");
    export(&bed);
    assert!(fs::read(largest).expect("chunk") == sound, "the next export mends it");
    bed.must(&import);
    bed.reset();
    fs::rename(bed.path("other"), &bed.cache).expect("the other store");
    nothing_runs(&bed, &expected, "after all");
}

/// Whatever record of it is gone: what needs it is refused by name, or is not there; nothing else is lost.
#[test]
fn a_record_that_is_gone_is_told_and_costs_what_needs_it() {
    if !builds() {
        return;
    }
    let (bed, _) = exported(3);
    let expected = bed.archive();
    let mut records = Vec::new();
    walk(&bed.path("depot"), &mut |path| records.push(path.to_owned()));
    records.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert!(records.len() >= 9, "{records:?}");
    for record in &records {
        let text = fs::read(record).expect("record");
        fs::remove_file(record).expect("record");
        bed.reset();
        let import = bed.run(&["cache", "import", "../depot"]);
        let what = record.display().to_string();
        if what.contains("/lists/") {
            // It only says what there should be, and all of that is there.
            assert_eq!(import.code, Some(0), "{what}: {}{}", import.out, import.err);
            nothing_runs(&bed, &expected, &what);
            fs::write(record, text).expect("record");
            continue;
        }
        assert_eq!(import.code, Some(3), "{what}: {}{}", import.out, import.err);
        let why =
            if what.contains("/entries/") { "its record is missing" } else { "the list of its chunks is missing" };
        for part in ["refused: ", why, "export them again"] {
            assert!(import.err.contains(part), "`{part}` is not in: {}", import.err);
        }
        let applied = bed.apply();
        assert!(applied.json()["ran"].as_u64().is_some_and(|ran| ran > 0), "{what}: {}", applied.out);
        assert!(bed.archive() == expected, "{what}: other bytes");
        fs::write(record, text).expect("record");
    }
    bed.reset();
    bed.must(&["cache", "import", "../depot"]);
    nothing_runs(&bed, &expected, "all records are there again");
}

/// Killed at every point that it passes, an import is repeated and takes what is missing.
#[test]
fn an_import_survives_death_at_every_point() {
    if !builds() {
        return;
    }
    let (bed, _) = exported(2);
    let expected = bed.archive();
    let import = ["cache", "import", "../depot"];
    bed.reset();
    let trace = bed.path("trace");
    fs::write(&trace, "").expect("trace");
    let output = bed.imgc(&import).env("IMGC_FAULT_TRACE", &trace).output().expect("imgc");
    assert!(output.status.success());
    let text = fs::read_to_string(&trace).expect("trace");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    for name in ["tree.staged", "tree.there", "object.there", "publish.synced", "index.committed"] {
        assert!(distinct.contains(name), "{name} is not passed: {distinct:?}");
    }
    for name in distinct {
        bed.reset();
        let middle = names.iter().filter(|other| **other == name).count().div_ceil(2);
        let at = format!("{name}#{middle}=kill");
        let killed = bed.imgc(&import).env("IMGC_FAULT_AT", &at).output().expect("imgc");
        assert_eq!(killed.status.code(), None, "{at}: {}", String::from_utf8_lossy(&killed.stderr));
        bed.must(&import);
        nothing_runs(&bed, &expected, &at);
    }
    remove(&bed.path("depot"));
}
