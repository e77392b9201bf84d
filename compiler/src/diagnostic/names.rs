//! `IMG1xxx`: names, modules and imports.

use super::{Applicability, Diagnostic};
use crate::span::{Location, Span};
use crate::world::WorldError;

/// Adds "did you mean" with its fix, where there is a near name.
#[track_caller]
pub(crate) fn suggest(diagnostic: Diagnostic, at: Location, near: Option<&str>) -> Diagnostic {
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")).fix(
            format!("write `{near}`"),
            Applicability::Maybe,
            vec![(at, near.to_owned())],
        ),
        None => diagnostic,
    }
}

#[track_caller]
pub(crate) fn unreadable_module(at: Location, error: &WorldError) -> Diagnostic {
    let help = match error {
        WorldError::Missing { .. } => {
            "a package has a `main.imgc`; paths of imports are relative to the importing file"
        }
        WorldError::Outside { .. } => "modules have to stay inside the package, also through links",
        WorldError::TooLarge { .. } => "split the module, or keep data in files that `file()` names",
        WorldError::NotText { .. } => "save the file as UTF-8",
        WorldError::Unreadable { .. } => "check that the file can be read",
    };
    Diagnostic::error("IMG1001", at, error.to_string(), "this module cannot be read").help(help)
}

#[track_caller]
pub(crate) fn import_outside(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error("IMG1002", at, format!("`{path}` is outside the package"), "leads out of the package")
        .help("move the module into the package")
}

#[track_caller]
pub(crate) fn import_malformed(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error("IMG1002", at, format!("`{path}` is not a path in the package"), "not a relative path")
        .help("write a path relative to this file, such as `\"./base.imgc\"`")
}

#[track_caller]
pub(crate) fn import_cycle(at: Location, path: &str) -> Diagnostic {
    Diagnostic::error(
        "IMG1003",
        at,
        format!("the import of `{path}` closes a cycle"),
        "this module is already being imported",
    )
    .help("move what both modules need into a third one")
}

/// A variant where nothing says of which enum.
#[track_caller]
pub(crate) fn bare_variant(at: Location, name: &str, of: &str) -> Diagnostic {
    Diagnostic::error("IMG1004", at, format!("unknown name `{name}`"), "nothing says of which enum it is a variant")
        .help(format!("write `{of}.{name}`, or give it a type: `let name: {of} = {name}`"))
        .fix(format!("write `{of}.{name}`"), Applicability::Maybe, vec![(at, format!("{of}.{name}"))])
}

/// `is_text` where a text may stand: then quotes were perhaps forgotten.
#[track_caller]
pub(crate) fn unknown_name(at: Location, name: &str, near: Option<&str>, is_text: bool) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG1004", at, format!("unknown name `{name}`"), "nothing has this name here");
    if crate::stdlib::is_by_import(name) {
        return diagnostic
            .help(format!("it is a module of the standard library: write `import std.{name}` at the top"));
    }
    let is_system = matches!(name, "linux" | "windows" | "macos" | "freebsd");
    match elsewhere(name).filter(|_| !(is_system && is_text)) {
        Some(help) => diagnostic.help(help),
        None if near.is_none() && is_text => {
            let text = format!("\"{name}\"");
            diagnostic.help(format!("a text stands in quotes: `{text}`")).fix(
                format!("write `{text}`"),
                Applicability::Maybe,
                vec![(at, text)],
            )
        }
        None => suggest(diagnostic, at, near),
    }
}

