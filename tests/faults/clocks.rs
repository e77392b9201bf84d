//! Clocks that jump, stores that move.

use std::fs;

use crate::bed::{Bed, Said, builds, has, program};

fn at(bed: &Bed, clock: &str, args: &[&str]) -> Said {
    let output = bed
        .imgc(args)
        .env("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
        .env("FAKETIME", clock)
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .output()
        .expect("imgc");
    Said::of(&output)
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    if !builds() || !has("faketime") {
        return;
    }
    let bed = Bed::new(&program(4));
    bed.apply();
    let expected = bed.archive();
    // Far ahead, far back, before the epoch of any source, and so fast that an hour passes in a step.
    for clock in ["+4000d", "-9000d", "@1970-01-02 00:00:00", "+0 x100000"] {
        let said = at(&bed, clock, &["apply", "--format", "json"]);
        assert_eq!(said.code, Some(0), "{clock}: {}{}", said.out, said.err);
        assert_eq!(said.json()["ran"], 0, "{clock}: {}", said.out);
        bed.must(&["cache", "rm", "--all"]);
        let said = at(&bed, clock, &["apply", "--format", "json"]);
        assert_eq!(said.code, Some(0), "{clock}: {}{}", said.out, said.err);
        assert!(bed.archive() == expected, "{clock}: other bytes");
        let said = at(&bed, clock, &["cache", "gc"]);
        assert_eq!(said.code, Some(0), "{clock}: {}", said.err);
        let again = bed.apply();
        assert_eq!(again.json()["ran"], 0, "back from {clock}: {}", again.out);
        bed.nothing_is_left(clock);
    }
}

#[test]
fn a_store_that_was_moved_still_works() {
    if !builds() {
        return;
    }
    let mut bed = Bed::new(&program(4));
    bed.apply();
    let moved = bed.path("elsewhere/store");
    fs::create_dir(bed.path("elsewhere")).expect("folder");
    fs::rename(&bed.cache, &moved).expect("move");
    bed.cache = moved;
    fs::remove_dir_all(bed.path("package/out")).expect("out");
    let said = bed.apply();
    assert_eq!(said.json()["ran"], 0, "{}", said.out);
    bed.must(&["cache", "verify"]);
    // The same one by a path that counts from the current directory, and one that ends in a slash.
    for name in ["../elsewhere/store", "../elsewhere/./store/"] {
        let output = bed.imgc(&["apply", "--format", "json"]).env("IMGC_CACHE", name).output().expect("imgc");
        let said = Said::of(&output);
        assert_eq!((said.code, said.json()["ran"].as_u64()), (Some(0), Some(0)), "{name}: {}{}", said.out, said.err);
    }
    assert!(!bed.path("package/..").join("package/elsewhere").exists());
}
