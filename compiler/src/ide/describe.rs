//! What is told of a name: how it is declared, in the language's own words, and its documentation.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use crate::ast::{self, Extern, ItemKind, Param};
use crate::core::Item as Checked;
use crate::evaluate::Value;
use crate::reference;
use crate::span::ModuleId;
use crate::types::{ItemId, Type};

use super::known;
use super::view::{View, params_of};
use super::walk::{Callee, Target};

/// The longest that a declaration is on one line.
const MAX_LINE: usize = 80;

/// The longest that a value is shown.
const MAX_VALUE: usize = 120;

/// A declaration and what is said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) code: String,
    pub(super) docs: String,
}

impl Described {
    /// As editors show it.
    pub(super) fn markdown(&self) -> String {
        let docs = self.docs.replace("```imgc program", "```imgc");
        if docs.is_empty() { fence(&self.code) } else { format!("{}\n\n{docs}", fence(&self.code)) }
    }
}

/// A block of code.
pub(super) fn fence(code: &str) -> String {
    format!("```imgc\n{code}\n```")
}

/// What a name means; the type is that of a local.
pub(super) fn target(view: &View<'_>, target: &Target, ty: Option<&Type>) -> Option<Described> {
    Some(match target {
        Target::Item(id) => item(view, *id)?,
        Target::Import(id) => {
            let module = view.module(id.module)?.imports.get(&id.item)?;
            self::module(view, *module)
        }
        Target::Module(id) => self::module(view, *id),
        Target::Param { of, name } => {
            let param = params_of(&view.syntax(*of)?.kind).iter().find(|param| param.name.text == *name)?;
            declared(view, *of, param, &view.written_name(*of))
        }
        Target::Variant { of, name } => variant(view, *of, name)?,
        Target::Payload { of, variant, name } => {
            let ItemKind::Enum { variants, .. } = &view.syntax(*of)?.kind else { return None };
            let variant = variants.iter().find(|other| other.name.text == *variant)?;
            let param = variant.payload.iter().find(|param| param.name.text == *name)?;
            declared(view, *of, param, &format!("{}.{}", view.written_name(*of), variant.name.text))
        }
        Target::Local { of, start } => {
            let name = local_name(view, *of, *start);
            let ty = ty.filter(|ty| !ty.is_error()).map(|ty| format!(": {ty}")).unwrap_or_default();
            Described { code: format!("{name}{ty}"), docs: String::new() }
        }
        Target::Loose(name) => {
            let ty = ty.filter(|ty| !ty.is_error()).map(|ty| format!(": {ty}")).unwrap_or_default();
            Described { code: format!("{name}{ty}"), docs: String::new() }
        }
        Target::Member { of, name } => member(of, name)?,
        Target::Type(name) => Described { code: name.to_string(), docs: type_docs(name).to_owned() },
        Target::Function(name) => {
            let (code, docs) = function(name);
            Described { code: code.to_owned(), docs: docs.to_owned() }
        }
        Target::Platform => {
            let ty = ty.map_or_else(|| "Platform".to_owned(), ToString::to_string);
            Described { code: format!("platform: {ty}"), docs: "The platform of the image.".to_owned() }
        }
        Target::ImageField("from") => Described {
            code: "from: Source | Image".to_owned(),
            docs: "What the image begins with: a source, or an image that it continues.".to_owned(),
        },
        Target::ImageField(_) => Described {
            code: "machine: record".to_owned(),
            docs: "The machine that the image is built on: the record that its source declares.".to_owned(),
        },
    })
}

/// The name that stands at a place of an item.
pub(super) fn local_name<'a>(view: &View<'a>, of: ItemId, start: u32) -> &'a str {
    let range = view.range(of, crate::Span { start, end: start });
    let rest = view.text(of.module).get(range.start..).unwrap_or_default();
    rest.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

/// A module: its path and the comment at its top.
fn module(view: &View<'_>, id: ModuleId) -> Described {
    let path = view.path(id);
    let name = path.strip_prefix("std/").and_then(|path| path.strip_suffix(".imgc"));
    let code = name.map_or_else(|| format!("import \"{path}\""), |name| format!("import std.{name}"));
    Described { code, docs: reference::top_comment(view.text(id)) }
}

