//! Bodies of images, recipes and tests: fields, steps, and what narrows the platforms.

use crate::ast::{
    Arm, BinaryOp, Expr, ExprKind, FieldInit, ForHead, Pattern as PatternAst, PatternKind, Statement, StatementKind,
    TypeExpr,
};
use crate::core::Item as Checked;
use crate::types::{FormatIndex, ItemId, Pattern, PlatformIndex, Type};

use super::super::Access;
use super::{
    Call, Callee, Declared, Spot, Target, Walk, Wanted, declared_of, first_span, is_platform, platforms_in,
    platforms_of, resolve,
};

impl Walk<'_, '_> {
    pub(super) fn image(&mut self, each: Option<&ForHead>, ty: Option<&TypeExpr>, body: &[Statement]) {
        each.into_iter().for_each(|head| self.head(head));
        ty.into_iter().for_each(|ty| self.written(ty));
        let from = body.iter().find_map(|statement| match &statement.kind {
            StatementKind::Field(field) if &*field.name.text == "from" => Some(&field.value),
            _ => None,
        });
        let machine = from.and_then(|from| self.machine_of(from));
        let known = self.view.checked(self.id).and_then(|item| match &**item {
            Checked::Image(image) if !image.ty.is_error() => Some(platforms_of(&image.ty)),
            _ => None,
        });
        let given = |name: &str| {
            body.iter().any(|s| matches!(&s.kind, StatementKind::Field(field) if &*field.name.text == name))
        };
        let open: Vec<&'static str> = ["from", "machine"].into_iter().filter(|name| !given(name)).collect();
        let platforms = known.or_else(|| Some(platforms_of(&self.type_of(from?)?)));
        let platforms = Some(platforms.unwrap_or_else(|| vec![Pattern::ANY]));
        for statement in body {
            if let StatementKind::Field(field) = &statement.kind {
                // A half-typed step looks like a field; what a field is set to knows no platform.
                self.platforms.clone_from(&platforms);
                self.spot(field.name.span, || Spot::Statement(open.clone()));
                self.platforms = None;
                self.image_field(field, machine.as_ref());
            }
        }
        self.platforms = platforms;
        self.block(body);
        self.scoped(|this| {
            let rest = body.iter().filter(|statement| !matches!(statement.kind, StatementKind::Field(_)));
            rest.for_each(|statement| this.statement(statement, &open));
        });
    }

    pub(super) fn image_field(&mut self, field: &FieldInit, machine: Option<&Type>) {
        let (any, all) = (PlatformIndex::Is(Pattern::ANY), FormatIndex::Any);
        let base = Type::Union([Type::Source(any.clone(), all.clone()), Type::Image(any, all)].into());
        let (target, want) = match &*field.name.text {
            "from" => ("from", Some(&base)),
            "machine" => ("machine", machine),
            _ => return self.expr(&field.value, None),
        };
        self.used(&field.name, &Target::ImageField(target), Access::Write);
        self.expr(&field.value, want);
    }

    pub(super) fn statements(&mut self, statements: &[Statement]) {
        self.block(statements);
        self.scoped(|this| statements.iter().for_each(|statement| this.statement(statement, &[])));
    }

