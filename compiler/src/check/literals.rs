//! Literals with parts: texts, lists, records, maps and comprehensions.

use std::sync::Arc;

use crate::ast::{Element, Expr as Ast, ExprKind, FieldInit, ForHead, Template, TemplatePart};
use crate::core::{Head, Kind, Part, Ref};
use crate::diagnostic::{names as say_names, types as say};
use crate::evaluate::Value;
use crate::modules::plain;
use crate::span::Span;
use crate::types::{CheckedText, Field, Nominal, Type};

use super::indices::forgotten;
use super::{Body, Target, Typed, Used, Want, slips};

/// The member of a union, or the type behind `?`, that a literal of this form can be.
fn target<'t>(ty: &'t Type, is: &dyn Fn(&Type) -> bool) -> Option<&'t Type> {
    match ty {
        Type::Optional(inner) => target(inner, is),
        Type::Union(members) => members.iter().find_map(|member| target(member, is)),
        other => is(other).then_some(other),
    }
}

/// The part of a text that holds a byte 0.
fn nul(part: &TemplatePart) -> Option<Span> {
    match part {
        TemplatePart::Text { text, span } if text.contains('\0') => Some(*span),
        TemplatePart::Text { .. } | TemplatePart::Hole { .. } => None,
    }
}

impl Body<'_, '_> {
    pub(super) fn text(&mut self, template: &Template, span: Span, want: Option<Want<'_>>) -> Typed {
        if let Some(part) = template.parts.iter().find_map(nul) {
            let at = self.at(part);
            self.report(say::nul_in_text(at));
            return self.poison(span);
        }
        let written = plain(template);
        let is_target = |ty: &Type| match ty {
            Type::Literal(text) => written.as_deref() == Some(text),
            Type::String | Type::Script(_) | Type::Checked(_) => true,
            _ => false,
        };
        match want.and_then(|want| target(want.ty, &is_target)) {
            Some(Type::Script(shell)) => self.script(template, shell, span),
            Some(Type::Checked(form)) => match written {
                Some(text) if *form == CheckedText::GuestPath && self.is_foreign(&text, span) => self.poison(span),
                Some(text) if form.accepts(&text) => {
                    self.typed(Kind::Value(Value::text(text)), span, Type::Checked(*form))
                }
                Some(text) => {
                    let at = self.at(span);
                    if let Some(want) = want.filter(|want| text.starts_with('.') && slips::takes(want.ty, &Type::File))
                    {
                        let diagnostic = match self.in_package(&text, want.ty) {
                            Some(meant) => say::miswritten(at, want.ty, &Type::String, &meant, want.why),
                            None => say::mismatch(at, want.ty, &Type::String, want.why),
                        };
                        self.report(diagnostic);
                        return self.poison(span);
                    }
                    self.report(say::bad_form(at, *form, &text, want.and_then(|want| want.why)));
                    self.poison(span)
                }
                None => {
                    let typed = self.template(template, span);
                    if typed.ty.is_secret() {
                        return typed;
                    }
                    let value = Box::new(typed.core);
                    self.typed(Kind::Checked { value, form: *form }, span, Type::Checked(*form))
                }
            },
            Some(literal @ Type::Literal(text)) => {
                self.typed(Kind::Value(Value::Text(text.clone())), span, literal.clone())
            }
            Some(_) | None => self.template(template, span),
        }
    }

    /// A text with its holes filled.
    fn template(&mut self, template: &Template, span: Span) -> Typed {
        if let Some(text) = plain(template) {
            return self.typed(Kind::Value(Value::text(text)), span, Type::String);
        }
        let mut is_secret = false;
        let parts = template.parts.iter().map(|part| match part {
            TemplatePart::Text { text, .. } => Part::Text(Arc::from(text.as_str())),
            TemplatePart::Hole { value, .. } => {
                let typed = self.hole(value);
                is_secret |= typed.ty.is_secret();
                Part::Hole(typed.core)
            }
        });
        let parts = parts.collect();
        // A text that holds a secret is one.
        let ty = if is_secret { Type::Secret(Arc::new(Type::String)) } else { Type::String };
        self.typed(Kind::Text(parts), span, ty)
    }

