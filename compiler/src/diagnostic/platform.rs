//! `IMG3xxx`: platforms and stages.

use super::Diagnostic;
use super::names::suggest;
use crate::evaluate::{Look, escaped};
use crate::span::Location;
use crate::types::Pattern;

fn all(on: &[Pattern]) -> String {
    on.iter().map(|pattern| format!("`{pattern}`")).collect::<Vec<_>>().join(", ")
}

/// A platform as it would have to be, where what it lacks is only which distribution it is.
fn with_distro(platform: &Pattern, on: &[Pattern]) -> Option<Pattern> {
    let fits = |on: &&Pattern| on.distro.is_some() && platform.os == on.os;
    let wanted = on.iter().find(fits).filter(|_| platform.distro.is_none())?;
    Some(Pattern { distro: wanted.distro.clone(), ..platform.clone() })
}

#[track_caller]
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

#[track_caller]
pub(crate) fn wrong_recipe(
    at: Location,
    name: &str,
    platform: &Pattern,
    on: &[Pattern],
    declared: Location,
) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        "IMG3002",
        at,
        format!("recipe `{name}` is not for {platform}"),
        format!("the platform here is `{platform}`"),
    )
    .label(declared, format!("it is for {}", all(on)));
    match with_distro(platform, on) {
        Some(exact) if exact.arch.is_some() => diagnostic.help(format!(
            "nothing says which distribution this is: say it at the source, `platform: {exact}`, or narrow it: `match platform {{ … }}`"
        )),
        Some(pattern) => diagnostic.help(format!(
            "the distribution may be any: narrow it by `match platform {{ {pattern} => {{ … }} … }}`, or by `on {pattern}` at the recipe"
        )),
        None => diagnostic.help("narrow the platform: `match platform { … }`, or `on …` at the recipe"),
    }
}

#[track_caller]
pub(crate) fn unknown_system(at: Location, system: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("IMG3003", at, format!("unknown operating system `{system}`"), "nobody knows it");
    match near {
        Some(near) => suggest(diagnostic, at, None).help(format!("did you mean `{near}`?")),
        None => diagnostic.help("edition 1 knows linux, windows, macos and freebsd"),
    }
}

#[track_caller]
pub(crate) fn unknown_distro(at: Location, distro: &str, os: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG3003", at, format!("unknown distribution `{distro}`"), "nobody knows it");
    match os {
        Some("linux") => diagnostic.help("edition 1 knows debian, redhat, suse, alpine, arch and what belongs to them"),
        Some(_) | None => diagnostic.help("only `linux` has distributions"),
    }
}

#[track_caller]
pub(crate) fn pattern_as_value(at: Location, pattern: &Pattern) -> Diagnostic {
    Diagnostic::error(
        "IMG3004",
        at,
        format!("`{pattern}` is a pattern, not a platform"),
        "holds more than one platform",
    )
    .help("write one platform, such as `linux/amd64`; patterns stand in types, after `in`, and in `match`")
}

#[track_caller]
pub(crate) fn no_platform_here(at: Location) -> Diagnostic {
    Diagnostic::error("IMG3005", at, "`platform` is only known inside a body", "no image here")
        .help("declare a param: `param target: Platform = linux/amd64`")
}

#[track_caller]
pub(crate) fn no_machine(at: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG3006",
        at,
        "this source has no machine settings",
        "images of this source are built without a machine",
    )
    .help("remove `machine`")
}

#[track_caller]
pub(crate) fn machine_of_another(at: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG3007",
        at,
        "this image continues another, whose machine it has",
        "the machine is that of the image in `from`",
    )
    .help("write `machine` in the image that begins with the source")
}

#[track_caller]
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

#[track_caller]
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

#[track_caller]
pub(crate) fn image_path(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error("IMG3016", at, format!("`{path}` is not an absolute path in an image"), "this path")
        .help("write it from the root of the image: `/out/app`")
}

#[track_caller]
pub(crate) fn source_attribute(at: Location) -> Diagnostic {
    Diagnostic::error("IMG3017", at, "a source has no id of its own", "of a source")
        .help("take its digest, which says the same everywhere: `base.digest`")
}

#[track_caller]
pub(crate) fn foreign_path(at: Location, path: &str, platform: &Pattern) -> Diagnostic {
    let is_windows = platform.os.as_deref() == Some("windows");
    let help = if is_windows {
        "a path of Windows begins with its drive: `C:/Temp/x`"
    } else {
        "only Windows has drives: write the path from the root, `/srv/x`"
    };
    let message = format!("`{}` is no path on {platform}", escaped(path));
    Diagnostic::error("IMG3018", at, message, format!("the platform here is `{platform}`")).help(help)
}
