//! Values, members, types and patterns.

use crate::ast::{Extern, ItemKind};
use crate::names::{BUILTIN_FUNCTIONS, BUILTIN_TYPES};
use crate::types::{CheckedText, Fit, FormatIndex, ItemId, Pattern, PlatformIndex, Shape, Type, fit};

use super::super::describe::{self, Described};
use super::super::view::View;
use super::super::walk::{Local, Target, declared_fields, in_list, members_of, record_in};
use super::super::{CompletionKind, reserved_words};
use super::Found;
use super::collect::{Collector, Rank};
use super::{bodies, texts};

/// What can be written where a value is asked.
pub(super) fn values(all: &mut Collector<'_, '_>, found: &Found, want: Option<&Type>) {
    if let Some(want) = want {
        asked(all, want);
    }
    locals(all, &found.locals, want);
    items(all, want);
    if found.platforms.is_some() {
        let told = Described { code: "Platform".to_owned(), docs: "The platform of the image.".to_owned() };
        let rank = rank(want, Some(&Type::Platform(Pattern::ANY)), Rank::Near);
        all.add("platform", CompletionKind::Local, rank, told, "platform", None);
    }
    functions(all, want);
    for (word, snippet) in [
        ("if", "if ${1:condition} then ${2:a} else ${0:b}"),
        ("match", "match ${1:value} {\n  ${2:pattern} => ${0:result},\n}"),
    ] {
        all.add(word, CompletionKind::Keyword, Rank::Other, Described::default(), word, Some(snippet.to_owned()));
    }
    for word in ["none", "true", "false"] {
        all.plain(word, CompletionKind::Keyword, Rank::Other, "");
    }
}

/// Every name that stands for something, where nothing is known of the place.
pub(super) fn anything(all: &mut Collector<'_, '_>) {
    items(all, None);
    bodies::item_words(all);
    for word in reserved_words().into_iter().chain(["on", "of", "from", "as", "version"]) {
        all.plain(word, CompletionKind::Keyword, Rank::Other, "");
    }
    types(all, &[]);
}

/// What the type itself lists.
fn asked(all: &mut Collector<'_, '_>, want: &Type) {
    match want {
        Type::Optional(inner) => {
            asked(all, inner);
            all.plain("none", CompletionKind::Keyword, Rank::Fits, "Left out.");
        }
        Type::Union(members) => members.iter().for_each(|member| asked(all, member)),
        Type::Bool => {
            ["true", "false"].into_iter().for_each(|word| all.plain(word, CompletionKind::Keyword, Rank::Asked, ""));
        }
        Type::Nominal(nominal) => match &nominal.shape {
            Shape::Enum(_) => variants(all, nominal.id),
            Shape::Record(_) => record(all, want),
        },
        Type::Anonymous(_) => record(all, want),
        Type::Platform(pattern) => texts::platforms(all, pattern, false),
        Type::List(_) | Type::Set(_) => {
            let told = Described { code: want.to_string(), docs: String::new() };
            let inner = in_list(want).filter(|inner| matches!(inner, Type::String)).map_or("$0", |_| "\"$0\"");
            all.add("[…]", CompletionKind::Text, Rank::Near, told, "[]", Some(format!("[{inner}]")));
        }
        Type::Size | Type::Duration => {
            let examples = if matches!(want, Type::Size) { ["512MiB", "1GiB", "8GiB"] } else { ["30s", "5m", "1h"] };
            examples.into_iter().for_each(|text| all.plain(text, CompletionKind::Unit, Rank::Near, ""));
        }
        _ => {}
    }
}

/// A literal with the fields that a record needs.
fn record(all: &mut Collector<'_, '_>, ty: &Type) {
    let Some(ty) = record_in(ty) else { return };
    let required: Vec<_> = declared_fields(all.view, ty).into_iter().filter(|field| field.is_required).collect();
    let parts = required.iter().enumerate().map(|(n, field)| format!("{} = ${{{}:{}}}", field.name, n + 1, field.name));
    let parts: Vec<String> = parts.chain(["$0".to_owned()]).collect();
    let snippet = format!("{{ {} }}", parts.join(", "));
    let told = Described { code: ty.to_string(), docs: String::new() };
    all.add("{…}", CompletionKind::Record, Rank::Near, told, "{}", Some(snippet));
}

