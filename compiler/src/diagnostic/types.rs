//! `IMG2xxx`: types, fields, arguments.

#![expect(clippy::wildcard_enum_match_arm, reason = "most types need no advice")]

use super::Diagnostic;
use super::names::suggest;
use crate::evaluate::escaped;
use crate::span::Location;
use crate::spelling::nearest;
use crate::types::{CheckedText, Field, Nominal, Type};

/// Up to three names, in users' words.
fn some<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown} and {} more", names.len() - 3) } else { shown }
}

/// Stands for what has no name.
pub(crate) const THIS: &str = "this";

fn named(what: &str) -> String {
    if what == THIS { what.to_owned() } else { format!("`{what}`") }
}

fn because(diagnostic: Diagnostic, why: Option<(Location, &str)>) -> Diagnostic {
    match why {
        Some((at, text)) => diagnostic.label(at, text),
        None => diagnostic,
    }
}

#[track_caller]
pub(crate) fn mismatch(at: Location, expected: &Type, found: &Type, why: Option<(Location, &str)>) -> Diagnostic {
    let message = format!("expected {expected}, found {found}");
    let diagnostic = because(Diagnostic::error("IMG2001", at, message, format!("this is {found}")), why);
    match mismatch_help(expected.required(), found) {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// A literal in quotes that should have none, the other way round, one that is alone in a list, or a path; `meant` is how it is
/// written.
#[track_caller]
pub(crate) fn miswritten(
    at: Location,
    expected: &Type,
    found: &Type,
    meant: &str,
    why: Option<(Location, &str)>,
) -> Diagnostic {
    let how = match meant.as_bytes().first() {
        Some(b'"') => "in quotes",
        Some(b'[') => "in brackets",
        Some(b'f' | b'd') if meant.ends_with(')') => "as a path in the package",
        _ => "without quotes",
    };
    Diagnostic { help: None, ..mismatch(at, expected, found, why) }.help(format!("write it {how}: `{meant}`")).fix(
        format!("write `{meant}`"),
        super::Applicability::Safe,
        vec![(at, meant.to_owned())],
    )
}

#[track_caller]
pub(crate) fn not_one_of(at: Location, expected: &Type, text: &str, why: Option<(Location, &str)>) -> Diagnostic {
    let message = format!("expected {expected}, found \"{}\"", escaped(text));
    let diagnostic = because(Diagnostic::error("IMG2001", at, message, "none of them"), why);
    match nearest(text, expected.literals()) {
        Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")).fix(
            format!("write \"{near}\""),
            super::Applicability::Maybe,
            vec![(at, format!("\"{}\"", escaped(near)))],
        ),
        None => diagnostic,
    }
}

fn mismatch_help(expected: &Type, found: &Type) -> Option<String> {
    Some(match (expected, found) {
        (Type::Image(..), Type::Map(_, each)) if matches!(**each, Type::Image(..)) => {
            "there is one for each key: take `images[\"key\"]`, or make one of each: `{ for k, x in images: k => … }`"
                .to_owned()
        }
        (Type::Size, Type::Int) => "give the number a unit, such as `5MiB` or `5MB`".to_owned(),
        (Type::Duration, Type::Int) => "give the number a unit, such as `5m` or `30s`".to_owned(),
        (Type::Size, Type::String) => "a size has a unit and no quotes, such as `4GiB`".to_owned(),
        (Type::Duration, Type::String) => "a duration has units and no quotes, such as `1h30m`".to_owned(),
        (Type::Bool, Type::String) => "write `true` or `false`, without quotes".to_owned(),
        (Type::Platform(_), Type::String) => "a platform has no quotes: `linux/amd64`".to_owned(),
        (Type::Nominal(nominal), Type::String) if !nominal.variants().is_empty() => {
            let variants = some(nominal.variants().iter().map(|variant| &*variant.name));
            format!("its variants have no quotes: {variants}")
        }
        (Type::Nominal(nominal), Type::String | Type::Int) if !nominal.fields().is_empty() => {
            let written = |field: &Field| format!("{} = …", field.name);
            let needed: Vec<String> = nominal.fields().iter().filter(|field| !field.optional).map(written).collect();
            match nominal.fields().first() {
                Some(any) if needed.is_empty() => format!("write a record, such as `{{ {} }}`", written(any)),
                _ => format!("write a record: `{{ {} }}`", needed.join(", ")),
            }
        }
        (Type::Mode, Type::String) => "write it in octal, without quotes: `0o644`".to_owned(),
        (Type::Mode, Type::Int) => "write it in octal: `0o644`".to_owned(),
        (Type::Union(members), Type::String) if members.contains(&Type::File) && members.contains(&Type::Dir) => {
            "name it with `file(\"./…\")` or `dir(\"./…\")`".to_owned()
        }
        (Type::Union(members), Type::String) if members.contains(&Type::File) => {
            "name the file with `file(\"./…\")`".to_owned()
        }
        (Type::Platform(wanted), Type::Platform(found)) if found.holds(wanted) => {
            format!("it may be another platform: give it the type `{wanted}`")
        }
        (Type::File, Type::String) => "name the file with `file(\"./…\")`".to_owned(),
        (Type::Dir, Type::String) => "name the directory with `dir(\"./…\")`".to_owned(),
        (Type::Script(_), Type::String) => {
            "write the script as a literal; `raw(text)` takes a text as it is, without any escaping".to_owned()
        }
        (Type::String, Type::Int | Type::Bool | Type::Size | Type::Duration | Type::Platform(_)) => {
            "interpolate it: `\"\\{value}\"`".to_owned()
        }
        (Type::Checked(form), Type::String) => format!("write {} as a literal", form.form()),
        (Type::Map(..), Type::List(_)) => {
            "write entries: `{ NAME = \"value\" }`, or `{ \"key\" => \"value\" }`".to_owned()
        }
        (Type::List(_) | Type::Set(_), _) => "put it into brackets: `[…]`".to_owned(),
        (_, Type::None | Type::Optional(_)) => "give a default with `??`, or test it with `!= none` first".to_owned(),
        (Type::Image(..), Type::Source(..)) => {
            "make an image of the source first: `image name { from = … }`".to_owned()
        }
        _ => return None,
    })
}

#[track_caller]
pub(crate) fn unknown_field<'a>(
    at: Location,
    of: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.collect();
    let diagnostic = Diagnostic::error("IMG2002", at, format!("`{of}` has no field `{name}`"), "unknown field");
    if of == "image" && matches!(name, "count" | "for_each") {
        return diagnostic.help("several images from one item: `image name for x in xs { … }`");
    }
    if let Some(help) = said_elsewhere(of, name) {
        return diagnostic.help(help);
    }
    match meant_field(name, &known) {
        near @ Some(_) => suggest(diagnostic, at, near),
        None if known.is_empty() => diagnostic.help("it has no fields"),
        None => diagnostic.help(format!("its fields are {}", some(known))),
    }
}

