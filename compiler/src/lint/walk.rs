//! One walk over the syntax of an item, for everything that looks at names, texts and statements.

#![expect(clippy::needless_for_each, reason = "a line a part keeps the walk readable")]

use crate::ast::{
    Arg, ArgValue, Expr, ExprKind, Extern, FieldInit, ForHead, Import, Item, ItemKind, Let, Name, Param, Path, Pattern,
    PatternKind, Statement, StatementKind, Template, TemplatePart, TypeExpr, TypeKind,
};

/// What is met on the way, in source order.
pub(super) trait Visit<'a> {
    /// Names with dots between them that refer to something; the first is bound somewhere.
    fn path(&mut self, _names: &[&'a Name]) {}
    /// A member of something that is no plain name.
    fn member(&mut self, _name: &'a Name) {}
    /// A local gets a name; `what` is its kind in words where it should be used.
    fn bind(&mut self, _name: &'a Name, _what: &'static str) {}
    /// A scope of locals begins.
    fn open(&mut self) {}
    /// The innermost scope ends.
    fn close(&mut self) {}
    /// A text literal, before its holes.
    fn text(&mut self, _text: &'a Template) {}
    /// A call, before its parts.
    fn call(&mut self, _callee: &'a Expr, _args: &'a [Arg]) {}
    /// A value with a name: a field, a `let`, a default, an argument.
    fn named(&mut self, _name: &'a Name, _value: &'a Expr) {}
}

/// Walks an item.
pub(super) fn item<'a>(item: &'a Item, visit: &mut dyn Visit<'a>) {
    visit.open();
    match &item.kind {
        ItemKind::Edition { .. } | ItemKind::Error => {}
        ItemKind::Import(import) => self::import(import, visit),
        ItemKind::Param(param) => field(param, visit),
        ItemKind::Secret { ty, from, version, .. } => {
            ty.iter().for_each(|ty| written(ty, visit));
            expr(from, visit);
            version.iter().for_each(|version| expr(version, visit));
        }
        ItemKind::Let(value) | ItemKind::Output(value) => value_of(value, visit),
        ItemKind::Fn { params, result, body, .. } => {
            params.iter().for_each(|param| local(param, visit));
            result.iter().for_each(|ty| written(ty, visit));
            expr(body, visit);
        }
        ItemKind::Record { fields, .. } => fields.iter().for_each(|param| field(param, visit)),
        ItemKind::Enum { variants, .. } => {
            variants.iter().flat_map(|variant| &variant.payload).for_each(|param| field(param, visit));
        }
        ItemKind::Recipe { params, body, .. } => {
            params.iter().for_each(|param| local(param, visit));
            statements(body, visit);
        }
        ItemKind::Image { each, ty, body, .. } => {
            each.iter().for_each(|each| head(each, visit));
            ty.iter().for_each(|ty| written(ty, visit));
            statements(body, visit);
        }
        ItemKind::Test { of, body, .. } => {
            expr(of, visit);
            statements(body, visit);
        }
        ItemKind::Extern(external) => self::external(external, visit),
    }
    visit.close();
}

fn import<'a>(import: &'a Import, visit: &mut dyn Visit<'a>) {
    import.args.iter().for_each(|arg| argument(arg, visit));
}

fn external<'a>(external: &'a Extern, visit: &mut dyn Visit<'a>) {
    let (params, result) = match external {
        Extern::Step { fields, .. } => (fields, None),
        Extern::Source { params, result, .. } | Extern::Artifact { params, result, .. } => (params, result.as_ref()),
    };
    params.iter().for_each(|param| field(param, visit));
    result.into_iter().for_each(|ty| written(ty, visit));
}

/// A param of a module, or a field: it binds nothing outside of itself.
fn field<'a>(param: &'a Param, visit: &mut dyn Visit<'a>) {
    visit.open();
    param.ty.iter().for_each(|ty| written(ty, visit));
    if let Some(default) = &param.default {
        visit.named(&param.name, default);
        expr(default, visit);
    }
    param.predicate.iter().for_each(|predicate| expr(predicate, visit));
    visit.close();
}

/// A param of a function or recipe.
fn local<'a>(param: &'a Param, visit: &mut dyn Visit<'a>) {
    field(param, visit);
    visit.bind(&param.name, "param");
}

fn value_of<'a>(value: &'a Let, visit: &mut dyn Visit<'a>) {
    value.ty.iter().for_each(|ty| written(ty, visit));
    visit.named(&value.name, &value.value);
    expr(&value.value, visit);
}

fn head<'a>(head: &'a ForHead, visit: &mut dyn Visit<'a>) {
    expr(&head.over, visit);
    // Whoever only wants to count has no use for what is counted, and of a key and a value often one is wanted.
    head.names.iter().for_each(|name| visit.bind(name, ""));
}

/// The statements of a block, in a scope of their own.
fn statements<'a>(all: &'a [Statement], visit: &mut dyn Visit<'a>) {
    visit.open();
    for statement in all {
        match &statement.kind {
            StatementKind::Error => {}
            StatementKind::Step { kind, label, fields } => {
                dotted(kind, visit);
                label.iter().for_each(|label| text(label, visit));
                fields.iter().for_each(|field| initialised(field, visit));
            }
            StatementKind::Field(field) => initialised(field, visit),
            StatementKind::Use { recipe, args } => {
                dotted(recipe, visit);
                args.iter().for_each(|arg| argument(arg, visit));
            }
            StatementKind::Let(value) => {
                value_of(value, visit);
                visit.bind(&value.name, "let");
            }
            StatementKind::If { condition, then, otherwise } => {
                expr(condition, visit);
                statements(then, visit);
                statements(otherwise, visit);
            }
            StatementKind::For { head, body } => {
                visit.open();
                self::head(head, visit);
                statements(body, visit);
                visit.close();
            }
            StatementKind::Match { subject, arms } => {
                expr(subject, visit);
                for arm in arms {
                    visit.open();
                    pattern(&arm.pattern, visit);
                    statements(&arm.body, visit);
                    visit.close();
                }
            }
        }
    }
    visit.close();
}

