//! Bodies of images, recipes and tests: steps, `use`, and what decides which of them run.

use std::collections::BTreeMap;

use crate::ast::{Extern, FieldInit, ItemKind, Statement as Ast, StatementKind, Template};
use crate::core::{Expr, Item, Ref, Statement, Step};
use crate::diagnostic::{names as say_names, platform as say_platform, types as say};
use crate::modules::plain;
use crate::names::Bound;
use crate::span::{Location, Span};
use crate::spelling::nearest;
use crate::types::{Pattern, Type};

use super::written::written_path;
use super::{Body, MAX_DEPTH, Target, Want};

/// Where a branch of an `if` ends: before the other one begins.
fn blocks_end(whole: Span, branch: &[Ast], otherwise: &[Ast]) -> Span {
    match (branch.first(), otherwise.first()) {
        (Some(first), Some(other)) if first.span < other.span => Span { end: other.span.start, ..whole },
        (_, _) => whole,
    }
}

impl Body<'_, '_> {
    /// The statements of a block. `is_image` says whether this is the top of an image, whose fields are read elsewhere.
    pub(super) fn statements(&mut self, statements: &[Ast], is_image: bool) -> Vec<Statement> {
        self.depth += 1;
        let mut labels: BTreeMap<String, Location> = BTreeMap::new();
        let mut cores = Vec::with_capacity(statements.len());
        for statement in statements {
            if self.depth > MAX_DEPTH {
                let at = self.at(statement.span);
                self.report(say::too_deep(at));
                break;
            }
            cores.extend(self.statement(statement, is_image, &mut labels));
        }
        self.depth -= 1;
        cores
    }

    fn block(&mut self, statements: &[Ast]) -> Vec<Statement> {
        self.scoped(|this| this.statements(statements, false))
    }

    fn statement(
        &mut self,
        statement: &Ast,
        is_image: bool,
        labels: &mut BTreeMap<String, Location>,
    ) -> Option<Statement> {
        match &statement.kind {
            StatementKind::Error => None,
            StatementKind::Step { kind, label, fields } => {
                if let Some(label) = label {
                    self.unique_label(label, labels);
                }
                self.step(kind, label.as_ref(), fields, statement.span).map(Statement::Step)
            }
            StatementKind::Field(field) => {
                if !is_image {
                    let at = self.at(field.name.span);
                    self.report(say::misplaced_field(at, &field.name.text));
                }
                None
            }
            StatementKind::Use { recipe, args } => self.use_recipe(recipe, args, statement.span),
            StatementKind::Let(value) => {
                let typed = match &value.ty {
                    Some(written) => {
                        let ty = self.written(written);
                        let why = Some((self.at(written.span), "this is its type"));
                        let typed = self.expr(&value.value, Some(Want { ty: &ty, why }));
                        super::Typed { ty, ..typed }
                    }
                    None => self.infer(&value.value),
                };
                let slot = self.bind(&value.name, typed.ty);
                Some(Statement::Let { slot, value: typed.core })
            }
            StatementKind::If { condition, then, otherwise } => {
                let test = self.condition(condition);
                let (yes, no) = (self.facts_of(condition, true), self.facts_of(condition, false));
                let mut branch = |facts, statements: &[Ast]| {
                    self.within(blocks_end(statement.span, statements, otherwise), |this| {
                        this.assume(facts);
                        this.block(statements)
                    })
                };
                let (then, otherwise) = (branch(yes, then), branch(no, otherwise));
                Some(Statement::If { condition: test, then, otherwise })
            }
            StatementKind::For { head, body } => self.within(statement.span, |this| {
                let head = this.head(head);
                let body = this.block(body);
                Some(Statement::For { head, body, at: this.at(statement.span) })
            }),
            StatementKind::Match { subject, arms } => {
                let mut cores = Vec::with_capacity(arms.len());
                let typed = self.arms(subject, arms, statement.span, |this, arm, pat| {
                    let body = this.block(&arm.body);
                    cores.push((pat, body));
                });
                Some(Statement::Match { subject: typed.core, arms: cores, at: self.at(statement.span) })
            }
        }
    }

    fn unique_label(&mut self, label: &Template, labels: &mut BTreeMap<String, Location>) {
        let Some(text) = plain(label) else { return };
        let at = self.at(label.span);
        if let Some(first) = labels.get(&text) {
            let first = *first;
            self.report(say_names::duplicate_label(at, &text, first));
        } else {
            labels.insert(text, at);
        }
    }

    /// The item that a path names; what is wrong with it is reported.
    fn path_item(&mut self, path: &crate::ast::Path, is: fn(&ItemKind) -> bool) -> Option<Ref> {
        let at = self.at(path.span);
        let first = path.names.first()?;
        if first.text.is_empty() {
            return None;
        }
        match (self.checker.names.find(self.module, &first.text), path.names.as_slice()) {
            (Some(Bound::Item(item)), [_]) => {
                self.used(first.span, || Target::Item(item.id));
                Some(item)
            }
            (Some(Bound::Module { module, via }), [_, name]) => {
                self.used(first.span, || Target::Module(module));
                self.exported(module, via, name)
            }
            (Some(_), _) => {
                self.report(say::not_callable(at, &written_path(path)));
                None
            }
            (None, _) => {
                // What kinds of items there are is not noted.
                self.checker.untold();
                let near = {
                    let visible = self.checker.names.visible(self.module);
                    let legal = visible.filter(|name| self.is_legal(name, path.names.len() > 1, is));
                    nearest(&first.text, legal).map(str::to_owned)
                };
                let at = self.at(first.span);
                self.report(say_names::unknown_name(at, &first.text, near.as_deref(), false));
                None
            }
        }
    }