    fn hole(&mut self, value: &Ast) -> Typed {
        let typed = self.infer(value);
        let has_text = match &typed.ty {
            Type::Union(members) => members.iter().all(|member| member.has_text() || member.is_secret()),
            other => other.has_text() || matches!(other, Type::Secret(_)),
        };
        if !has_text {
            let at = self.at(value.span);
            self.report(say::no_text(at, &typed.ty));
            return self.poison(value.span);
        }
        typed
    }

    pub(super) fn list(&mut self, elements: &[Element], span: Span, want: Option<Want<'_>>) -> Typed {
        let asked = want.and_then(|want| target(want.ty, &|ty| matches!(ty, Type::List(_) | Type::Set(_))));
        let (inner, is_set) = match asked {
            Some(Type::List(inner)) => (Some(inner), false),
            Some(Type::Set(inner)) => (Some(inner), true),
            Some(_) | None => (None, false),
        };
        let mut cores = Vec::with_capacity(elements.len());
        let mut found = Type::Never;
        let mut first = span;
        for element in elements {
            let typed = if element.spread {
                self.spread(&element.value, inner.map(|inner| &**inner), want)
            } else {
                let want = want.and_then(|want| inner.map(|inner| want.with(inner)));
                self.expr(&element.value, want)
            };
            if cores.is_empty() {
                first = element.value.span;
            }
            // Where a type is asked every element fits it already.
            found = match inner {
                Some(inner) => (**inner).clone(),
                None => self.joined(&found, &typed.ty, element.value.span, first),
            };
            cores.push((element.spread, typed.core));
        }
        let element = Arc::new(inner.map_or(found, |inner| (**inner).clone()));
        if is_set {
            self.typed(Kind::Set(cores), span, Type::Set(element))
        } else {
            self.typed(Kind::List(cores), span, Type::List(element))
        }
    }

    /// `...xs` in a list: the result's type is that of the elements.
    fn spread(&mut self, value: &Ast, inner: Option<&Type>, want: Option<Want<'_>>) -> Typed {
        if let (Some(inner), ExprKind::List(_) | ExprKind::ListFor { .. }) = (inner, &value.kind) {
            let ty = Type::List(Arc::new(inner.clone()));
            let typed = self.expr(value, Some(Want { ty: &ty, why: want.and_then(|want| want.why) }));
            return Typed { ty: inner.clone(), ..typed };
        }
        let typed = self.infer(value);
        match &typed.ty {
            Type::List(element) | Type::Set(element) => {
                let element = Typed { ty: (**element).clone(), core: typed.core.clone() };
                match want.zip(inner) {
                    Some((want, inner)) => self.fitted(element, want.with(inner), value),
                    None => element,
                }
            }
            Type::Error => typed,
            other => {
                let at = self.at(value.span);
                self.report(say::not_spreadable(at, other, "a list"));
                self.poison(value.span)
            }
        }
    }

    pub(super) fn record(
        &mut self,
        spreads: &[Ast],
        fields: &[FieldInit],
        span: Span,
        want: Option<Want<'_>>,
    ) -> Typed {
        let is_target = |ty: &Type| match ty {
            Type::Nominal(nominal) => {
                !nominal.fields().is_empty() || matches!(nominal.shape, crate::types::Shape::Record(_))
            }
            Type::Map(key, _) => {
                matches!(**key, Type::String | Type::Error) || (fields.is_empty() && spreads.is_empty())
            }
            _ => false,
        };
        match want.and_then(|want| target(want.ty, &is_target).map(|ty| (want, ty))) {
            Some((want, Type::Nominal(nominal))) => self.nominal(nominal, spreads, fields, span, want),
            Some((want, ty @ Type::Map(_, value))) => {
                let mut entries = Vec::with_capacity(fields.len());
                let mut used = Used::new();
                for field in fields {
                    self.once(&mut used, "entrie", field);
                    let key =
                        self.typed(Kind::Value(Value::Text(field.name.text.clone())), field.name.span, Type::String);
                    entries.push((key.core, self.expr(&field.value, Some(want.with(value))).core));
                }
                let spreads = spreads.iter().map(|spread| self.expr(spread, Some(want.with(ty))).core).collect();
                self.typed(Kind::Map { spreads, entries }, span, ty.clone())
            }
            Some(_) | None => self.anonymous(spreads, fields, span),
        }
    }