/// How well a value of a type fits.
fn rank(want: Option<&Type>, found: Option<&Type>, fits: Rank) -> Rank {
    match (want, found) {
        (Some(want), Some(found)) if !found.is_error() && fit(found, want) != Fit::No => fits,
        (Some(_), _) => Rank::Other,
        (None, _) => Rank::Near,
    }
}

fn locals(all: &mut Collector<'_, '_>, locals: &[Local], want: Option<&Type>) {
    for local in locals.iter().rev().filter(|local| !local.name.is_empty()) {
        let told = Described { code: local.ty.to_string(), docs: String::new() };
        let is_param = matches!(local.target, Target::Param { .. });
        let kind = if is_param { CompletionKind::Param } else { CompletionKind::Local };
        let rank = rank(want, Some(&local.ty), Rank::Asked);
        all.add(&local.name, kind, rank, told, &local.name, None);
    }
}

/// Whether the name of an item can stand in a value.
fn is_value(kind: &ItemKind) -> bool {
    matches!(
        kind,
        ItemKind::Param(_)
            | ItemKind::Secret { .. }
            | ItemKind::Let(_)
            | ItemKind::Fn { .. }
            | ItemKind::Enum { .. }
            | ItemKind::Image { .. }
            | ItemKind::Output(_)
            | ItemKind::Extern(Extern::Source { .. } | Extern::Artifact { .. })
    )
}

/// What an item would give; of what nobody uses yet, as far as it is written.
fn given(view: &View<'_>, id: ItemId) -> Option<Type> {
    let (any, all) = (PlatformIndex::Is(Pattern::ANY), FormatIndex::Any);
    describe::known_type(view, id).or_else(|| match &view.syntax(id)?.kind {
        ItemKind::Extern(Extern::Source { .. }) => Some(Type::Source(any, all)),
        ItemKind::Extern(Extern::Artifact { .. }) => Some(Type::Artifact(all, any)),
        _ => None,
    })
}

fn items(all: &mut Collector<'_, '_>, want: Option<&Type>) {
    for item in all.reachable(is_value) {
        let near = if item.is_near { Rank::Fits } else { Rank::Near };
        let mut rank = rank(want, given(all.view, item.id).as_ref(), near);
        if !item.more.is_empty() {
            rank = rank.max(Rank::Import);
        }
        all.item(item.id, &item.name, rank, item.more);
    }
    modules(all);
}

/// Modules that have a name here.
fn modules(all: &mut Collector<'_, '_>) {
    let view = all.view;
    let names: Vec<String> = view.names.visible(all.module.id).map(str::to_owned).collect();
    for name in names {
        if let Some(crate::names::Bound::Module { module, .. }) = view.names.find(all.module.id, &name) {
            let told = describe::target(view, &Target::Module(module), None).unwrap_or_default();
            all.add(&name, CompletionKind::Module, Rank::Leads, told, &name, None);
        }
    }
}

fn functions(all: &mut Collector<'_, '_>, want: Option<&Type>) {
    for name in BUILTIN_FUNCTIONS {
        let gives = match name {
            "file" => Some(Type::File),
            "dir" => Some(Type::Dir),
            _ => None,
        };
        let (code, docs) = describe::function(name);
        let told = Described { code: code.to_owned(), docs: docs.to_owned() };
        let rank = rank(want, gives.as_ref(), Rank::Asked);
        all.add(name, CompletionKind::Function, rank, told, &format!("{name}(\"\")"), Some(format!("{name}(\"$0\")")));
    }
}