/// What to write instead of a name that other languages have.
fn elsewhere(name: &str) -> Option<&'static str> {
    Some(match name {
        "null" | "nil" | "None" | "undefined" => "what may be missing has a type with `?` and is `none`",
        "timestamp" | "now" | "formatdate" | "timeadd" => {
            "nothing reads the clock, so that the same program gives the same plan: declare a `param` and give it the time"
        }
        "uuid" | "uuidv4" | "random" | "rand" => {
            "nothing is random, so that the same program gives the same plan: declare a `param`, or a `secret` from a command"
        }
        "run" | "exec" | "shell" | "command" => "a script is run by a step: `sh \"label\" { script = \"…\" }`",
        "True" => "write `true`",
        "False" => "write `false`",
        "var" | "local" | "locals" => "a `param` or `let` is written by its name alone, without a prefix",
        "env" | "getenv" => {
            "nothing reads the environment: declare a `param`, or a `secret name: String from env(\"X\")`"
        }
        "jsonencode" | "templatefile" | "format" | "concat" | "merge" | "lookup" => {
            "texts are made by interpolation, `\"\\{x}\"`; lists and maps by spreading, `[...a, ...b]`"
        }
        "len" | "length" | "upper" | "lower" | "trim" | "trimspace" | "join" | "split" | "replace" | "startswith"
        | "endswith" | "contains" | "keys" | "values" | "sort" | "reverse" => {
            "functions of a value stand behind it: `xs.len`, `text.upper`, `xs.join(\", \")`"
        }
        "linux" | "windows" | "macos" | "freebsd" => {
            "a platform is written with its architecture: `linux/amd64`, and as a pattern `linux/*`"
        }
        "dynamic" => "blocks are repeated by `for x in xs { … }` around them, fields by spreading, `...fields`",
        "not" => "write `!` before a condition",
        "range" => "a range is written `1..=3`, both ends included",
        "coalesce" | "try" => "a default for what may be missing is given by `??`",
        "tostring" | "str" => "a value becomes a text by interpolation: `\"\\{value}\"`",
        _ => return None,
    })
}

#[track_caller]
pub(crate) fn duplicate_item(at: Location, name: &str, first: Location) -> Diagnostic {
    Diagnostic::error("IMG1005", at, format!("`{name}` is defined twice"), "defined again here")
        .label(first, "first defined here")
        .help("give one of them another name")
}

#[track_caller]
pub(crate) fn unbindable(at: Location, name: &str) -> Diagnostic {
    Diagnostic::error("IMG1006", at, format!("`{name}` cannot be used as a name"), "this word belongs to platforms")
        .help("choose another name")
}

#[track_caller]
pub(crate) fn prelude_name(at: Location, name: &str) -> Diagnostic {
    Diagnostic::error("IMG1006", at, format!("`{name}` is a name of the prelude"), "cannot be defined again")
        .help("choose another name: edition 1 fixes what this one means in every module")
}

#[track_caller]
pub(crate) fn shadowing(at: Location, name: &str, first: Option<Location>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("IMG1007", at, format!("`{name}` hides another `{name}`"), "this name is taken already");
    let diagnostic = match first {
        Some(first) => diagnostic.label(first, "the other one"),
        None => diagnostic.note("the other one belongs to the prelude"),
    };
    diagnostic.help("choose another name")
}

#[track_caller]
pub(crate) fn not_exported(at: Location, name: &str, place: Location) -> Diagnostic {
    let insert = place.with(Span { start: place.span.start, end: place.span.start });
    Diagnostic::error("IMG1008", at, format!("`{name}` is not exported by its module"), "not visible here")
        .label(place, "defined here without `pub`")
        .help("write `pub` before its definition")
        .fix("export it", Applicability::Maybe, vec![(insert, "pub ".to_owned())])
}

#[track_caller]
pub(crate) fn unknown_std_module(at: Location, name: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("IMG1009", at, format!("the standard library has no module `{name}`"), "unknown module");
    match near {
        Some(near) => diagnostic.help(format!("did you mean `std.{near}`?")),
        None => diagnostic,
    }
}

#[track_caller]
pub(crate) fn duplicate_label(at: Location, label: &str, first: Location) -> Diagnostic {
    Diagnostic::error("IMG1010", at, format!("two steps of one block have the label `{label}`"), "used again here")
        .label(first, "first used here")
        .help("labels name steps in plans and logs: give this one another")
}

#[track_caller]
pub(crate) fn import_without_name(at: Location) -> Diagnostic {
    Diagnostic::error("IMG1011", at, "the imported module has no name", "its file name is no name")
        .help("add `as name` to the import")
}