/// An item's declaration, without its body.
pub(super) fn item(view: &View<'_>, id: ItemId) -> Option<Described> {
    let item = view.syntax(id)?;
    let name = view.written_name(id);
    let value_type =
        |known: Option<Type>| known.filter(|ty| !ty.is_error()).map(|ty| format!(": {ty}")).unwrap_or_default();
    let code = match &item.kind {
        ItemKind::Edition { .. } | ItemKind::Import(_) | ItemKind::Error => return None,
        ItemKind::Param(param) => format!("param {}", param_line(view, id, param)),
        ItemKind::Secret { ty, from, .. } => {
            let ty = ty.as_ref().map(|ty| format!(": Secret<{}>", view.line(id, ty.span))).unwrap_or_default();
            format!("secret {name}{ty} from {}", view.line(id, from.span))
        }
        ItemKind::Let(value) | ItemKind::Output(value) => {
            let word = if matches!(item.kind, ItemKind::Let(_)) { "let" } else { "output" };
            let ty = value_type(known_type(view, id));
            let shown = known_value(view, id).unwrap_or_else(|| view.line(id, value.value.span));
            let shown = if shown.len() <= MAX_VALUE { format!(" = {shown}") } else { String::new() };
            format!("{word} {name}{ty}{shown}")
        }
        ItemKind::Fn { .. }
        | ItemKind::Recipe { .. }
        | ItemKind::Record { .. }
        | ItemKind::Extern(Extern::Step { .. } | Extern::Source { .. } | Extern::Artifact { .. }) => {
            let (label, ranges) = signature(view, &Callee::Item(id))?;
            format!("{} {}", keyword(&item.kind), spread(&label, &ranges))
        }
        ItemKind::Enum { variants, .. } => {
            let lines = variants.iter().map(|variant| format!("  {},\n", variant_line(view, id, variant)));
            format!("enum {name} {{\n{}}}", lines.collect::<String>())
        }
        ItemKind::Image { .. } => format!("image {name}{}", value_type(known_type(view, id))),
        ItemKind::Test { of, .. } => format!("test {name} of {}", view.line(id, of.span)),
    };
    let mut docs = item.docs.clone();
    if let Some(why) = view.deprecated(id) {
        docs = format!("**Deprecated**: {why}\n\n{docs}").trim_end().to_owned();
    }
    Some(Described { code, docs })
}

/// The word that an item begins with.
pub(super) fn keyword(kind: &ItemKind) -> &'static str {
    match kind {
        ItemKind::Edition { .. } => "edition",
        ItemKind::Import(_) => "import",
        ItemKind::Param(_) => "param",
        ItemKind::Secret { .. } => "secret",
        ItemKind::Let(_) => "let",
        ItemKind::Fn { .. } => "fn",
        ItemKind::Record { .. } => "record",
        ItemKind::Enum { .. } => "enum",
        ItemKind::Recipe { .. } => "recipe",
        ItemKind::Image { .. } => "image",
        ItemKind::Test { .. } => "test",
        ItemKind::Output(_) => "output",
        ItemKind::Extern(Extern::Step { .. }) => "step",
        ItemKind::Extern(Extern::Source { .. }) => "source",
        ItemKind::Extern(Extern::Artifact { .. }) => "artifact",
        ItemKind::Error => "",
    }
}

/// What is called, on one line, and where its params stand in it.
pub(super) fn signature(view: &View<'_>, callee: &Callee) -> Option<(String, Vec<Range<usize>>)> {
    let (of, params, name, after) = match callee {
        Callee::Item(id) => {
            let item = view.syntax(*id)?;
            (*id, params_of(&item.kind), view.written_name(*id), after_params(view, *id, &item.kind))
        }
        Callee::Variant(of, name) => {
            let ItemKind::Enum { variants, .. } = &view.syntax(*of)?.kind else { return None };
            let variant = variants.iter().find(|variant| variant.name.text == *name)?;
            (*of, variant.payload.as_slice(), name.to_string(), String::new())
        }
        Callee::Member(of, name) => return Some((member(of, name)?.code, Vec::new())),
        Callee::Function(name) => return Some((function(name).0.to_owned(), Vec::new())),
    };
    let is_record = matches!(callee, Callee::Item(id) if has_fields(&view.syntax(*id)?.kind));
    let (open, close) = if is_record { (" { ", " }") } else { ("(", ")") };
    let on = if is_record { after.as_str() } else { "" };
    let mut label = format!("{name}{on}{open}");
    let mut ranges = Vec::with_capacity(params.len());
    for (number, param) in params.iter().enumerate() {
        if number > 0 {
            label.push_str(", ");
        }
        let start = label.len();
        label.push_str(&param_line(view, of, param));
        ranges.push(start..label.len());
    }
    label.push_str(close);
    if !is_record {
        label.push_str(&after);
    }
    Some((label, ranges))
}