/// Where that is said which other tools say in a field of this name.
fn said_elsewhere(of: &str, name: &str) -> Option<&'static str> {
    Some(match (of, name) {
        (_, "depends_on" | "needs") => {
            "nothing says it: steps run from top to bottom, and images wait for those that they use"
        }
        ("image", "entrypoint" | "cmd" | "env" | "expose" | "ports" | "labels" | "volumes" | "tag") => {
            "how a container starts is said at its archive: `oci.archive(image, cmd: […], env: { … })`"
        }
        ("image", "workdir" | "user") => {
            "of a step it is a field: `sh \"label\" { script = \"…\", workdir = \"/src\" }`; of a container an argument of `oci.archive`"
        }
        ("image", "size" | "disk_size" | "format" | "boot") => {
            "a disk is described where it is made: `disk.image(image, size: 4GiB, format: qcow2)`"
        }
        ("copy", "from" | "from_image") => "a file of another image is its member: `src = builder.file(\"/out/app\")`",
        _ => return None,
    })
}

/// The field that was probably meant: one spelt alike, or ours for what other tools call so.
pub(crate) fn meant_field<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let ours = || field_elsewhere(name).and_then(|field| known.iter().find(|known| **known == field));
    nearest(name, known.iter().copied()).or_else(|| ours().copied())
}

