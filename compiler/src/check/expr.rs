//! Expressions: which form it is, names, conditions, and whether the result fits what is asked.

use std::sync::Arc;

use crate::ast::{Expr as Ast, ExprKind, ItemKind, Name};
use crate::core::{Expr, Item, Kind, Ref};
use crate::diagnostic::{names as say, platform as say_platform, types as say_types};
use crate::evaluate::Value;
use crate::names::Bound;
use crate::span::Span;
use crate::spelling::nearest;
use crate::types::{CheckedText, Coercion, Fit, ItemId, PlatformIndex, Type, fit, join};

use super::{Body, MAX_DEPTH, Root, Target, Typed, Want, slips};

impl Body<'_, '_> {
    /// Checks an expression against what is asked of it. The result fits, or was reported.
    pub(super) fn expr(&mut self, expr: &Ast, want: Option<Want<'_>>) -> Typed {
        if self.depth >= MAX_DEPTH {
            let at = self.at(expr.span);
            self.report(say_types::too_deep(at));
            return self.poison(expr.span);
        }
        self.depth += 1;
        let typed = self.form(expr, want);
        self.depth -= 1;
        self.noted(expr.span, &typed.ty, want.map(|want| want.ty));
        match want {
            Some(want) => self.fitted(typed, want, expr),
            None => typed,
        }
    }

    /// Checks an expression of which nothing is asked.
    pub(super) fn infer(&mut self, expr: &Ast) -> Typed {
        self.expr(expr, None)
    }