    /// Whether a visible name can stand there: a module before a dot, else an item of the kind.
    fn is_legal(&self, name: &str, has_dot: bool, is: fn(&ItemKind) -> bool) -> bool {
        match self.checker.names.find(self.module, name) {
            Some(Bound::Item(item)) => !has_dot && self.checker.syntax(item.id).is_some_and(|item| is(&item.kind)),
            Some(Bound::Module { .. }) => has_dot,
            None => false,
        }
    }

    fn step(
        &mut self,
        kind: &crate::ast::Path,
        label: Option<&Template>,
        fields: &[FieldInit],
        span: Span,
    ) -> Option<Step> {
        let found = self.path_item(kind, |item| matches!(item, ItemKind::Extern(Extern::Step { .. })));
        let item = found.and_then(|found| Some((found, self.checker.demand(found.id)?)));
        let at = self.at(kind.span);
        let name = written_path(kind);
        let Some((of, item)) = item else {
            for field in fields {
                self.unchecked(&field.value);
            }
            return None;
        };
        let Item::Step { on, fields: declared, .. } = &*item else {
            if !matches!(&*item, Item::Nothing) {
                let is_recipe = matches!(&*item, Item::Recipe { .. });
                self.report(say::not_a_step(at, &name, is_recipe));
            }
            for field in fields {
                self.unchecked(&field.value);
            }
            return None;
        };
        self.fits_platform(&name, on, of, kind.span, say_platform::wrong_step);
        let label_at = label.map_or(at, |label| self.at(label.span));
        let label = label.map(|label| {
            let typed = self.text(label, label.span, None);
            if self.refuses_secret(&typed.ty, label.span, crate::diagnostic::secrets::Use::Label) {
                return self.poison(label.span).core;
            }
            typed.core
        });
        let fields = self.step_fields((of.id, &name), declared, fields, kind.span);
        Some(Step { kind: of, name: name.into(), label, label_at, fields, at: self.at(span) })
    }

    fn fits_platform(
        &mut self,
        name: &str,
        on: &[Pattern],
        of: Ref,
        span: Span,
        say: fn(Location, &str, &Pattern, &[Pattern], Location) -> crate::diagnostic::Diagnostic,
    ) {
        let all = self.platforms.clone().unwrap_or_default();
        if let Some(wrong) = all.iter().find(|platform| !platform.is_covered(on))
            && !on.is_empty()
        {
            let (at, place) = (self.at(span), self.checker.name_place(of.id));
            self.report(say(at, name, wrong, on, place));
        }
    }

    fn use_recipe(&mut self, path: &crate::ast::Path, args: &[crate::ast::Arg], span: Span) -> Option<Statement> {
        let name = written_path(path);
        let found = self.path_item(path, |item| matches!(item, ItemKind::Recipe { .. }));
        let item = found.and_then(|found| Some((found, self.checker.demand(found.id)?)));
        let Some((of, item)) = item else {
            self.unused_args(args);
            return None;
        };
        let Item::Recipe { params, on, .. } = &*item else {
            if !matches!(&*item, Item::Nothing) {
                let at = self.at(path.span);
                self.report(say::not_a_recipe(at, &name, matches!(&*item, Item::Step { .. })));
            }
            self.unused_args(args);
            return None;
        };
        self.fits_platform(&name, on, of, path.span, say_platform::wrong_recipe);
        let arguments = self.arguments((of.id, None), &name, params, args, span);
        arguments.whole.then(|| Statement::Use {
            recipe: of,
            name: name.into(),
            args: arguments.cores,
            at: self.at(span),
        })
    }

    fn unused_args(&mut self, args: &[crate::ast::Arg]) {
        for arg in args {
            if let crate::ast::ArgValue::Expr(value) = &arg.value {
                self.infer(value);
            }
        }
    }

    /// The one field of this name at the top of an image.
    pub(super) fn image_field<'s>(&mut self, body: &'s [Ast], name: &str) -> Option<&'s FieldInit> {
        let mut found: Option<&FieldInit> = None;
        for statement in body {
            if let StatementKind::Field(field) = &statement.kind
                && &*field.name.text == name
            {
                if let Some(first) = found {
                    let (at, first) = (self.at(field.name.span), self.at(first.name.span));
                    self.report(say_names::duplicate_member(at, "field", name, first));
                } else {
                    found = Some(field);
                }
            }
        }
        found
    }

    /// The image that `from` gives, as a type; poison where it gives none.
    pub(super) fn image_type(&mut self, from: &Expr, ty: &Type) -> Type {
        match ty {
            Type::Source(platform, format) | Type::Image(platform, format) => {
                Type::Image(platform.clone(), format.clone())
            }
            Type::Error => Type::Error,
            other => {
                self.report(say::bad_from(from.at, other));
                Type::Error
            }
        }
    }
}