/// Our name for a field that other tools call so.
fn field_elsewhere(name: &str) -> Option<&'static str> {
    Some(match name {
        "inline" | "command" | "commands" | "cmd" | "run" => "script",
        "environment" | "environment_vars" | "vars" => "env",
        "source" => "src",
        "destination" | "target" | "path" => "dest",
        "content" | "contents" => "text",
        "permissions" => "mode",
        "base" | "image" | "source_image" => "from",
        "ram" => "memory",
        "working_dir" | "cwd" | "chdir" => "workdir",
        _ => return None,
    })
}

#[track_caller]
pub(crate) fn missing_fields(at: Location, of: &str, missing: &[&str], declared: Option<Location>) -> Diagnostic {
    let names = some(missing.iter().copied());
    let diagnostic =
        Diagnostic::error("IMG2003", at, format!("`{of}` lacks {names}"), format!("{names} has to be given"));
    match declared {
        Some(declared) => diagnostic.label(declared, "declared here without a default"),
        None => diagnostic,
    }
}

#[track_caller]
pub(crate) fn unknown_argument<'a>(
    at: Location,
    of: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.collect();
    let diagnostic = Diagnostic::error("IMG2004", at, format!("`{of}` has no parameter `{name}`"), "unknown argument");
    match nearest(name, known.iter().copied()) {
        near @ Some(_) => suggest(diagnostic, at, near),
        None if known.is_empty() => diagnostic.help("it takes no arguments"),
        None => diagnostic.help(format!("its parameters are {}", some(known))),
    }
}

#[track_caller]
pub(crate) fn missing_arguments(at: Location, of: &str, missing: &[&str], declared: Location) -> Diagnostic {
    let names = some(missing.iter().copied());
    Diagnostic::error("IMG2005", at, format!("`{of}` lacks {names}"), format!("{names} has to be given"))
        .label(declared, "declared here without a default")
}

#[track_caller]
pub(crate) fn too_many_arguments(at: Location, of: &str, takes: usize) -> Diagnostic {
    let message = format!("`{of}` takes {takes} argument{}", if takes == 1 { "" } else { "s" });
    Diagnostic::error("IMG2006", at, message, "one too many")
}

#[track_caller]
pub(crate) fn unknown_member<'a>(
    at: Location,
    of: &Type,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.collect();
    let diagnostic = Diagnostic::error("IMG2007", at, format!("{of} has no member `{name}`"), "unknown member");
    match nearest(name, known.iter().copied()) {
        near @ Some(_) => suggest(diagnostic, at, near),
        None if matches!(of, Type::Optional(_)) => {
            diagnostic.help("it may be `none`: give a default with `??`, or test it with `!= none` first")
        }
        None if known.is_empty() => diagnostic,
        None => diagnostic.help(format!("it has {}", some(known))),
    }
}

#[track_caller]
pub(crate) fn member_arguments(at: Location, name: &str, takes: usize, found: usize) -> Diagnostic {
    Diagnostic::error(
        "IMG2006",
        at,
        format!("`{name}` takes {takes} of what stands in its brackets, found {found}"),
        "here",
    )
}

#[track_caller]
pub(crate) fn not_callable(at: Location, what: &str) -> Diagnostic {
    Diagnostic::error("IMG2008", at, format!("{} cannot be called", named(what)), "not a function, source or artifact")
}

#[track_caller]
pub(crate) fn bad_operands(at: Location, verb: &str, left: &Type, right: &Type, help: Option<&str>) -> Diagnostic {
    let message = format!("cannot {verb} {left} and {right}");
    let diagnostic = Diagnostic::error("IMG2009", at, message, format!("between {left} and {right}"));
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

#[track_caller]
pub(crate) fn no_text(at: Location, ty: &Type) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG2010", at, format!("{ty} has no text"), "cannot stand in a text");
    match ty {
        Type::List(_) | Type::Set(_) => diagnostic.help("join its elements: `\\{xs.join(\" \")}`"),
        Type::Optional(_) => diagnostic.help("give a default with `??`"),
        Type::Secret(_) => diagnostic.help("pass it by `env`"),
        _ => diagnostic,
    }
}

