//! `IMG5xxx`: evaluation and plan.

use super::names::suggest;
use super::{Diagnostic, Severity};
use crate::evaluate::escaped;
use crate::span::Location;
use crate::types::{CheckedText, Type};
use crate::world::{Found, WorldError};

#[track_caller]
pub(crate) fn missing_param(at: Location, name: &str, ty: &Type) -> Diagnostic {
    Diagnostic::error("IMG5001", at, format!("param `{name}` has no value"), "declared without a default").help(format!(
        "give it with `--set {name}=…` ({ty}), in a file given by `--vars`, or as the environment variable `IMGC_VAR_{name}`"
    ))
}

#[track_caller]
pub(crate) fn unknown_param(
    at: Option<Location>,
    name: &str,
    origin: &str,
    near: Option<&str>,
    known: &[&str],
) -> Diagnostic {
    let message = format!("{origin} gives `{name}`, but the program has no such param");
    let (at, here) = at.map_or((Location::default(), ""), |at| (at, "given here"));
    let diagnostic = Diagnostic::error("IMG5002", at, message, here);
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic.help("the program has no params"),
        None => {
            let names: Vec<String> = known.iter().take(3).map(|name| format!("`{name}`")).collect();
            diagnostic.help(format!("its params are {}{}", names.join(", "), if known.len() > 3 { ", …" } else { "" }))
        }
    }
}

#[track_caller]
pub(crate) fn bad_argument(
    (at, param): (Option<Location>, Location),
    name: &str,
    ty: &Type,
    given: &str,
    origin: &str,
    why: &str,
) -> Diagnostic {
    let given = if given.chars().count() > 60 {
        format!("{}…", given.chars().take(60).collect::<String>())
    } else {
        given.to_owned()
    };
    let given: String = given.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let message = format!("{origin} gives `{given}` for `{name}`, which is not {ty}");
    let declared = format!("declared as {ty}");
    let diagnostic = match at {
        Some(at) => Diagnostic::error("IMG5003", at, message, "given here").label(param, declared),
        None => Diagnostic::error("IMG5003", param, message, declared),
    };
    diagnostic.help(why.to_owned())
}

#[track_caller]
pub(crate) fn predicate(at: Location, name: &str, value: &str, origin: &str) -> Diagnostic {
    Diagnostic::error("IMG5004", at, format!("`{name}` may not be {value}"), "this does not hold")
        .note(format!("the value comes from {origin}"))
}

#[track_caller]
pub(crate) fn predicate_at(at: Location, name: &str, value: &str, given: Location) -> Diagnostic {
    Diagnostic::error("IMG5004", given, format!("`{name}` may not be {value}"), "given here")
        .label(at, "this does not hold")
}

#[track_caller]
pub(crate) fn overflow(at: Location) -> Diagnostic {
    Diagnostic::error("IMG5005", at, "the result is too large or below zero", "overflows")
        .help("numbers have 64 bits; sizes and durations are never negative")
}

#[track_caller]
pub(crate) fn division_by_zero(at: Location) -> Diagnostic {
    Diagnostic::error("IMG5006", at, "division by zero", "this is divided by zero")
}

#[track_caller]
pub(crate) fn no_element(at: Location, index: &str, len: usize) -> Diagnostic {
    let label = if len == 1 { "it has 1 element".to_owned() } else { format!("it has {len} elements") };
    Diagnostic::error("IMG5007", at, format!("there is no element {index}"), label)
}

#[track_caller]
pub(crate) fn limit(at: Location, what: &str, here: &str) -> Diagnostic {
    Diagnostic::error("IMG5008", at, format!("the limit of {what} is reached"), here)
        .help("the limit is the same on every machine; make the program smaller")
}

#[track_caller]
pub(crate) fn missing_path(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error("IMG5009", at, format!("`{path}` does not exist"), "nothing is there")
        .help("paths are relative to the module that names them")
}

#[track_caller]
pub(crate) fn outside(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error("IMG5010", at, format!("`{path}` leads out of the package"), "outside the package")
        .help("move it into the package, or declare a `File` or `Dir` param and give it with `--set`")
}

#[track_caller]
pub(crate) fn absolute(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error("IMG5010", at, format!("`{path}` is an absolute path"), "outside the package")
        .help("paths are relative to the module; what lies outside comes by a `File` or `Dir` param")
}

