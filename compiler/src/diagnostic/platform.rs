//! `IMG3xxx`: platforms and stages.

use super::Diagnostic;
use super::names::suggest;
use crate::evaluate::Look;
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

pub(crate) fn machine_of_another(at: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG3007",
        at,
        "this image continues another, whose machine it has",
        "the machine is that of the image in `from`",
    )
    .help("write `machine` in the image that begins with the source")
}

pub(crate) fn machine_unknown(at: Location, from: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG3008",
        at,
        "it cannot be seen here which source this is, and so not which machine it has",
        "of which type is not known",
    )
    .label(from, "the source is chosen elsewhere")
    .help("call the source in `from`, or in a `let` or `fn` that `from` names")
}

pub(crate) fn not_yet_known(at: Location, look: Look) -> Diagnostic {
    let (code, message, help) = match look {
        Look::Operator => (
            "IMG3010",
            "a value that is known once it is built cannot be compared or computed with",
            "compare in a step: put the value into a script and test it there",
        ),
        Look::Match => (
            "IMG3011",
            "a value that is known once it is built cannot decide what is built",
            "all steps are known before the first runs; take a `param` for what decides",
        ),
        Look::Key => (
            "IMG3012",
            "a value that is known once it is built cannot be a key",
            "take a key that is known already, such as a name, and make this the value",
        ),
        Look::Name => (
            "IMG3013",
            "a value that is known once it is built cannot stand in a name",
            "labels, names of files and versions are known before anything runs; write the value inside the image",
        ),
        Look::Content => (
            "IMG3014",
            "nothing can look into a value that is known once it is built",
            "copy the file into an image and read it in a step",
        ),
        Look::Form => (
            "IMG3015",
            "the form of a text cannot be tested before it is known",
            "a checked text is made of values that are known already",
        ),
    };
    Diagnostic::error(code, at, message, "is not known before the run").help(help)
}

pub(crate) fn image_path(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error("IMG3016", at, format!("`{path}` is not an absolute path in an image"), "this path")
        .help("write it from the root of the image: `/out/app`")
}

pub(crate) fn source_attribute(at: Location) -> Diagnostic {
    Diagnostic::error("IMG3017", at, "a source has no id of its own", "of a source")
        .help("take its digest, which says the same everywhere: `base.digest`")
}