    fn once(&mut self, used: &mut Used, what: &str, field: &FieldInit) -> bool {
        let at = self.at(field.name.span);
        match used.insert(field.name.text.clone(), at) {
            Some(first) => {
                let what = if what == "entrie" { "entry" } else { what };
                self.report(say_names::duplicate_member(at, what, &field.name.text, first));
                false
            }
            None => true,
        }
    }

    fn nominal(
        &mut self,
        nominal: &Arc<Nominal>,
        spreads: &[Ast],
        fields: &[FieldInit],
        span: Span,
        want: Want<'_>,
    ) -> Typed {
        let mut cores = Vec::with_capacity(fields.len());
        let mut used = Used::new();
        for field in fields {
            self.once(&mut used, "field", field);
            if let Some(known) = nominal.fields().iter().find(|known| known.name == field.name.text) {
                let of = nominal.id;
                self.used(field.name.span, || Target::Member { of, variant: None, name: known.name.clone() });
                cores.push((known.name.clone(), self.expr(&field.value, Some(want.with(&known.ty))).core));
            } else {
                let at = self.at(field.name.span);
                let names = nominal.fields().iter().map(|field| &*field.name);
                self.report(say::unknown_field(at, &nominal.name, &field.name.text, names));
                self.infer(&field.value);
            }
        }
        let mut spread_cores = Vec::with_capacity(spreads.len());
        let mut known = Vec::new();
        for spread in spreads {
            let typed = self.spread_record(spread, Some((nominal, want)));
            known.extend(record_fields(&typed.ty).iter().map(|field| field.name.clone()));
            if typed.ty.is_error() {
                return self.poison(span);
            }
            spread_cores.push(typed.core);
        }
        let meant: Vec<&str> = used
            .keys()
            .filter(|name| nominal.fields().iter().all(|field| field.name != **name))
            .filter_map(|name| say::meant_field(name, &nominal.fields().iter().map(|f| &*f.name).collect::<Vec<_>>()))
            .collect();
        let is_given = |field: &&Field| used.contains_key(&field.name) || known.contains(&field.name);
        let missing: Vec<&str> = nominal
            .fields()
            .iter()
            .filter(|f| !f.optional && !is_given(f) && !meant.contains(&&*f.name))
            .map(|f| &*f.name)
            .collect();
        if !missing.is_empty() {
            let at = self.at(span);
            let place = self.checker.name_place(nominal.id);
            self.report(say::missing_fields(at, &nominal.name, &missing, Some(place)));
            return self.poison(span);
        }
        let of = Some(Ref { id: nominal.id, via: None });
        self.typed(Kind::Record { spreads: spread_cores, fields: cores, of }, span, Type::Nominal(nominal.clone()))
    }