/// What stands behind the dot of a value.
pub(super) fn members(all: &mut Collector<'_, '_>, ty: &Type) {
    for field in declared_fields(all.view, ty) {
        let told = field.target.as_ref().and_then(|target| describe::target(all.view, target, field.ty.as_ref()));
        let code = field.ty.as_ref().map(ToString::to_string).unwrap_or_default();
        let told = told.unwrap_or(Described { code, docs: String::new() });
        all.add(&field.name, CompletionKind::Field, Rank::Asked, told, &field.name, None);
    }
    let Some((of, members)) = members_of(ty) else { return };
    for (name, _) in members {
        let told = describe::member(of, name).unwrap_or_default();
        let takes = told.code.contains(&format!(".{name}("));
        let snippet = takes.then(|| format!("{name}($0)"));
        let text = if takes { format!("{name}()") } else { (*name).to_owned() };
        all.add(name, CompletionKind::Member, Rank::Fits, told, &text, snippet);
    }
}

/// The variants of an enum.
pub(super) fn variants(all: &mut Collector<'_, '_>, of: ItemId) {
    let view = all.view;
    let Some(ItemKind::Enum { variants, .. }) = view.syntax(of).map(|item| &item.kind) else { return };
    for variant in variants.iter().filter(|variant| !variant.name.text.is_empty()) {
        let name = &variant.name.text;
        let target = Target::Variant { of, name: name.clone() };
        let told = describe::target(view, &target, None).unwrap_or_default();
        let payload =
            variant.payload.iter().enumerate().map(|(n, param)| format!("${{{}:{}}}", n + 1, param.name.text));
        let payload: Vec<String> = payload.collect();
        let (text, snippet) = if payload.is_empty() {
            (name.to_string(), None)
        } else {
            (format!("{name}()"), Some(format!("{name}({})", payload.join(", "))))
        };
        all.add(name, CompletionKind::Variant, Rank::Asked, told, &text, snippet);
    }
}

/// What can stand where a type is written.
pub(super) fn types(all: &mut Collector<'_, '_>, locals: &[Local]) {
    let built_in = BUILTIN_TYPES.into_iter().chain(["Artifact"]).chain(CheckedText::ALL.map(CheckedText::name));
    for name in built_in {
        let snippet = match name {
            "List" | "Set" | "Secret" => Some(format!("{name}<${{1:String}}>")),
            "Script" => Some("Script<${1:sh}>".to_owned()),
            "Map" => Some("Map<${1:String}, ${2:String}>".to_owned()),
            "Image" | "Source" => Some(format!("{name}<${{1:linux/*}}>")),
            _ => None,
        };
        let told = Described { code: name.to_owned(), docs: describe::type_docs(name).to_owned() };
        all.add(name, CompletionKind::Type, Rank::Fits, told, name, snippet);
    }
    for item in all.reachable(|kind| matches!(kind, ItemKind::Record { .. } | ItemKind::Enum { .. })) {
        let rank = if item.more.is_empty() { Rank::Near } else { Rank::Import };
        all.item(item.id, &item.name, rank, item.more);
    }
    texts::platforms(all, &Pattern::ANY, true);
    for format in crate::types::FORMATS {
        all.plain(format, CompletionKind::Type, Rank::Other, "A format of images.");
    }
    for local in locals.iter().filter(|local| matches!(local.ty, Type::Platform(_))) {
        all.plain(&local.name, CompletionKind::Param, Rank::Near, "");
    }
}

/// What can stand before `=>`, and behind `on`.
pub(super) fn patterns(all: &mut Collector<'_, '_>, want: Option<&Type>) {
    let mut ty = want;
    if let Some(Type::Optional(inner)) = ty {
        all.plain("none", CompletionKind::Keyword, Rank::Fits, "");
        ty = Some(inner);
    }
    match ty {
        Some(Type::Platform(pattern)) => texts::platforms(all, pattern, true),
        Some(Type::Bool) => {
            ["true", "false"].into_iter().for_each(|word| all.plain(word, CompletionKind::Keyword, Rank::Asked, ""));
        }
        Some(ty) => {
            if let Some(nominal) = ty.as_enum() {
                variants(all, nominal.id);
            }
            texts::quoted(all, Some(ty));
        }
        None => texts::platforms(all, &Pattern::ANY, true),
    }
    all.plain("_", CompletionKind::Keyword, Rank::Near, "Everything else.");
}