#[track_caller]
pub(crate) fn bad_form(at: Location, form: CheckedText, text: &str, why: Option<(Location, &str)>) -> Diagnostic {
    let message = format!("`{}` is not {}", escaped(text), form.form());
    because(Diagnostic::error("IMG2011", at, message, format!("expected {}", form.name())), why)
}

#[track_caller]
pub(crate) fn out_of_range(at: Location, ty: &Type, why: Option<(Location, &str)>) -> Diagnostic {
    let range = if matches!(ty, Type::Port) { "from 1 to 65535" } else { "from 0 to 0o7777" };
    because(Diagnostic::error("IMG2012", at, format!("a {ty} is {range}"), "out of range"), why)
}

#[track_caller]
pub(crate) fn decimal_mode(at: Location, written: &str, why: Option<(Location, &str)>) -> Diagnostic {
    let message = format!("a Mode is written in octal, and `{written}` is decimal");
    let diagnostic = because(Diagnostic::error("IMG2040", at, message, "decimal"), why);
    if written.is_empty() || !written.bytes().all(|b| (b'0'..=b'7').contains(&b)) || written.len() > 4 {
        return diagnostic.help("write it as `chmod` takes it, after `0o`: `0o644`");
    }
    let octal = format!("0o{written}");
    diagnostic.help(format!("write `{octal}`")).fix(
        format!("write `{octal}`"),
        super::Applicability::Maybe,
        vec![(at, octal)],
    )
}

#[track_caller]
pub(crate) fn not_a_value(at: Location, name: &str, what: &str) -> Diagnostic {
    Diagnostic::error("IMG2013", at, format!("`{name}` is not a value"), format!("this is {what}"))
}

#[track_caller]
pub(crate) fn not_exhaustive(at: Location, missing: &str) -> Diagnostic {
    Diagnostic::error("IMG2014", at, "`match` does not cover every value", format!("`{missing}` is not covered"))
        .help("add an arm for it, or `_ => …` for the rest")
}

#[track_caller]
pub(crate) fn unreachable_arm(at: Location) -> Diagnostic {
    Diagnostic::error("IMG2015", at, "this arm is never reached", "arms before it take everything it would")
        .help("remove it, or move it up")
}

#[track_caller]
pub(crate) fn impossible_arm(at: Location, subject: &crate::types::Pattern) -> Diagnostic {
    Diagnostic::error("IMG2015", at, "this arm is never reached", format!("the platform here is `{subject}`"))
        .help("remove it")
}

#[track_caller]
pub(crate) fn unknown_variant(at: Location, name: &str, of: &Nominal, near: Option<&str>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("IMG2016", at, format!("`{}` has no variant `{name}`", of.name), "unknown variant");
    match near {
        Some(_) => suggest(diagnostic, at, near),
        None => diagnostic.help(format!("its variants are {}", some(of.variants().iter().map(|v| &*v.name)))),
    }
}

#[track_caller]
pub(crate) fn pattern_mismatch(at: Location, pattern: &str, subject: &Type) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        "IMG2017",
        at,
        format!("{} is no pattern for {subject}", named(pattern)),
        format!("the subject is {subject}"),
    );
    match pattern {
        "default" | "else" | "otherwise" => diagnostic.help("write `_` for the rest"),
        _ => diagnostic,
    }
}

#[track_caller]
pub(crate) fn untyped_none(at: Location, name: &str) -> Diagnostic {
    Diagnostic::error("IMG2018", at, format!("`{name}` needs a type"), "`none` alone does not say of what")
        .help("annotate it: `let name: String? = none`")
}

#[track_caller]
pub(crate) fn type_arguments(at: Location, name: &str, takes: usize, found: usize) -> Diagnostic {
    let message = format!("`{name}` takes {takes} types in angle brackets, found {found}");
    let diagnostic = Diagnostic::error("IMG2019", at, message, "here");
    match (takes, found) {
        (1, 0) => diagnostic.help(format!("say of what: `{name}<String>`")),
        _ => diagnostic,
    }
}