    pub(super) fn statement(&mut self, statement: &Statement, open: &[&'static str]) {
        match &statement.kind {
            StatementKind::Error => {}
            StatementKind::Step { kind, label, fields } => {
                self.spot(first_span(kind), || Spot::Statement(open.to_vec()));
                let found = self.path(kind, Wanted::Step);
                label.iter().for_each(|label| self.template(label, None));
                self.step_fields(found, fields);
                if let Some(of) = found {
                    let callee = Callee::Item(of);
                    self.sink.call(&Call { callee, args: &[], fields, span: statement.span, open: kind.span.end });
                }
            }
            StatementKind::Field(field) => {
                self.spot(field.name.span, || Spot::Statement(open.to_vec()));
                self.expr(&field.value, None);
            }
            StatementKind::Use { recipe, args } => {
                self.spot(first_span(recipe), || Spot::Recipe);
                let found = self.path(recipe, Wanted::Recipe);
                let callee = found.map(Callee::Item);
                self.arguments(callee.as_ref(), args);
                if let Some(callee) = callee {
                    let open = recipe.span.end;
                    self.sink.call(&Call { callee, args, fields: &[], span: statement.span, open });
                }
            }
            StatementKind::Let(value) => {
                let ty = self.value_of(value, None);
                if value.ty.is_none() {
                    self.sink.inferred(&value.name, &ty);
                }
                let target = Target::Local { of: self.id, start: value.name.span.start };
                self.bind(&value.name, &target, ty);
            }
            StatementKind::If { condition, then, otherwise } => {
                self.expr(condition, Some(&Type::Bool));
                self.scoped(|this| {
                    this.narrow(condition);
                    this.statements(then);
                });
                self.statements(otherwise);
            }
            StatementKind::For { head, body } => self.scoped(|this| {
                this.head(head);
                this.statements(body);
            }),
            StatementKind::Match { subject, arms } => {
                self.expr(subject, None);
                for arm in arms {
                    self.arm(subject, arm, |this, body| this.statements(body));
                }
            }
        }
    }

    pub(super) fn step_fields(&mut self, of: Option<ItemId>, fields: &[FieldInit]) {
        let declared = of.map(|of| declared_of(self.view, of)).unwrap_or_default();
        self.fields(&declared, fields);
    }

    /// Fields of a step or record against what is declared.
    pub(super) fn fields(&mut self, declared: &[Declared], fields: &[FieldInit]) {
        let open = || {
            let given = |field: &&Declared| fields.iter().any(|other| other.name.text == field.name);
            declared.iter().filter(|field| !given(field)).cloned().collect::<Vec<_>>()
        };
        for field in fields {
            self.spot(field.name.span, || Spot::Field(open()));
            let known = declared.iter().find(|declared| declared.name == field.name.text);
            let loose = Target::Loose(field.name.text.clone());
            let target = known.and_then(|known| known.target.clone()).unwrap_or(loose);
            self.used(&field.name, &target, Access::Write);
            self.expr(&field.value, known.and_then(|known| known.ty.as_ref()));
        }
    }

    /// One arm of a `match`, with what its pattern binds and says.
    pub(super) fn arm<T>(&mut self, subject: &Expr, arm: &Arm<T>, walk: impl FnOnce(&mut Self, &T)) {
        let ty = self.type_of(subject);
        self.scoped(|this| {
            this.pattern(&arm.pattern, ty.as_ref());
            if is_platform(subject) {
                this.keep(&platforms_in(&arm.pattern));
            }
            walk(this, &arm.body);
        });
    }

    pub(super) fn pattern(&mut self, pattern: &PatternAst, ty: Option<&Type>) {
        match &pattern.kind {
            PatternKind::Any(all) => return all.iter().for_each(|one| self.pattern(one, ty)),
            PatternKind::Rest | PatternKind::None | PatternKind::Platform(_) | PatternKind::Error => {}
            PatternKind::Literal(value) => return self.expr(value, ty),
            PatternKind::Variant { path, bindings } => {
                let found = self.pattern_variant(path, ty);
                let fields = found.map(|(of, name)| resolve::payload(self.view, of, &name)).unwrap_or_default();
                for (number, name) in bindings.iter().enumerate() {
                    let ty = fields.get(number).and_then(|field| field.ty.clone()).unwrap_or(Type::Error);
                    self.bind_local(name, ty);
                }
            }
        }
        let span = if let PatternKind::Variant { path, .. } = &pattern.kind { first_span(path) } else { pattern.span };
        self.spot(span, || Spot::Pattern(ty.cloned()));
    }

    /// Narrows the platforms by a condition such as `platform in linux/*`.
    pub(super) fn narrow(&mut self, condition: &Expr) {
        if let ExprKind::Binary { op: BinaryOp::In, left, right, .. } = &condition.kind
            && let (true, ExprKind::Platform(platform)) = (is_platform(left), &right.kind)
        {
            self.keep(&[Pattern::written(platform)]);
        }
    }

    pub(super) fn keep(&mut self, patterns: &[Pattern]) {
        if let Some(platforms) = &mut self.platforms
            && !patterns.is_empty()
        {
            let both = platforms.iter().flat_map(|a| patterns.iter().filter_map(|b| a.and(b)));
            *platforms = both.collect();
        }
    }
}
