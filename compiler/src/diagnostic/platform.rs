//! `IMG3xxx`: platforms and stages.

use super::Diagnostic;
use super::names::suggest;
use crate::span::Location;
use crate::types::Pattern;

fn all(on: &[Pattern]) -> String {
    on.iter().map(|pattern| format!("`{pattern}`")).collect::<Vec<_>>().join(", ")
}

pub(crate) fn wrong_step(
    at: Location,
    kind: &str,
    platform: &Pattern,
    on: &[Pattern],
    declared: Location,
) -> Diagnostic {
    Diagnostic::error(
        "IMG3001",
        at,
        format!("`{kind}` does not run on {platform}"),
        format!("the platform here is `{platform}`"),
    )
    .label(declared, format!("it runs on {}", all(on)))
    .help("use another step kind, or narrow the platform: `match platform { … }`, or `on …` at the recipe")
}

pub(crate) fn wrong_recipe(
    at: Location,
    name: &str,
    platform: &Pattern,
    on: &[Pattern],
    declared: Location,
) -> Diagnostic {
    Diagnostic::error(
        "IMG3002",
        at,
        format!("recipe `{name}` is not for {platform}"),
        format!("the platform here is `{platform}`"),
    )
    .label(declared, format!("it is for {}", all(on)))
    .help("narrow the platform: `match platform { … }`, or `on …` at the recipe")
}

pub(crate) fn unknown_system(at: Location, system: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("IMG3003", at, format!("unknown operating system `{system}`"), "nobody knows it");
    match near {
        Some(near) => suggest(diagnostic, at, None).help(format!("did you mean `{near}`?")),
        None => diagnostic.help("edition 1 knows linux, windows, macos and freebsd"),
    }
}

pub(crate) fn unknown_distro(at: Location, distro: &str, os: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG3003", at, format!("unknown distribution `{distro}`"), "nobody knows it");
    match os {
        Some("linux") => diagnostic.help("edition 1 knows debian, redhat, suse, alpine, arch and what belongs to them"),
        Some(_) | None => diagnostic.help("only `linux` has distributions"),
    }
}

pub(crate) fn pattern_as_value(at: Location, pattern: &Pattern) -> Diagnostic {
    Diagnostic::error(
        "IMG3004",
        at,
        format!("`{pattern}` is a pattern, not a platform"),
        "holds more than one platform",
    )
    .help("write one platform, such as `linux/amd64`; patterns stand in types, after `in`, and in `match`")
}

pub(crate) fn no_platform_here(at: Location) -> Diagnostic {
    Diagnostic::error("IMG3005", at, "`platform` is only known inside a body", "no image here")
        .help("declare a param: `param target: Platform = linux/amd64`")
}

pub(crate) fn no_machine(at: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG3006",
        at,
        "this source has no machine settings",
        "images of this source are built without a machine",
    )
    .help("remove `machine`")
}