#[track_caller]
pub(crate) fn unknown_format(at: Location, name: &str, near: Option<&str>) -> Diagnostic {
    let message = if name == THIS { "this is no format".to_owned() } else { format!("unknown format `{name}`") };
    suggest(Diagnostic::error("IMG2020", at, message, "no image or artifact has it"), at, near)
}

#[track_caller]
pub(crate) fn bad_platform_index(at: Location) -> Diagnostic {
    Diagnostic::error("IMG2020", at, "this is not a platform", "expected a platform such as `linux/*`")
}

#[track_caller]
pub(crate) fn not_comparable(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error("IMG2021", at, format!("{ty} cannot be compared"), "has no equality")
}

#[track_caller]
pub(crate) fn not_ordered(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error("IMG2021", at, format!("{ty} has no order"), "cannot be sorted")
}

#[track_caller]
pub(crate) fn not_iterable(at: Location, ty: &Type, names: usize) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG2022", at, format!("`for` cannot run over {ty}"), "not a list or set");
    match ty {
        Type::Map(..) => diagnostic.help("take key and value: `for k, v in …`"),
        Type::Int => diagnostic.help("write a range: `for i in 1..=3`"),
        Type::Set(_) if names > 1 => diagnostic.help("a set has no positions: take one name"),
        _ => diagnostic,
    }
}

#[track_caller]
pub(crate) fn not_indexable(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error("IMG2022", at, format!("{ty} has no elements"), "only lists and maps are indexed")
}

#[track_caller]
pub(crate) fn not_spreadable(at: Location, ty: &Type, into: &str) -> Diagnostic {
    Diagnostic::error("IMG2022", at, format!("{ty} cannot be spread into {into}"), "spread here")
}

#[track_caller]
pub(crate) fn bad_container(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error(
        "IMG2022",
        at,
        format!("nothing is in {ty}"),
        "`in` needs a list, set, map, range or platform pattern",
    )
}

#[track_caller]
pub(crate) fn never_none(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error("IMG2023", at, format!("{ty} is never `none`"), "`??` has nothing to replace")
        .help("remove `??` and what follows")
}

#[track_caller]
pub(crate) fn bad_key(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error(
        "IMG2024",
        at,
        format!("{ty} cannot be a key"),
        "keys are texts, numbers, truth values, platforms or plain variants",
    )
}

#[track_caller]
pub(crate) fn bad_image_key(at: Location) -> Diagnostic {
    Diagnostic::error("IMG2024", at, "images need keys that have a text", "these are no keys")
        .help("run over a map, or over a list of texts, numbers, platforms or plain variants; `for i, x in …` takes the position")
}

#[track_caller]
pub(crate) fn not_a_step(at: Location, name: &str, is_recipe: bool) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG2025", at, format!("`{name}` is not a step kind"), "cannot begin a step");
    if is_recipe { diagnostic.help(format!("it is a recipe: write `use {name}(…)`")) } else { diagnostic }
}

#[track_caller]
pub(crate) fn not_a_recipe(at: Location, name: &str, is_step: bool) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG2025", at, format!("`{name}` is not a recipe"), "cannot be used");
    if is_step { diagnostic.help(format!("it is a step kind: write `{name} \"label\" {{ … }}`")) } else { diagnostic }
}

#[track_caller]
pub(crate) fn no_from(at: Location, name: &str) -> Diagnostic {
    Diagnostic::error("IMG2026", at, format!("image `{name}` has no `from`"), "what does it begin with?")
        .help("add `from = rootfs.debian(suite: \"bookworm\")`, another source, or another image")
}

#[track_caller]
pub(crate) fn bad_from(at: Location, ty: &Type) -> Diagnostic {
    let message = format!("an image cannot begin with {ty}");
    let diagnostic = Diagnostic::error("IMG2026", at, message, "expected a source or an image");
    match ty {
        Type::String => diagnostic
            .help("call a source: `rootfs.oci(\"debian:12\")`, `rootfs.debian(suite: \"bookworm\")`, `qemu.disk(…)`"),
        _ => diagnostic,
    }
}