    fn form(&mut self, expr: &Ast, want: Option<Want<'_>>) -> Typed {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Error => self.poison(span),
            ExprKind::None => self.typed(Kind::Value(Value::None), span, Type::None),
            ExprKind::Bool(b) => self.typed(Kind::Value(Value::Bool(*b)), span, Type::Bool),
            ExprKind::Int(n) => self.int(*n, span, want),
            ExprKind::Size(bytes) => self.typed(Kind::Value(Value::Size(*bytes)), span, Type::Size),
            ExprKind::Duration(millis) => self.typed(Kind::Value(Value::Duration(*millis)), span, Type::Duration),
            ExprKind::Platform(platform) => self.platform_literal(platform, span),
            ExprKind::Text(template) => self.text(template, span, want),
            ExprKind::List(elements) => self.list(elements, span, want),
            ExprKind::Record { spreads, fields } => self.record(spreads, fields, span, want),
            ExprKind::Map { spreads, entries } => self.map(spreads, entries, span, want),
            ExprKind::ListFor { heads, condition, body } => {
                self.list_for(heads, condition.as_deref(), body, span, want)
            }
            ExprKind::MapFor { heads, condition, key, value } => {
                self.map_for(heads, condition.as_deref(), (key, value), span, want)
            }
            ExprKind::If { condition, then, otherwise } => self.conditional(condition, then, otherwise, span, want),
            ExprKind::Match { subject, arms } => self.match_expr(subject, arms, span, want),
            ExprKind::Name(name) => self.name(name, want),
            ExprKind::Call { callee, args } => self.call(callee, args, span, want),
            ExprKind::Member { base, name } => self.member(base, name, span),
            ExprKind::Index { base, index } => self.index(base, index, span),
            ExprKind::Unary { op, operand } => self.unary(*op, operand, span),
            ExprKind::Binary { op, op_span, left, right } => self.binary(*op, *op_span, left, right, span),
        }
    }

    /// Makes a checked expression fit what is asked, or says why it does not.
    pub(super) fn fitted(&mut self, typed: Typed, want: Want<'_>, expr: &Ast) -> Typed {
        match fit(&typed.ty, want.ty) {
            Fit::Yes if self.is_path_from_elsewhere(&typed) => {
                let ty = typed.ty.clone();
                Typed { ty, ..Self::coerced(typed, Coercion::Path) }
            }
            Fit::Yes => typed,
            Fit::After(coercion) => Self::coerced(typed, coercion),
            Fit::No if self.refuses_mismatch(&typed.ty, want, expr.span) => self.poison(expr.span),
            Fit::No => {
                let at = self.at(expr.span);
                let diagnostic = match &typed.core.kind {
                    Kind::Value(Value::Text(text)) if want.ty.has_literals() => {
                        say_types::not_one_of(at, want.ty, text, want.why)
                    }
                    _ => match self.meant(expr, want.ty) {
                        Some(meant) => say_types::miswritten(at, want.ty, &typed.ty, &meant, want.why),
                        None => say_types::mismatch(at, want.ty, &typed.ty, want.why),
                    },
                };
                self.report(diagnostic);
                self.poison(expr.span)
            }
        }
    }

    fn coerced(typed: Typed, to: Coercion) -> Typed {
        let at = typed.core.at;
        let ty = match &to {
            Coercion::Port => Type::Port,
            Coercion::Bits => Type::Int,
            Coercion::ReadScript(shell) => Type::Script(shell.clone()),
            Coercion::Record(nominal) => Type::Nominal(nominal.clone()),
            Coercion::File => Type::File,
            Coercion::Path => Type::Checked(CheckedText::GuestPath),
        };
        Typed { core: Expr { kind: Kind::Coerce { value: Box::new(typed.core), to }, at }, ty }
    }

    fn int(&mut self, n: i64, span: Span, want: Option<Want<'_>>) -> Typed {
        let is_octal = self.source(span).starts_with("0o");
        let own = if is_octal { Type::Mode } else { Type::Int };
        let Some((want, ty)) = want.and_then(|want| Some((want, number_type(want.ty)?))) else {
            return self.number(n, span, if in_range(&own, n) { own } else { Type::Int });
        };
        let at = self.at(span);
        if !in_range(ty, n) {
            self.report(say_types::out_of_range(at, ty, want.why));
            return self.poison(span);
        }
        if matches!(ty, Type::Mode) && !is_octal {
            let written = self.source(span);
            self.report(say_types::decimal_mode(at, &written, want.why));
            return self.poison(span);
        }
        self.number(n, span, ty.clone())
    }

    fn number(&self, n: i64, span: Span, ty: Type) -> Typed {
        let value = match (&ty, u32::try_from(n)) {
            (Type::Mode, Ok(bits)) => Value::Mode(bits),
            (_, _) => Value::Int(n),
        };
        self.typed(Kind::Value(value), span, ty)
    }

    /// What is written there.
    pub(super) fn source(&mut self, span: Span) -> String {
        let id = ItemId { module: self.module, item: self.item };
        let text = self.checker.written(id, span).to_owned();
        self.checker.note_text(span, &text);
        text
    }

    fn platform_literal(&mut self, platform: &crate::ast::Platform, span: Span) -> Typed {
        let pattern = self.pattern(platform);
        if let Some(exact) = pattern.exact() {
            self.typed(Kind::Value(Value::Platform(Arc::new(exact))), span, Type::Platform(pattern))
        } else {
            let at = self.at(span);
            self.report(say_platform::pattern_as_value(at, &pattern));
            self.poison(span)
        }
    }

    fn name(&mut self, name: &Name, want: Option<Want<'_>>) -> Typed {
        if name.text.is_empty() {
            return self.poison(name.span);
        }
        if let Some(variant) = want.and_then(|want| self.bare_variant(name, want.ty)) {
            return variant;
        }
        if let Some((slot, local)) = self.local(&name.text) {
            self.used_local(name.span, slot);
            let ty = self.narrowed(&Root::Local(slot).into(), &local);
            return self.typed(Kind::Local(slot), name.span, ty);
        }
        if &*name.text == "platform" {
            self.used(name.span, || Target::Platform);
            return self.platform_name(name.span);
        }
        match self.checker.names.find(self.module, &name.text) {
            Some(Bound::Item(item)) => {
                self.used(name.span, || Target::Item(item.id));
                self.item_value(item, name.span)
            }
            Some(Bound::Module { module, .. }) => {
                self.used(name.span, || Target::Module(module));
                let at = self.at(name.span);
                self.report(say_types::not_a_value(at, &name.text, "a module"));
                self.poison(name.span)
            }
            None => self.unknown(name, want),
        }
    }

    fn unknown(&mut self, name: &Name, want: Option<Want<'_>>) -> Typed {
        let at = self.at(name.span);
        // What kinds of items there are is not noted.
        self.checker.untold();
        let diagnostic = {
            let variants = want.and_then(|want| want.ty.as_enum()).map(|e| e.variants()).unwrap_or_default();
            let variants = variants.iter().map(|variant| &*variant.name);
            let locals = self.locals.iter().map(|local| &*local.name);
            let all = variants.chain(locals).chain(self.checker.names.visible(self.module));
            let near = nearest(&name.text, all);
            let is_text = want.is_some_and(|want| slips::takes_text(want.ty, &name.text));
            match want.and_then(|want| want.ty.as_enum()) {
                _ if crate::names::BUILTIN_FUNCTIONS.contains(&&*name.text) => {
                    say_types::not_a_value(at, &name.text, "a function: call it")
                }
                Some(e) if near.is_none_or(|near| e.variants().iter().any(|v| &*v.name == near)) => {
                    say_types::unknown_variant(at, &name.text, e, near)
                }
                Some(_) => say::unknown_name(at, &name.text, near, is_text),
                None => match self.enum_with(&name.text) {
                    Some(of) => say::bare_variant(at, &name.text, of),
                    None => say::unknown_name(at, &name.text, near, is_text),
                },
            }
        };
        self.report(diagnostic);
        self.poison(name.span)
    }

    /// The first enum, by its name, that the module sees and that has such a variant.
    fn enum_with(&self, variant: &str) -> Option<&str> {
        let checker = &self.checker;
        let has = |name: &&str| match checker.names.find(self.module, name) {
            Some(Bound::Item(item)) => match checker.syntax(item.id).map(|item| &item.kind) {
                Some(ItemKind::Enum { variants, .. }) => variants.iter().any(|known| &*known.name.text == variant),
                _ => false,
            },
            _ => false,
        };
        checker.names.visible(self.module).filter(has).min()
    }

    pub(super) fn local(&self, name: &str) -> Option<(u32, Type)> {
        let slot = self.locals.iter().rposition(|local| &*local.name == name)?;
        let ty = self.locals.get(slot)?.ty.clone();
        Some((u32::try_from(slot).unwrap_or(u32::MAX), ty))
    }

    fn platform_name(&mut self, span: Span) -> Typed {
        let Some(patterns) = &self.platforms else {
            let at = self.at(span);
            self.report(say_platform::no_platform_here(at));
            return self.poison(span);
        };
        let joined = patterns.iter().cloned().reduce(|a, b| a.join(&b)).unwrap_or_default();
        self.typed(Kind::Platform, span, Type::Platform(joined))
    }

    /// The value of an item.
    pub(super) fn item_value(&mut self, item: Ref, span: Span) -> Typed {
        let at = self.at(span);
        let what = match self.checker.demand(item.id).as_deref() {
            None | Some(Item::Nothing) => return self.poison(span),
            Some(Item::Param(param)) => {
                let ty = self.narrowed(&Root::Item(item.id).into(), &param.ty);
                return self.typed(Kind::Item(item), span, ty);
            }
            Some(Item::Let { ty, .. } | Item::Output { ty, .. }) => {
                let ty = self.narrowed(&Root::Item(item.id).into(), ty);
                return self.typed(Kind::Item(item), span, self.of_module(item, ty));
            }
            Some(Item::Image(image)) => {
                return self.typed(Kind::Item(item), span, self.of_module(item, image.ty.clone()));
            }
            Some(Item::Secret { ty, .. }) => return self.typed(Kind::Item(item), span, ty.clone()),
            Some(Item::Fn { .. }) => "a function: call it",
            Some(Item::Record { .. } | Item::Enum { .. }) => "a type",
            Some(Item::Recipe { .. }) => "a recipe: `use` it in a body",
            Some(Item::Test { .. }) => "a test",
            Some(Item::Step { .. }) => "a step kind: it begins a step in a body",
            Some(Item::Source(_)) => "a source: call it",
            Some(Item::Artifact(_)) => "an artifact: call it",
            Some(Item::Import { .. }) => "an import",
        };
        let name = self.checker.name(item.id);
        self.report(say_types::not_a_value(at, &name, what));
        self.poison(span)
    }

    /// Names of another module say nothing here.
    fn of_module(&self, item: Ref, ty: Type) -> Type {
        if item.id.module == self.module { ty } else { super::indices::forgotten(&ty, &|_| true) }
    }

    fn conditional(
        &mut self,
        condition: &Ast,
        then: &Ast,
        otherwise: &Ast,
        span: Span,
        want: Option<Want<'_>>,
    ) -> Typed {
        let test = self.condition(condition);
        let (yes, no) = (self.facts_of(condition, true), self.facts_of(condition, false));
        let then_typed = self.scoped(|body| {
            body.assume(yes);
            body.expr(then, want)
        });
        let else_typed = self.scoped(|body| {
            body.assume(no);
            body.expr(otherwise, want)
        });
        let ty = self.joined(&then_typed.ty, &else_typed.ty, otherwise.span, then.span);
        let kind = Kind::If {
            condition: Box::new(test),
            then: Box::new(then_typed.core),
            otherwise: Box::new(else_typed.core),
        };
        self.typed(kind, span, ty)
    }

    /// An expression that has to be a `Bool`.
    pub(super) fn condition(&mut self, condition: &Ast) -> Expr {
        self.expr(condition, Some(Want { ty: &Type::Bool, why: None })).core
    }

    /// The type that holds both; a mismatch is reported at the second.
    pub(super) fn joined(&mut self, first: &Type, second: &Type, at: Span, first_at: Span) -> Type {
        join(first, second).unwrap_or_else(|| {
            let (at, first_at) = (self.at(at), self.at(first_at));
            self.report(say_types::mismatch(at, first, second, Some((first_at, "this one decides the type"))));
            Type::Error
        })
    }

    fn index(&mut self, base: &Ast, index: &Ast, span: Span) -> Typed {
        let base_typed = self.infer(base);
        let (want, result) = match &base_typed.ty {
            Type::Error => {
                self.infer(index);
                return self.poison(span);
            }
            Type::List(inner) => (Type::Int, (**inner).clone()),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            other => {
                if !self.refuses_secret(other, base.span, crate::diagnostic::secrets::Use::Member) {
                    let at = self.at(base.span);
                    self.report(say_types::not_indexable(at, other));
                }
                return self.poison(span);
            }
        };
        let why = (base_typed.core.at, "this decides what the index is");
        let index = self.expr(index, Some(Want { ty: &want, why: Some(why) }));
        let kind = Kind::Index { base: Box::new(base_typed.core), index: Box::new(index.core) };
        self.typed(kind, span, result)
    }

    /// The pattern of an image, source or artifact.
    pub(super) fn platform_of(ty: &Type) -> Option<crate::types::Pattern> {
        ty.platform().map(PlatformIndex::pattern)
    }
}

fn in_range(ty: &Type, n: i64) -> bool {
    match ty {
        Type::Port => (1..=65535).contains(&n),
        Type::Mode => (0..=0o7777).contains(&n),
        _ => true,
    }
}

/// The number that is asked: a `Port` or `Mode`, also behind `?` and as the only number of a union.
fn number_type(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Port | Type::Mode | Type::Int => Some(ty),
        Type::Optional(inner) => number_type(inner),
        Type::Union(members) => {
            let mut numbers = members.iter().filter_map(number_type);
            numbers.next().filter(|_| numbers.next().is_none())
        }
        _ => None,
    }
}