fn initialised<'a>(field: &'a FieldInit, visit: &mut dyn Visit<'a>) {
    visit.named(&field.name, &field.value);
    expr(&field.value, visit);
}

fn argument<'a>(arg: &'a Arg, visit: &mut dyn Visit<'a>) {
    match &arg.value {
        ArgValue::Expr(value) => {
            arg.name.iter().for_each(|name| visit.named(name, value));
            expr(value, visit);
        }
        ArgValue::Lambda { params, body } => {
            visit.open();
            params.iter().for_each(|name| visit.bind(name, ""));
            expr(body, visit);
            visit.close();
        }
    }
}

fn dotted<'a>(path: &'a Path, visit: &mut dyn Visit<'a>) {
    visit.path(&path.names.iter().collect::<Vec<_>>());
}

fn pattern<'a>(pattern: &'a Pattern, visit: &mut dyn Visit<'a>) {
    match &pattern.kind {
        PatternKind::Rest | PatternKind::None | PatternKind::Platform(_) | PatternKind::Error => {}
        PatternKind::Variant { path, bindings } => {
            dotted(path, visit);
            bindings.iter().for_each(|name| visit.bind(name, ""));
        }
        PatternKind::Literal(value) => expr(value, visit),
        PatternKind::Any(all) => all.iter().for_each(|one| self::pattern(one, visit)),
    }
}

fn written<'a>(ty: &'a TypeExpr, visit: &mut dyn Visit<'a>) {
    match &ty.kind {
        TypeKind::Platform(_) | TypeKind::Literal(_) | TypeKind::Any | TypeKind::Error => {}
        TypeKind::Named { path, args } => {
            dotted(path, visit);
            args.iter().for_each(|arg| written(arg, visit));
        }
        TypeKind::Optional(inner) => written(inner, visit),
        TypeKind::Union(all) => all.iter().for_each(|one| written(one, visit)),
    }
}

fn text<'a>(template: &'a Template, visit: &mut dyn Visit<'a>) {
    visit.text(template);
    for part in &template.parts {
        match part {
            TemplatePart::Text { .. } => {}
            TemplatePart::Hole { value, .. } => expr(value, visit),
        }
    }
}

/// The names of `a.b.c`, where that is all there is.
pub(super) fn names(expr: &Expr) -> Option<Vec<&Name>> {
    match &expr.kind {
        ExprKind::Name(name) => Some(vec![name]),
        ExprKind::Member { base, name } => {
            let mut names = self::names(base)?;
            names.push(name);
            Some(names)
        }
        _ => None,
    }
}

fn expr<'a>(value: &'a Expr, visit: &mut dyn Visit<'a>) {
    match &value.kind {
        ExprKind::None
        | ExprKind::Bool(_)
        | ExprKind::Int(_)
        | ExprKind::Size(_)
        | ExprKind::Duration(_)
        | ExprKind::Platform(_)
        | ExprKind::Error => {}
        ExprKind::Text(template) => text(template, visit),
        ExprKind::List(elements) => elements.iter().for_each(|element| expr(&element.value, visit)),
        ExprKind::Record { spreads, fields } => {
            spreads.iter().for_each(|spread| expr(spread, visit));
            fields.iter().for_each(|field| initialised(field, visit));
        }
        ExprKind::Map { spreads, entries } => {
            spreads.iter().for_each(|spread| expr(spread, visit));
            entries.iter().flat_map(|(key, value)| [key, value]).for_each(|part| expr(part, visit));
        }
        ExprKind::ListFor { heads, condition, body } => comprehension(heads, condition.as_deref(), &[body], visit),
        ExprKind::MapFor { heads, condition, key, value } => {
            comprehension(heads, condition.as_deref(), &[key, value], visit);
        }
        ExprKind::If { condition, then, otherwise } => [condition, then, otherwise].iter().for_each(|e| expr(e, visit)),
        ExprKind::Match { subject, arms } => {
            expr(subject, visit);
            for arm in arms {
                visit.open();
                pattern(&arm.pattern, visit);
                expr(&arm.body, visit);
                visit.close();
            }
        }
        ExprKind::Name(name) => visit.path(&[name]),
        ExprKind::Call { callee, args } => {
            visit.call(callee, args);
            expr(callee, visit);
            args.iter().for_each(|arg| argument(arg, visit));
        }
        ExprKind::Member { base, name } => {
            if let Some(names) = names(value) {
                visit.path(&names);
            } else {
                expr(base, visit);
                visit.member(name);
            }
        }
        ExprKind::Index { base, index } => [base, index].iter().for_each(|e| expr(e, visit)),
        ExprKind::Unary { operand, .. } => expr(operand, visit),
        ExprKind::Binary { left, right, .. } => [left, right].iter().for_each(|e| expr(e, visit)),
    }
}

fn comprehension<'a>(
    heads: &'a [ForHead],
    condition: Option<&'a Expr>,
    bodies: &[&'a Expr],
    visit: &mut dyn Visit<'a>,
) {
    visit.open();
    heads.iter().for_each(|head| self::head(head, visit));
    condition.into_iter().chain(bodies.iter().copied()).for_each(|e| expr(e, visit));
    visit.close();
}