/// Whether an item is made of fields in braces.
pub(super) fn has_fields(kind: &ItemKind) -> bool {
    matches!(kind, ItemKind::Record { .. } | ItemKind::Extern(Extern::Step { .. }))
}

fn after_params(view: &View<'_>, id: ItemId, kind: &ItemKind) -> String {
    let result = |ty: &Option<ast::TypeExpr>| {
        ty.as_ref().map(|ty| format!(" -> {}", view.line(id, ty.span))).unwrap_or_default()
    };
    match kind {
        ItemKind::Fn { result: ty, .. } | ItemKind::Extern(Extern::Artifact { result: ty, .. }) => result(ty),
        ItemKind::Extern(Extern::Source { result: ty, machine, .. }) => {
            let machine = machine.as_ref().map(|ty| format!(" machine {}", view.line(id, ty.span)));
            format!("{}{}", result(ty), machine.unwrap_or_default())
        }
        ItemKind::Recipe { on, .. } | ItemKind::Extern(Extern::Step { on, .. }) if !on.is_empty() => {
            let on: Vec<&str> = on.iter().map(|platform| view.slice(id, platform.span)).collect();
            format!(" on {}", on.join(" | "))
        }
        ItemKind::Recipe { .. }
        | ItemKind::Extern(Extern::Step { .. })
        | ItemKind::Edition { .. }
        | ItemKind::Import(_)
        | ItemKind::Param(_)
        | ItemKind::Secret { .. }
        | ItemKind::Let(_)
        | ItemKind::Record { .. }
        | ItemKind::Enum { .. }
        | ItemKind::Image { .. }
        | ItemKind::Test { .. }
        | ItemKind::Output(_)
        | ItemKind::Error => String::new(),
    }
}

/// A long declaration with a line for each param.
fn spread(label: &str, ranges: &[Range<usize>]) -> String {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return label.to_owned() };
    if label.len() <= MAX_LINE {
        return label.to_owned();
    }
    let part = |range: Range<usize>| label.get(range).unwrap_or_default();
    let mut text = part(0..first.start).trim_end().to_owned();
    for range in ranges {
        let _ = write!(text, "\n  {},", part(range.clone()));
    }
    let _ = write!(text, "\n{}", part(last.end..label.len()).trim_start());
    text
}

/// `name: T = default where predicate`
pub(super) fn param_line(view: &View<'_>, of: ItemId, param: &Param) -> String {
    let part = |before: &str, span: Option<crate::Span>| {
        span.map(|span| format!("{before}{}", view.line(of, span))).unwrap_or_default()
    };
    let ty = part(": ", param.ty.as_ref().map(|ty| ty.span));
    let default = part(" = ", param.default.as_ref().map(|value| value.span));
    let predicate = part(" where ", param.predicate.as_ref().map(|value| value.span));
    format!("{}{ty}{default}{predicate}", param.name.text)
}

fn declared(view: &View<'_>, of: ItemId, param: &Param, owner: &str) -> Described {
    let owner = format!("Of `{owner}`.");
    let docs = if param.docs.is_empty() { owner } else { format!("{}\n\n{owner}", param.docs) };
    Described { code: param_line(view, of, param), docs }
}

fn variant_line(view: &View<'_>, of: ItemId, variant: &ast::Variant) -> String {
    let payload: Vec<String> = variant.payload.iter().map(|param| param_line(view, of, param)).collect();
    let brackets = if payload.is_empty() { String::new() } else { format!("({})", payload.join(", ")) };
    format!("{}{brackets}", variant.name.text)
}