#[track_caller]
pub(crate) fn misplaced_field(at: Location, name: &str) -> Diagnostic {
    Diagnostic::error(
        "IMG2027",
        at,
        format!("`{name} = …` has no meaning here"),
        "only images have fields, at their top",
    )
    .help("write `let` to name a value")
}

#[track_caller]
pub(crate) fn misplaced_lambda(at: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG2028",
        at,
        "a function cannot stand here",
        "only arguments of members such as `map` are functions",
    )
}

#[track_caller]
pub(crate) fn needs_lambda(at: Location, params: usize) -> Diagnostic {
    let help = if params == 1 { "write `x => …`" } else { "write `(a, x) => …`" };
    Diagnostic::error("IMG2028", at, "a function is asked here", format!("expected a function of {params}")).help(help)
}

#[track_caller]
pub(crate) fn too_deep(at: Location) -> Diagnostic {
    Diagnostic::error("IMG2029", at, "nested deeper than the limit of 256", "at this point")
        .help("name a part of it with `let`")
}

#[track_caller]
pub(crate) fn nul_in_text(at: Location) -> Diagnostic {
    Diagnostic::error("IMG2041", at, "no text holds a byte 0", "holds a byte 0")
        .help("scripts, environments, paths and files of texts cannot carry it; copy a `file()` that holds it")
}

#[track_caller]
pub(crate) fn bad_path(at: Location, path: &str) -> Diagnostic {
    let (message, label) = if path.is_empty() {
        ("a path is missing in this text".to_owned(), "empty")
    } else {
        (format!("`{}` is not a path", escaped(path)), "no path in a package has such a character")
    };
    Diagnostic::error("IMG2042", at, message, label)
        .help("write it relative to this file, with `/` between its parts: `\"./site/index.html\"`")
}

#[track_caller]
pub(crate) fn needs_path(at: Location, what: &str) -> Diagnostic {
    Diagnostic::error("IMG2030", at, format!("`{what}` takes a plain path"), "expected a text without holes")
        .help("write the path out, relative to this file; below a `dir()` the path may be computed: `d.file(path)`")
}

#[track_caller]
pub(crate) fn bad_output(at: Location, ty: &Type) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG2031", at, format!("{ty} cannot be an output"), format!("this is {ty}"));
    match ty {
        Type::Dir => diagnostic.help(
            "an output is one file: copy the directory into an image from `rootfs.scratch()` and output `oci.archive(…)` of that",
        ),
        _ => diagnostic.help(
            "outputs are artifacts, images, files of images and plain values, and lists, records and maps of them",
        ),
    }
}

#[track_caller]
pub(crate) fn package_file(at: Location, path: &str) -> Diagnostic {
    let path = if path.is_empty() { "." } else { path };
    let message = format!("`{}` lies in the package already, and cannot be an output", crate::evaluate::escaped(path));
    Diagnostic::error("IMG2031", at, message, "not made by an image")
        .help("outputs are what is built: take a file out of an image, `image.file(\"/out/app\")`")
}

#[track_caller]
pub(crate) fn bad_test_subject(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error("IMG2032", at, format!("a test is of an image, not of {ty}"), "not an image")
}

#[track_caller]
pub(crate) fn script_hole(at: Location, place: &str) -> Diagnostic {
    let message = format!("a value cannot stand {place}");
    Diagnostic::error("IMG2033", at, message, "no escaping is safe here").help(
        "pass it by the field `env` and read the variable in the script: `env = { NAME = value }`, then `\"$NAME\"`, in PowerShell `$env:NAME`",
    )
}

#[track_caller]
pub(crate) fn script_words(at: Location) -> Diagnostic {
    Diagnostic::error("IMG2033", at, "a list becomes words, which cannot stand inside quotes", "inside quotes")
        .help("remove the quotes around it, or join it: `\\{xs.join(\" \")}`")
}

#[track_caller]
pub(crate) fn script_value(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error("IMG2010", at, format!("{ty} has no text"), "cannot stand in a script")
        .help("interpolate texts, numbers, lists of texts, or other scripts of the same shell")
}