#[track_caller]
pub(crate) fn wrong_kind(at: Location, path: &str, wanted: Found, found: Found) -> Diagnostic {
    let name = |found: Found| match found {
        Found::File => "a file",
        Found::Dir => "a directory",
        Found::Other => "neither a file nor a directory",
        Found::Missing => "missing",
    };
    let message = format!("`{path}` is {}, not {}", name(found), name(wanted));
    let diagnostic = Diagnostic::error("IMG5011", at, message, format!("expected {}", name(wanted)));
    match wanted {
        Found::File if found == Found::Dir => diagnostic.help("name a directory with `dir(…)`"),
        Found::Dir if found == Found::File => diagnostic.help("name a file with `file(…)`"),
        Found::File | Found::Dir | Found::Other | Found::Missing => diagnostic,
    }
}

#[track_caller]
pub(crate) fn unreadable(at: Location, error: &WorldError) -> Diagnostic {
    Diagnostic::error("IMG5012", at, error.to_string(), "cannot be read")
}

#[track_caller]
pub(crate) fn nul_in_file(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error("IMG5030", at, format!("`{path}` is no text: it holds a byte 0"), "read as a text here")
        .help("copy the file instead: `copy { src = file(…), dest = … }`")
}

#[track_caller]
pub(crate) fn no_outputs(path: &str) -> Diagnostic {
    Diagnostic::error(
        "IMG5013",
        Location::default(),
        format!("`{path}` has no outputs, so there is nothing to build"),
        "no `output` in this file",
    )
    .help("add one: `output name = oci.archive(image)`")
}

#[track_caller]
pub(crate) fn same_file(at: Location, file: &str, first: Location) -> Diagnostic {
    Diagnostic::error("IMG5014", at, format!("two outputs land in `{file}`"), "this one lands there too")
        .label(first, "the first one")
        .help("give one of them another name or another `file:`")
}

#[track_caller]
pub(crate) fn bad_file_name(at: Location, file: &str) -> Diagnostic {
    Diagnostic::error(
        "IMG5015",
        at,
        format!("`{}` is no file name below the output directory", escaped(file)),
        "asked for here",
    )
    .help("write a relative path without `..`")
}

#[track_caller]
pub(crate) fn same_address(at: Location, address: &str, first: Location) -> Diagnostic {
    Diagnostic::error("IMG5016", at, format!("two steps have the address `{address}`"), "this one has it too")
        .label(first, "the first one")
        .help("give one of them another label")
}

#[track_caller]
pub(crate) fn same_key(at: Location, key: &str) -> Diagnostic {
    Diagnostic::error("IMG5017", at, format!("the key `{key}` occurs twice"), "keys of images are unique")
}

#[track_caller]
pub(crate) fn bad_text(at: Location, form: CheckedText, text: &str) -> Diagnostic {
    Diagnostic::error(
        "IMG5018",
        at,
        format!("`{}` is not {}", escaped(text), form.form()),
        format!("expected {}", form.name()),
    )
}

#[track_caller]
pub(crate) fn bad_number(at: Location, ty: &Type, n: i64) -> Diagnostic {
    Diagnostic::error("IMG5018", at, format!("{n} is not a {ty}"), "out of range")
}

#[track_caller]
pub(crate) fn not_built_yet(at: Location, what: &str) -> Diagnostic {
    Diagnostic::error("IMG5019", at, format!("{what} is not built yet"), "used here")
}

#[track_caller]
pub(crate) fn bad_regex(at: Location, pattern: &str) -> Diagnostic {
    Diagnostic::error("IMG5020", at, format!("`{}` is not a regular expression", escaped(pattern)), "cannot be read")
}

#[track_caller]
pub(crate) fn internal(at: Location) -> Diagnostic {
    Diagnostic::error("IMG5021", at, "imgc could not evaluate this and does not know why", "this has no value")
        .help("this is a bug of imgc: please report it with the program")
}

#[track_caller]
pub(crate) fn no_such_file_in_dir(at: Location, dir: &str, path: &str, near: Option<&str>) -> Diagnostic {
    suggest(Diagnostic::error("IMG5009", at, format!("`{dir}` has no `{path}`"), "nothing is there"), at, near)
}

#[track_caller]
pub(crate) fn too_many(at: Location, count: usize, severity: Severity) -> Diagnostic {
    let what = if severity == Severity::Error { "errors" } else { "warnings" };
    Diagnostic { severity, ..Diagnostic::error("IMG5022", at, format!("{count} further {what} are not shown"), "") }
}
