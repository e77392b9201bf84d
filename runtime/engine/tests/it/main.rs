//! The engine's suite: each case on each bed that it makes sense on.
//!
//! A case knows nothing of the bed but what [`bed::Kind`] tells. Where one is left out the reason stands beside it, in
//! `NOT_ON`: nothing is left out because it fails.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests, though with a main of their own: one that fails here fails as it should"
)]

mod bed;
mod caching;
mod critical;
mod failing;
mod fake;
mod far;
mod journal;
mod outputs;
mod pinned;
mod policies;
mod random;
mod real;
mod remote;
mod scheduling;
mod telling;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use crate::bed::Kind;

/// A case: its name, and what it does on a bed.
pub(crate) type Case = (&'static str, fn(Kind));

/// The cases of a module by the names of their functions.
macro_rules! cases {
    (async $($case:ident),* $(,)?; plain $($plain:ident),* $(,)?) => {
        pub(crate) const CASES: &[crate::Case] = &[
            $((stringify!($case), |kind| crate::bed::block_on(kind, $case(kind))),)*
            $((stringify!($plain), $plain),)*
        ];
    };
}
pub(crate) use cases;

const ALL: [(&str, &[Case]); 11] = [
    ("caching", caching::CASES),
    ("critical", critical::CASES),
    ("failing", failing::CASES),
    ("far", far::CASES),
    ("journal", journal::CASES),
    ("outputs", outputs::CASES),
    ("pinned", pinned::CASES),
    ("policies", policies::CASES),
    ("random", random::CASES),
    ("scheduling", scheduling::CASES),
    ("telling", telling::CASES),
];

/// Where cases make no sense, and why.
const NOT_ON: &[(&str, &[Kind], &str)] = &[
    ("a_step_that_does_not_repeat_is_a_finding", &NOT_CONTENT, "a state that is made does not tell what a step left"),
    ("of_two_equal_images_one_is_built", &[Kind::Dear], "a step that costs less than its layer is done by each"),
    ("a_pin_of_the_lock_is_told_with_what_it_was", &[Kind::Dear], "what stands on the source was not kept"),
    ("a_parked_machine_outlives_the_trim_of_a_run_beside_it", &NOT_ROOTFS, "it keeps no trees in the store"),
    ("an_evicted_layer_is_made_again_and_what_follows_is_found", &[Kind::Dear], "the layer was never kept"),
    (
        "a_run_takes_as_long_as_an_ideal_list_schedule",
        &NOT_LOCAL,
        "time stands still but for what steps are said to take",
    ),
    ("dear_layers_are_kept_only_where_they_are_worth_it", &Kind::FREE, "every layer is kept"),
    ("layers_that_cost_nothing_are_all_kept", &NOT_FAR, "commits are counted at the other end"),
    ("what_two_images_have_in_common_is_kept_for_the_second", &Kind::FREE, "every layer is kept"),
    (
        "a_failed_machine_is_thrown_away_kept_or_tried_again",
        &Kind::FREE,
        "its second half is about steps without layers",
    ),
    ("limits_of_machines_hold_and_nothing_waits_for_ever", &NO_MACHINES, "what it opens counts as no machine"),
    ("a_machine_opens_where_no_layer_is_once_its_steps_ran_again", &Kind::FREE, "every layer is kept"),
    (
        "the_end_of_a_run_is_known_from_the_last_one",
        &[Kind::Rootfs],
        "how long its steps take is not known to the test",
    ),
    ("an_edit_runs_exactly_what_it_must", &NOT_LOCAL, "its model knows the layers of this bed only"),
    ("two_engines_on_one_store_build_a_step_once", &[Kind::Dear], "a step without a layer is done by each"),
    ("ten_thousand_steps_are_forecast_fast", &NOT_LOCAL, "a forecast of nothing known asks no backend"),
    ("names_are_found_or_the_nearest_are_told", &NOT_LOCAL, "no backend is asked"),
    (
        "what_follows_a_changed_parent_is_told",
        &[Kind::Local, Kind::Rootfs],
        "what comes of the parent is not known yet",
    ),
    ("a_renamed_step_is_told", &NOT_CONTENT, "it stands on another state, and is another step"),
];

const NOT_CONTENT: [Kind; 3] = [Kind::Made, Kind::Far, Kind::Dear];
const NOT_LOCAL: [Kind; 4] = [Kind::Made, Kind::Far, Kind::Dear, Kind::Rootfs];
const NOT_ROOTFS: [Kind; 4] = [Kind::Local, Kind::Made, Kind::Far, Kind::Dear];
const NOT_FAR: [Kind; 4] = [Kind::Local, Kind::Made, Kind::Dear, Kind::Rootfs];
const NO_MACHINES: [Kind; 3] = [Kind::Local, Kind::Made, Kind::Rootfs];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(imgc_rootfs::step_init::ARGUMENT) {
        return imgc_rootfs::step_init::main();
    }
    let arguments = Arguments::from_args();
    // Threads must not exist yet; who only asks for the list needs nothing of it.
    let lacking = if arguments.list { None } else { lacking() };
    libtest_mimic::run(&arguments, trials(lacking.as_ref())).exit_code()
}

/// What rootfs lacks here.
fn lacking() -> Option<String> {
    if !std::path::Path::new("/bin/busybox").exists() {
        return Some("it needs the Debian package busybox-static".to_owned());
    }
    imgc_rootfs::enter().err().map(|error| format!("{error}: {}", error.help.as_deref().unwrap_or_default()))
}

fn trials(lacking: Option<&String>) -> Vec<Trial> {
    let all: Vec<&str> = ALL.iter().flat_map(|(_, cases)| cases.iter().map(|(name, _)| *name)).collect();
    for (name, kinds, why) in NOT_ON {
        assert!(all.contains(name) && kinds.len() < Kind::ALL.len() && !why.is_empty(), "{name}");
    }
    let mut trials = Vec::new();
    for (module, (name, case)) in ALL.iter().flat_map(|(module, cases)| cases.iter().map(move |case| (module, case))) {
        for kind in Kind::ALL {
            let lacking = lacking.filter(|_| kind == Kind::Rootfs).cloned();
            let leaves_out = |(left_out, kinds, _): &&(&str, &[Kind], &str)| left_out == name && kinds.contains(&kind);
            if NOT_ON.iter().any(|left_out| leaves_out(&left_out)) {
                continue;
            }
            let run = move || {
                run(kind, *case, lacking);
                Ok(())
            };
            trials.push(Trial::test(format!("{module}::{name}::{}", kind.name()), run));
        }
    }
    trials
}

fn run(kind: Kind, case: fn(Kind), lacking: Option<String>) {
    match lacking {
        None => case(kind),
        Some(lacking) => {
            assert!(std::env::var_os("CI").is_none(), "CI must be able to make namespaces: {lacking}");
            eprintln!("SKIPPED: {lacking}");
        }
    }
}