    fn spread_record(&mut self, spread: &Ast, into: Option<(&Arc<Nominal>, Want<'_>)>) -> Typed {
        let typed = self.infer(spread);
        match &typed.ty {
            Type::Error => {}
            Type::Anonymous(fields) => {
                if let Some((nominal, want)) = into {
                    for field in fields.iter() {
                        let known = nominal.fields().iter().find(|known| known.name == field.name);
                        let fits =
                            known.is_some_and(|known| crate::types::fit(&field.ty, &known.ty) != crate::types::Fit::No);
                        if !fits {
                            let at = self.at(spread.span);
                            self.report(say::mismatch(at, want.ty, &typed.ty, want.why));
                            return self.poison(spread.span);
                        }
                    }
                }
            }
            Type::Nominal(nominal) if into.is_none_or(|(into, _)| into.id == nominal.id) => {}
            other => {
                let at = self.at(spread.span);
                self.report(say::not_spreadable(at, other, "a record"));
                return self.poison(spread.span);
            }
        }
        typed
    }

    fn anonymous(&mut self, spreads: &[Ast], fields: &[FieldInit], span: Span) -> Typed {
        let mut types: Vec<Field> = Vec::new();
        let mut spread_cores = Vec::with_capacity(spreads.len());
        // One spread of a record type keeps the type, so that `{ ...base, port = 81 }` is what `base` is.
        if let [only] = spreads {
            let typed = self.infer(only);
            if let Type::Nominal(nominal) = &typed.ty
                && matches!(nominal.shape, crate::types::Shape::Record(_))
            {
                let ty = Type::Nominal(nominal.clone());
                return self.nominal(nominal, spreads, fields, span, Want { ty: &ty, why: None });
            }
        }
        for spread in spreads {
            let typed = self.spread_record(spread, None);
            if typed.ty.is_error() {
                return self.poison(span);
            }
            for field in record_fields(&typed.ty) {
                types.retain(|known| known.name != field.name);
                types.push(Field { optional: false, ..field.clone() });
            }
            spread_cores.push(typed.core);
        }
        let mut used = Used::new();
        let mut cores = Vec::with_capacity(fields.len());
        for field in fields {
            self.once(&mut used, "field", field);
            self.used(field.name.span, || Target::Loose(field.name.text.clone()));
            let typed = self.infer(&field.value);
            types.retain(|known| known.name != field.name.text);
            types.push(Field { name: field.name.text.clone(), ty: typed.ty, optional: false });
            cores.push((field.name.text.clone(), typed.core));
        }
        types.sort_by(|a, b| a.name.cmp(&b.name));
        let kind = Kind::Record { spreads: spread_cores, fields: cores, of: None };
        self.typed(kind, span, Type::Anonymous(types.into()))
    }

    pub(super) fn map(&mut self, spreads: &[Ast], entries: &[(Ast, Ast)], span: Span, want: Option<Want<'_>>) -> Typed {
        let asked = want.and_then(|want| target(want.ty, &|ty| matches!(ty, Type::Map(..))));
        let (mut key_type, mut value_type) = (Type::Never, Type::Never);
        let mut spread_cores = Vec::with_capacity(spreads.len());
        for spread in spreads {
            let typed = match (asked, want) {
                (Some(ty), Some(want)) => self.expr(spread, Some(want.with(ty))),
                (_, _) => self.infer(spread),
            };
            match &typed.ty {
                Type::Map(key, value) => {
                    key_type = self.joined(&key_type, key, spread.span, span);
                    value_type = self.joined(&value_type, value, spread.span, span);
                }
                Type::Error => {}
                other => {
                    let at = self.at(spread.span);
                    self.report(say::not_spreadable(at, other, "a map"));
                }
            }
            spread_cores.push(typed.core);
        }
        let mut cores = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key_typed, value_typed) = if let (Some(Type::Map(k, v)), Some(want)) = (asked, want) {
                (self.expr(key, Some(want.with(k))), self.expr(value, Some(want.with(v))))
            } else {
                let (k, v) = (self.infer(key), self.infer(value));
                key_type = self.joined(&key_type, &k.ty, key.span, span);
                value_type = self.joined(&value_type, &v.ty, value.span, span);
                (k, v)
            };
            self.key(&key_typed.ty, key.span);
            cores.push((key_typed.core, value_typed.core));
        }
        let ty = asked.cloned().unwrap_or_else(|| Type::Map(Arc::new(key_type), Arc::new(value_type)));
        self.typed(Kind::Map { spreads: spread_cores, entries: cores }, span, ty)
    }

    fn key(&mut self, ty: &Type, span: Span) {
        if self.refuses_secret(ty, span, crate::diagnostic::secrets::Use::Key) {
            return;
        }
        if !ty.is_key() {
            let at = self.at(span);
            self.report(say::bad_key(at, ty));
        }
    }

    pub(super) fn list_for(
        &mut self,
        heads: &[ForHead],
        condition: Option<&Ast>,
        body: &Ast,
        span: Span,
        want: Option<Want<'_>>,
    ) -> Typed {
        let asked = want
            .and_then(|want| target(want.ty, &|ty| matches!(ty, Type::List(_) | Type::Set(_))).map(|ty| (want, ty)));
        let set = matches!(asked, Some((_, Type::Set(_))));
        let outer = self.locals.len();
        self.within(span, |this| {
            let heads = heads.iter().map(|head| this.head(head)).collect();
            let condition = condition.map(|condition| Box::new(this.condition(condition)));
            let inner = match asked {
                Some((want, Type::List(inner) | Type::Set(inner))) => Some(want.with(inner)),
                Some(_) | None => None,
            };
            let typed = this.expr(body, inner);
            let element = Arc::new(inner.map_or_else(|| this.leaving(outer, &typed.ty), |want| want.ty.clone()));
            let ty = if set { Type::Set(element) } else { Type::List(element) };
            this.typed(Kind::ListFor { heads, condition, body: Box::new(typed.core), set }, span, ty)
        })
    }

    pub(super) fn map_for(
        &mut self,
        heads: &[ForHead],
        condition: Option<&Ast>,
        (key, value): (&Ast, &Ast),
        span: Span,
        want: Option<Want<'_>>,
    ) -> Typed {
        let asked = want.and_then(|want| target(want.ty, &|ty| matches!(ty, Type::Map(..))).map(|ty| (want, ty)));
        let outer = self.locals.len();
        self.within(span, |this| {
            let heads = heads.iter().map(|head| this.head(head)).collect();
            let condition = condition.map(|condition| Box::new(this.condition(condition)));
            let (key_want, value_want) = match asked {
                Some((want, Type::Map(k, v))) => (Some(want.with(k)), Some(want.with(v))),
                Some(_) | None => (None, None),
            };
            let key_typed = this.expr(key, key_want);
            this.key(&key_typed.ty, key.span);
            let value_typed = this.expr(value, value_want);
            let ty = asked.map_or_else(
                || Type::Map(Arc::new(key_typed.ty.clone()), Arc::new(this.leaving(outer, &value_typed.ty))),
                |(_, ty)| ty.clone(),
            );
            let (key, value) = (Box::new(key_typed.core), Box::new(value_typed.core));
            this.typed(Kind::MapFor { heads, condition, key, value }, span, ty)
        })
    }

    /// The type of a value that leaves the scope of all locals but the first ones.
    pub(super) fn leaving(&self, outer: usize, ty: &Type) -> Type {
        forgotten(ty, &|name| self.locals.iter().skip(outer).any(|local| *local.name == *name))
    }

    /// `x in xs`: binds the names. Callers scope them.
    pub(super) fn head(&mut self, head: &ForHead) -> Head {
        let over = self.infer(&head.over);
        let over = match (&head.over.kind, &over.ty) {
            // A record literal is a map where a map is asked, and a record is nothing to run over.
            (ExprKind::Record { .. }, Type::Anonymous(fields)) if head.names.len() > 1 => {
                let value = fields.iter().try_fold(Type::Never, |ty, field| crate::types::join(&ty, &field.ty));
                let ty = Type::Map(Arc::new(Type::String), Arc::new(value.unwrap_or(Type::Never)));
                self.expr(&head.over, Some(Want { ty: &ty, why: None }))
            }
            (_, _) => over,
        };
        let (first, second) = match (&over.ty, head.names.len()) {
            (Type::List(inner) | Type::Set(inner) | Type::Range(inner), 0 | 1) => ((**inner).clone(), Type::Error),
            (Type::List(inner) | Type::Range(inner), _) => (Type::Int, (**inner).clone()),
            (Type::Map(key, value), 2..) => ((**key).clone(), (**value).clone()),
            (Type::Error, _) => (Type::Error, Type::Error),
            (other, names) => {
                if !self.refuses_secret(other, head.over.span, crate::diagnostic::secrets::Use::Condition) {
                    let at = self.at(head.over.span);
                    self.report(say::not_iterable(at, other, names));
                }
                (Type::Error, Type::Error)
            }
        };
        let first_is_key = first.is_key() && !first.is_error();
        let slots = head.names.iter().zip([first, second]).map(|(name, ty)| self.bind(name, ty)).collect();
        Head { slots, over: over.core, first_is_key }
    }
}

/// The fields of a record type.
pub(super) fn record_fields(ty: &Type) -> &[Field] {
    match ty {
        Type::Anonymous(fields) => fields,
        Type::Nominal(nominal) => nominal.fields(),
        _ => &[],
    }
}