#[track_caller]
pub(crate) fn computed_import(at: Location) -> Diagnostic {
    Diagnostic::error("IMG1012", at, "an import needs a plain path", "computed paths are not known before evaluation")
        .help("write the path out")
}

#[track_caller]
pub(crate) fn unknown_export(at: Location, name: &str, module: &str, near: Option<&str>) -> Diagnostic {
    let message = format!("module `{module}` has no `{name}`");
    suggest(Diagnostic::error("IMG1013", at, message, "unknown item"), at, near)
}

/// What needs itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CycleOf {
    Functions,
    Types,
    Images,
    Recipes,
    /// `let`s, params, and cycles through several kinds of items.
    Values,
}

#[track_caller]
pub(crate) fn cycle(of: CycleOf, at: Location, name: &str, others: &[(String, Location)]) -> Diagnostic {
    let (code, verb, label, help) = match of {
        CycleOf::Functions => (
            "IMG1030",
            "calls",
            "this call never ends",
            "there is no recursion: run over a list with `for`, `map` or `fold`",
        ),
        CycleOf::Types => (
            "IMG1031",
            "holds",
            "a value of it would never end",
            "name what it holds by a text or number, and keep the things themselves in a map",
        ),
        CycleOf::Images => (
            "IMG1032",
            "needs",
            "it would have to be built before itself",
            "begin one of them with a source, or take what is needed from an image that ends before: `image b { from = a … }`",
        ),
        CycleOf::Recipes => ("IMG1033", "uses", "its steps never end", "run over a list with `for`"),
        CycleOf::Values => {
            ("IMG1014", "needs", "this item can never be known", "break the cycle: nothing may refer to itself")
        }
    };
    let way: Vec<String> = others.iter().map(|(name, _)| format!("`{name}`")).collect();
    let message = if way.is_empty() {
        format!("`{name}` {verb} itself")
    } else {
        format!("`{name}` {verb} itself, through {}", way.join(", "))
    };
    let mut diagnostic = Diagnostic::error(code, at, message, label);
    for (name, place) in others.iter().take(3) {
        diagnostic = diagnostic.label(*place, format!("`{name}` is part of the cycle"));
    }
    diagnostic.help(help)
}

#[track_caller]
pub(crate) fn duplicate_member(at: Location, what: &str, name: &str, first: Location) -> Diagnostic {
    Diagnostic::error("IMG1015", at, format!("two {what}s have the name `{name}`"), "used again here")
        .label(first, "first used here")
}

#[track_caller]
pub(crate) fn unknown_type(at: Location, name: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG1016", at, format!("unknown type `{name}`"), "no type has this name");
    let (ours, help) = match name {
        "number" | "integer" | "i64" | "u64" => (Some("Int"), None),
        "text" | "str" => (Some("String"), None),
        "any" | "object" | "struct" | "dict" => {
            (None, Some("every value has a type: declare a `record Name { field: Type }`"))
        }
        "float" | "double" => {
            (None, Some("there are no fractions: take a smaller unit, and an `Int`, `Size` or `Duration`"))
        }
        _ => (None, None),
    };
    match help {
        Some(help) => diagnostic.help(help),
        None => suggest(diagnostic, at, ours.or(near)),
    }
}

#[track_caller]
pub(crate) fn extern_outside_std(at: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG1017",
        at,
        "`extern` belongs to the standard library",
        "only imgc itself can declare what the runtime offers",
    )
    .help("write a `recipe` or a `fn` instead")
}

#[track_caller]
pub(crate) fn unknown_edition(at: Location, number: i64) -> Diagnostic {
    Diagnostic::error("IMG1018", at, format!("edition {number} is not known"), "this imgc knows edition 1")
        .help("write `edition 1`, or use a newer imgc")
}

#[track_caller]
pub(crate) fn import_argument(at: Location, name: &str, near: Option<&str>) -> Diagnostic {
    let message = format!("the imported module has no param `{name}`");
    suggest(Diagnostic::error("IMG1019", at, message, "unknown param"), at, near)
}
