//! Images and their tests: what they begin with, for which platforms, and their bodies.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ast;
use crate::core::{Head, Image, Item};
use crate::diagnostic::types as say;
use crate::evaluate::Value;
use crate::span::Span;
use crate::types::{Fit, Pattern, Type, fit, join};

use super::facts::Fact;
use super::indices::forgotten;
use super::{Body, Key, Root, Typed};

/// Different platforms of one image that are looked at each for itself.
const MAX_TURNS: usize = 64;

impl Body<'_, '_> {
    pub(super) fn image(
        &mut self,
        name: &ast::Name,
        each: Option<&ast::ForHead>,
        written: Option<&ast::TypeExpr>,
        statements: &[ast::Statement],
        span: Span,
    ) -> Item {
        let at = self.at(name.span);
        let head = each.map(|head| {
            let checked = self.head(head);
            let is_known = self.locals.first().is_some_and(|local| !local.ty.is_error());
            if !checked.first_is_key && is_known {
                let at = self.at(head.over.span);
                self.report(say::bad_image_key(at));
            }
            checked
        });
        let key = self.locals.first().map(|local| local.ty.clone()).filter(|ty| ty.is_key() && !ty.is_error());
        let from = self.image_field(statements, "from");
        if from.is_none() {
            self.report(say::no_from(at, &name.text));
        }
        let (from, types) = self.bases(head.as_ref(), from.map(|field| &field.value), written, name.span);
        let machine = self.machine(statements, &from);
        for statement in statements {
            if let ast::StatementKind::Field(field) = &statement.kind
                && !matches!(&*field.name.text, "from" | "machine" | "")
            {
                let at = self.at(field.name.span);
                self.report(say::unknown_field(at, "image", &field.name.text, ["from", "machine"].into_iter()));
            }
        }
        let gone: Vec<Arc<str>> = self.locals.iter().map(|local| local.name.clone()).collect();
        let platforms = types.iter().filter_map(Self::platform_of);
        self.platforms = Some(platforms.collect::<BTreeSet<_>>().into_iter().collect());
        let joined = types.into_iter().reduce(|a, b| join(&a, &b).unwrap_or(Type::Error)).unwrap_or(Type::Error);
        let ty = forgotten(&joined, &|name| gone.iter().any(|local| **local == *name));
        let body = self.statements(statements, true);
        let ty = match (&head, ty) {
            (None, ty) | (_, ty @ Type::Error) => ty,
            (Some(_), ty) => Type::Map(Arc::new(key.unwrap_or(Type::Int)), Arc::new(ty)),
        };
        Item::Image(Image {
            name: name.text.clone(),
            each: head,
            from: from.core,
            machine,
            body,
            ty,
            at: self.at(span),
        })
    }

    /// What an image begins with, and its type: one for each value of the head that says another platform, where the
    /// values are constant.
    fn bases(
        &mut self,
        head: Option<&Head>,
        from: Option<&ast::Expr>,
        written: Option<&ast::TypeExpr>,
        name: Span,
    ) -> (Typed, Vec<Type>) {
        let turns = head.and_then(|head| self.turns(head)).unwrap_or_else(|| vec![Vec::new()]);
        let before = self.checker.said();
        let mut types = Vec::with_capacity(turns.len());
        let mut first = None;
        for facts in turns {
            let typed = self.scoped(|this| {
                this.assume(facts);
                let typed = match from {
                    Some(from) => this.infer(from),
                    None => this.poison(name),
                };
                types.push(this.base_type(&typed, written));
                typed
            });
            first.get_or_insert(typed);
            // What is wrong with one is mostly wrong with all.
            if self.checker.said() > before {
                break;
            }
        }
        (first.unwrap_or_else(|| self.poison(name)), types)
    }

    fn base_type(&mut self, from: &Typed, written: Option<&ast::TypeExpr>) -> Type {
        let ty = self.image_type(&from.core, &from.ty);
        let Some(written) = written else { return ty };
        let asked = self.written(written);
        if fit(&ty, &asked) != Fit::No {
            return ty;
        }
        let why = Some((self.at(written.span), "this is its type"));
        self.report(say::mismatch(from.core.at, &asked, &ty, why));
        Type::Error
    }

    /// What each constant turn of a head says of platforms; none where nothing is said, or too much.
    fn turns(&mut self, head: &Head) -> Option<Vec<Vec<Fact>>> {
        let rows: Vec<(Value, Value)> = match self.checker.constant(&head.over)? {
            Value::List(items) => items.iter().map(|item| (Value::None, item.clone())).collect(),
            Value::Map(map) => map.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            _ => return None,
        };
        let mut turns: Vec<Vec<Fact>> = Vec::new();
        for (key, value) in rows {
            let mut facts = Vec::new();
            let both = if head.slots.len() > 1 { vec![key, value] } else { vec![value] };
            for (slot, value) in head.slots.iter().zip(&both) {
                platforms_in(value, &Root::Local(*slot).into(), &mut facts);
            }
            if !turns.contains(&facts) {
                turns.push(facts);
            }
        }
        let says = turns.iter().any(|facts| !facts.is_empty()) && turns.len() <= MAX_TURNS;
        says.then_some(turns)
    }

    pub(super) fn test(&mut self, of: &ast::Expr, statements: &[ast::Statement], span: Span) -> Item {
        let typed = self.infer(of);
        let image = match &typed.ty {
            Type::Map(_, image) => &**image,
            other => other,
        };
        if !matches!(image, Type::Image(..) | Type::Error) {
            let at = self.at(of.span);
            self.report(say::bad_test_subject(at, &typed.ty));
        }
        self.platforms = Some(Self::platform_of(image).into_iter().collect());
        let body = self.statements(statements, false);
        Item::Test { of: typed.core, body, at: self.at(span) }
    }
}

/// The platforms in a value, by the names that lead to them.
fn platforms_in(value: &Value, key: &Key, found: &mut Vec<Fact>) {
    match value {
        Value::Platform(platform) => found.push((key.clone(), Type::Platform(Pattern::of(platform)))),
        Value::Record(fields) => {
            for (name, value) in fields.iter() {
                let mut below = key.clone();
                below.fields.push(name.clone());
                platforms_in(value, &below, found);
            }
        }
        _ => {}
    }
}
