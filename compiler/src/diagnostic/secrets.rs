//! `IMG4xxx`: secrets.

use super::Diagnostic;
use crate::span::Location;

pub(crate) fn not_built_yet(at: Location, name: &str, place: Location) -> Diagnostic {
    Diagnostic::error("IMG4001", at, format!("secret `{name}` cannot be used: secrets are not built yet"), "used here")
        .label(place, "declared here")
        .help("a later imgc delivers secrets to steps; until then keep them out of images")
}

pub(crate) fn bad_origin(at: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG4002",
        at,
        "a secret comes from `env`, `file` or `command`",
        "not a place that secrets come from",
    )
    .help("write `from env(\"NAME\")`, `from file(\"…\")` or `from command([\"…\"])`")
}