fn variant(view: &View<'_>, of: ItemId, name: &Arc<str>) -> Option<Described> {
    let ItemKind::Enum { variants, .. } = &view.syntax(of)?.kind else { return None };
    let variant = variants.iter().find(|variant| variant.name.text == *name)?;
    let code = format!("{}.{}", view.written_name(of), variant_line(view, of, variant));
    Some(Described { code, docs: variant.docs.clone() })
}

/// A member of a built-in type.
pub(super) fn member(of: &str, name: &str) -> Option<Described> {
    let member = reference::members().into_iter().find(|member| member.of == of && member.name == name)?;
    let code = format!("{}.{}", of.split(',').next().unwrap_or(of), member.signature);
    Some(Described { code, docs: member.docs.to_owned() })
}

/// The type of an item's value, where it has one.
pub(super) fn known_type(view: &View<'_>, id: ItemId) -> Option<Type> {
    match &**view.checked(id)? {
        Checked::Param(param) => Some(param.ty.clone()),
        Checked::Let { ty, .. } | Checked::Output { ty, .. } | Checked::Secret { ty, .. } => Some(ty.clone()),
        Checked::Image(image) => Some(image.ty.clone()),
        Checked::Fn { result, .. } => Some(result.clone()),
        Checked::Source(signature) | Checked::Artifact(signature) => Some(signature.result.clone()),
        _ => None,
    }
}

/// The value of a `let` or output, where it is known without arguments.
fn known_value(view: &View<'_>, id: ItemId) -> Option<String> {
    match &**view.checked(id)? {
        Checked::Let { value, .. } | Checked::Output { value, .. } => {
            known::value(view.program, value).as_ref().map(Value::shown)
        }
        _ => None,
    }
}

/// `file`, `dir`, `raw`: how they are called and what they give.
pub(super) fn function(name: &str) -> (&'static str, &'static str) {
    match name {
        "file" => ("file(path: String) -> File", "A file of the package, relative to the module: its content digest."),
        "dir" => (
            "dir(path: String, ignore: List<String> = []) -> Dir",
            "A directory of the package, relative to the module: the digests of all that is in it.",
        ),
        _ => ("raw(text: String) -> Script", "A text that is a script as it stands, with nothing escaped."),
    }
}

/// What a built-in type holds.
pub(super) fn type_docs(name: &str) -> &'static str {
    match name {
        "Bool" => "`true` or `false`.",
        "Int" => "A whole number of 64 bits: `42`, `0o644`.",
        "String" => "A text: `\"…\"`, `\"\"\"…\"\"\"`.",
        "Size" => "A number of bytes: `512MiB`, `20GB`.",
        "Duration" => "A length of time: `30s`, `1h30m`, `250ms`.",
        "Port" => "A number from 1 to 65535.",
        "Mode" => "Permissions: `0o644`.",
        "File" => "A file by its content: `file(\"./x\")`.",
        "Dir" => "A directory by its content: `dir(\"./site\")`.",
        "Platform" => "`linux/amd64`, `windows/amd64`, …",
        "Script" => "A script for a shell: values in it are escaped for the place where they stand.",
        "Secret" => "A handle of something that nobody may see; it goes only where a field asks for one.",
        "List" => "Values in order: `[a, b]`.",
        "Set" => "Values without order, each once.",
        "Map" => "Values by key: `{ \"k\" => v }`.",
        "Image" => "What steps made of a source: `Image<platform, format>`.",
        "Source" => "What an image begins with: `Source<platform, format>`.",
        "Artifact" => "What is made of an image: `Artifact<format, platform>`.",
        "Semver" => "A version such as `\"1.2.3\"`.",
        "VersionReq" => "A version requirement such as `\">=1.2, <2\"`.",
        "Digest" => "A digest such as `\"sha256:…\"`.",
        "Url" => "A URL such as `\"https://example.org/x\"`.",
        "Cidr" => "A network such as `\"10.0.0.0/8\"`.",
        "GuestPath" => "An absolute path in the guest.",
        _ => "A format of images.",
    }
}
