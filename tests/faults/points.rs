//! The process ends at every fail point in turn; the next run finds the same outputs, and nothing is left.

use std::collections::BTreeSet;
use std::fs;

use crate::bed::{Bed, builds, points_in_sources, program};

/// What is run, and what was done before.
struct Scenario {
    name: &'static str,
    /// Brings a bed into the state from which the command is run.
    before: fn(&Bed),
    command: &'static [&'static str],
}

const APPLY: &[&str] = &["apply", "--format", "json"];

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "an apply from nothing", before: |_| {}, command: APPLY },
    Scenario { name: "an apply after one that died", before: die, command: APPLY },
    Scenario { name: "a lost index", before: lose_the_index, command: APPLY },
    Scenario { name: "a collection", before: build, command: &["cache", "gc", "--budget", "0"] },
    Scenario { name: "a damaged object", before: damage, command: &["cache", "verify"] },
    Scenario { name: "a clean-up", before: die, command: &["clean"] },
    Scenario { name: "an export", before: build_without_depot, command: &["cache", "export", "../depot", "--all"] },
];

fn build(bed: &Bed) {
    bed.apply();
}

fn build_without_depot(bed: &Bed) {
    bed.apply();
    crate::bed::remove(&bed.path("depot"));
}

/// Leaves what a run leaves that was killed in the middle of a step.
fn die(bed: &Bed) {
    let killed = bed.imgc(APPLY).env("IMGC_FAULT_AT", "capture.begin#2=kill").output().expect("imgc");
    assert_eq!(killed.status.code(), None, "{}", String::from_utf8_lossy(&killed.stderr));
}

fn lose_the_index(bed: &Bed) {
    bed.apply();
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(bed.cache.join(name));
    }
}

fn damage(bed: &Bed) {
    bed.apply();
    let mut objects = Vec::new();
    crate::bed::walk(&bed.cache.join("objects"), &mut |path| objects.push(path.to_owned()));
    let object = objects.iter().find(|path| path.is_file() && path.extension().is_none()).expect("an object");
    crate::flips::flip(object, 1000);
}

/// The points that a command passes, and how often.
fn passed(bed: &Bed, scenario: &Scenario) -> Vec<(String, usize)> {
    (scenario.before)(bed);
    let trace = bed.path("trace");
    fs::write(&trace, "").expect("trace");
    let output = bed.imgc(scenario.command).env("IMGC_FAULT_TRACE", &trace).output().expect("imgc");
    assert!(output.status.code().is_some(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&trace).expect("trace");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    distinct.iter().map(|name| ((*name).to_owned(), names.iter().filter(|n| *n == name).count())).collect()
}

/// Ends the command at every point that is not one of `done`; returns the points it passed.
fn die_everywhere(scenario: &Scenario, steps: usize, done: &BTreeSet<String>) -> BTreeSet<String> {
    let bed = Bed::new(&program(steps));
    bed.apply();
    let expected = bed.archive();
    bed.reset();
    let passed = passed(&bed, scenario);
    for (name, count) in passed.iter().filter(|(name, _)| !done.contains(name)) {
        // In the middle of things where it is passed often; at the first time as well in short builds.
        let middle = count.div_ceil(2);
        let times: BTreeSet<usize> = if steps > 10 { [middle].into() } else { [1, middle].into() };
        for time in times {
            bed.reset();
            (scenario.before)(&bed);
            let at = format!("{name}#{time}=kill");
            let what = format!("{}: {at}", scenario.name);
            let ended = bed.imgc(scenario.command).env("IMGC_FAULT_AT", &at).output().expect("imgc");
            // In a keeper it is the keeper that dies, which is a failure of the environment; or nothing, at its end.
            let code = ended.status.code();
            assert!(
                matches!(code, None | Some(0 | 3 | 4)),
                "{what}: {code:?}: {}",
                String::from_utf8_lossy(&ended.stderr)
            );
            bed.apply();
            assert!(bed.archive() == expected, "{what}: other bytes");
            bed.nothing_is_left(&what);
            let left = bed.must(&["clean", "--dry-run", "--format", "json"]).json();
            assert_eq!(left["effects"].as_array().map(Vec::len), Some(0), "{what}: {left}");
            assert_eq!(left["problems"].as_array().map(Vec::len), Some(0), "{what}: {left}");
        }
    }
    passed.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_build_of_thirty_steps_survives_death_at_every_point() {
    if builds() {
        die_everywhere(&SCENARIOS[0], 30, &BTreeSet::new());
    }
}

#[test]
fn whatever_goes_on_survives_death_at_every_point_and_every_point_is_passed() {
    if !builds() {
        return;
    }
    // An apply from nothing has a test of its own; what it passes is not gone through again.
    let bed = Bed::new(&program(4));
    let mut passed: BTreeSet<String> = passed(&bed, &SCENARIOS[0]).into_iter().map(|(name, _)| name).collect();
    for scenario in &SCENARIOS[1..] {
        let more = die_everywhere(scenario, 4, &passed);
        passed.extend(more);
    }
    // A keeper passes these when imgc is gone, and no trace is complete then; the scenarios pass them all the same.
    let of_keepers = ["keeper.orphaned", "keeper.cleaned"].map(str::to_owned);
    let never: Vec<String> =
        points_in_sources().into_iter().filter(|name| !passed.contains(name) && !of_keepers.contains(name)).collect();
    assert_eq!(never, Vec::<String>::new(), "fail points that no scenario passes");
}

/// A keeper that was killed between the clone of a step and the moment in which that asks to die with it.
#[test]
fn no_step_outlives_a_keeper_that_died_early() {
    if !builds() {
        return;
    }
    let tag = format!("7{}", std::process::id());
    let bed = Bed::new(&program(1).replace("echo 1 > /f", &format!("sleep {tag}")));
    let mut child = bed.imgc(APPLY).env("IMGC_FAULT_AT", "step.cloned#1=sleep:1500").spawn().expect("imgc");
    let keeper = crate::kills::keeper_of(child.id());
    // The step's first process is a child of the keeper and sleeps at the fail point.
    crate::kills::within("the step was cloned", || (!crate::kills::children(keeper).is_empty()).then_some(()));
    crate::kills::kill(keeper);
    assert_eq!(child.wait().expect("imgc").code(), Some(4));
    std::thread::sleep(std::time::Duration::from_millis(2000));
    bed.nothing_is_left("a keeper that died early");
}
