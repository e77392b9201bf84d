//! Fields and arguments that have to be there are written, with a value to change.

use std::ops::Range;

use crate::ast::FieldInit;
use crate::modules::Module;
use crate::span::Span;
use crate::types::{CheckedText, ItemId, Shape, Type};

use super::super::view::{View, item_at};
use super::super::walk::{self, Call, Callee, Declared, Sink};
use super::super::{Action, ActionKind, TextEdit, describe};
use super::{action, line_of};

/// The innermost literal, step or call around a place that lacks something.
struct Lacking<'v, 'a> {
    view: &'v View<'a>,
    at: Span,
    found: Option<(Vec<Declared>, Span, Form)>,
}

/// How what is missing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Fields,
    Arguments,
}

impl Lacking<'_, '_> {
    fn offer(&mut self, missing: Vec<Declared>, span: Span, form: Form) {
        let around = span.start <= self.at.end && self.at.start <= span.end;
        let closer = self.found.as_ref().is_none_or(|(_, other, _)| other.start <= span.start);
        if around && closer && !missing.is_empty() {
            self.found = Some((missing, span, form));
        }
    }
}

fn missing_fields(declared: &[Declared], fields: &[FieldInit]) -> Vec<Declared> {
    let given = |field: &&Declared| fields.iter().any(|other| other.name.text == field.name);
    declared.iter().filter(|field| field.is_required && !given(field)).cloned().collect()
}

impl Sink for Lacking<'_, '_> {
    fn record(&mut self, declared: &[Declared], fields: &[FieldInit], span: Span) {
        self.offer(missing_fields(declared, fields), span, Form::Fields);
    }

    fn call(&mut self, call: &Call<'_>) {
        let declared = call.callee.declared(self.view);
        let has_fields = match &call.callee {
            Callee::Item(id) => self.view.syntax(*id).is_some_and(|item| describe::has_fields(&item.kind)),
            Callee::Variant(..) | Callee::Member(..) | Callee::Function(_) => false,
        };
        if has_fields {
            return self.offer(missing_fields(&declared, call.fields), call.span, Form::Fields);
        }
        let positional = call.args.iter().filter(|arg| arg.name.is_none()).count();
        let named = |field: &&Declared| {
            call.args.iter().any(|arg| arg.name.as_ref().is_some_and(|name| name.text == field.name))
        };
        let rest = declared.iter().skip(positional).filter(|field| field.is_required && !named(field));
        self.offer(rest.cloned().collect(), call.span, Form::Arguments);
    }
}

/// Writes the fields or arguments that are missing at a place.
pub(super) fn missing(view: &View<'_>, module: &Module, range: &Range<usize>) -> Option<Action> {
    let (id, start) = item_at(module, range.start)?;
    let length = u32::try_from(range.end.saturating_sub(range.start)).ok()?;
    let mut sink = Lacking { view, at: Span { start, end: start + length }, found: None };
    walk::item(view, id, &mut sink);
    let (missing, span, form) = sink.found?;
    let edit = match form {
        Form::Fields => fields_edit(view, id, &missing, span)?,
        Form::Arguments => arguments_edit(view, id, &missing, span)?,
    };
    let names: Vec<String> = missing.iter().map(|field| format!("`{}`", field.name)).collect();
    let title = format!("add {}", names.join(", "));
    Some(action(title, ActionKind::Rewrite, &module.path, vec![edit]))
}

fn fields_edit(view: &View<'_>, id: ItemId, missing: &[Declared], span: Span) -> Option<TextEdit> {
    let (text, whole) = (view.text(id.module), view.range(id, span));
    let written = text.get(whole.clone())?;
    let close = whole.start + written.strip_suffix('}')?.len();
    let (_, indent) = line_of(text, whole.start);
    let inner = text.get(..close)?.trim_end();
    let lines = missing.iter().map(|field| format!("\n{indent}  {} = {}", field.name, sample(field)));
    let text = format!("{}\n{indent}", lines.collect::<String>());
    Some(TextEdit { range: inner.len()..close, text })
}

fn arguments_edit(view: &View<'_>, id: ItemId, missing: &[Declared], span: Span) -> Option<TextEdit> {
    let (text, whole) = (view.text(id.module), view.range(id, span));
    let written = text.get(whole.clone())?;
    let close = whole.start + written.strip_suffix(')')?.len();
    let inner = text.get(..close)?.trim_end();
    let args: Vec<String> = missing.iter().map(|field| format!("{}: {}", field.name, sample(field))).collect();
    let comma = if inner.ends_with(['(', ',']) { "" } else { ", " };
    Some(TextEdit { range: inner.len()..close, text: format!("{comma}{}", args.join(", ")) })
}

/// A value of a field's type, for people to change.
fn sample(field: &Declared) -> String {
    field.ty.as_ref().map_or_else(|| "\"\"".to_owned(), sample_of)
}

fn sample_of(ty: &Type) -> String {
    match ty {
        Type::Bool => "false".to_owned(),
        Type::Int => "0".to_owned(),
        Type::Port => "80".to_owned(),
        Type::Mode => "0o644".to_owned(),
        Type::Size => "1GiB".to_owned(),
        Type::Duration => "1m".to_owned(),
        Type::Literal(text) => format!("\"{}\"", crate::evaluate::escaped(text)),
        Type::Checked(form) => match form {
            CheckedText::GuestPath => "\"/\"".to_owned(),
            CheckedText::Semver => "\"1.0.0\"".to_owned(),
            CheckedText::VersionReq => "\"*\"".to_owned(),
            CheckedText::Digest => format!("\"sha256:{}\"", "0".repeat(64)),
            CheckedText::Url => "\"https://example.org/\"".to_owned(),
            CheckedText::Cidr => "\"10.0.0.0/8\"".to_owned(),
        },
        Type::Platform(pattern) => {
            let (os, arch) = (pattern.os.as_deref().unwrap_or("linux"), pattern.arch.as_deref().unwrap_or("amd64"));
            let distro = pattern.distro.as_ref().map(|distro| format!("({distro})")).unwrap_or_default();
            format!("{os}{distro}/{arch}")
        }
        Type::File => "file(\"\")".to_owned(),
        Type::Dir => "dir(\".\")".to_owned(),
        Type::List(_) | Type::Set(_) => "[]".to_owned(),
        Type::Map(..) => "{}".to_owned(),
        Type::Union(members) => members.first().map_or_else(|| "\"\"".to_owned(), sample_of),
        Type::Nominal(nominal) => match &nominal.shape {
            Shape::Enum(variants) => {
                let plain = variants.iter().find(|variant| variant.payload.is_empty());
                plain.or(variants.first()).map(|variant| variant.name.to_string()).unwrap_or_default()
            }
            Shape::Record(_) => "{}".to_owned(),
        },
        Type::Optional(_) => "none".to_owned(),
        Type::Error
        | Type::Never
        | Type::None
        | Type::String
        | Type::Script(_)
        | Type::Range(_)
        | Type::Anonymous(_)
        | Type::Secret(_)
        | Type::Image(..)
        | Type::Source(..)
        | Type::Artifact(..) => "\"\"".to_owned(),
    }
}
