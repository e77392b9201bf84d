//! The commands as users type them. No network, no engine: programs stand on `rootfs.scratch()`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends where something does not hold, and says what it skips"
)]

#[path = "cli/apply.rs"]
mod apply;
#[path = "cli/arguments.rs"]
mod arguments;
#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/bed.rs"]
mod bed;
#[path = "cli/estimate.rs"]
mod estimate;
#[path = "cli/events.rs"]
mod events;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/graph.rs"]
mod graph;
#[path = "cli/log.rs"]
mod log;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/streams.rs"]
mod streams;

/// Typical calls with their whole output.
#[test]
fn commands_as_they_are_typed() {
    let home = tempfile::tempdir().expect("folder");
    let home = home.path().to_str().expect("UTF-8");
    trycmd::TestCases::new()
        .register_bin("imgc", std::path::Path::new(env!("CARGO_BIN_EXE_imgc")))
        .env("HOME", home)
        .env("IMGC_CACHE", format!("{home}/cache"))
        .env("XDG_STATE_HOME", format!("{home}/state"))
        .env("COLUMNS", "80")
        .case("../tests/cli/*.trycmd");
}
