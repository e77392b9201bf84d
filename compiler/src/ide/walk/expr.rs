//! Expressions: what each part is asked for.

use std::sync::Arc;

use crate::ast::{Arg, ArgValue, BinaryOp, Expr, ExprKind, FieldInit, ForHead, Name, Template, TemplatePart, UnaryOp};
use crate::types::Type;

use super::super::Access;
use super::resolve::{Base, Callee, Declared, declared_fields};
use super::values::{element, entry, in_list, is_map, record_in};
use super::{Around, Call, Spot, Target, TextSpot, Walk};

impl Walk<'_, '_> {
    pub(super) fn expr(&mut self, value: &Expr, want: Option<&Type>) {
        let found = if want.is_none() { self.view.expected_at(&self.at(value.span)) } else { None };
        let want = want.or(found.as_ref());
        let around = Around { locals: &self.locals, platforms: self.platforms.as_deref() };
        self.sink.expr(value, want, around);
        match &value.kind {
            ExprKind::None
            | ExprKind::Bool(_)
            | ExprKind::Int(_)
            | ExprKind::Size(_)
            | ExprKind::Duration(_)
            | ExprKind::Platform(_)
            | ExprKind::Error => self.value_spot(value, want),
            ExprKind::Text(template) => self.template(template, want),
            ExprKind::List(elements) => {
                let inner = want.and_then(in_list);
                for part in elements {
                    self.expr(&part.value, if part.spread { want } else { inner });
                }
            }
            ExprKind::Record { spreads, fields } => self.record(spreads, fields, value, want),
            ExprKind::Map { spreads, entries } => self.map(spreads, entries, want),
            ExprKind::ListFor { heads, condition, body } => {
                self.comprehension(heads, condition.as_deref(), &[(body, want.and_then(in_list))]);
            }
            ExprKind::MapFor { heads, condition, key, value } => {
                let (asked, inner) = want.and_then(entry).unzip();
                self.comprehension(heads, condition.as_deref(), &[(key, asked), (value, inner)]);
            }
            ExprKind::If { condition, then, otherwise } => {
                self.expr(condition, Some(&Type::Bool));
                self.scoped(|this| {
                    this.narrow(condition);
                    this.expr(then, want);
                });
                self.expr(otherwise, want);
            }
            ExprKind::Match { subject, arms } => {
                self.expr(subject, None);
                for arm in arms {
                    self.arm(subject, arm, |this, body| this.expr(body, want));
                }
            }
            ExprKind::Name(name) => self.name(name, value, want),
            ExprKind::Call { callee, args } => self.called(value, callee, args, want),
            ExprKind::Member { base, name } => {
                self.member(base, name);
            }
            ExprKind::Index { base, index } => self.index(base, index),
            ExprKind::Unary { op, operand } => {
                self.expr(operand, if *op == UnaryOp::Not { Some(&Type::Bool) } else { want });
            }
            ExprKind::Binary { op, left, right, .. } => self.binary(*op, left, right, want),
        }
    }

    fn map(&mut self, spreads: &[Expr], entries: &[(Expr, Expr)], want: Option<&Type>) {
        spreads.iter().for_each(|spread| self.expr(spread, want));
        let (key, inner) = want.and_then(entry).unzip();
        // A half-typed field looks like a key.
        let record = want.and_then(record_in).map(|ty| declared_fields(self.view, ty)).unwrap_or_default();
        for (one, other) in entries {
            if !record.is_empty() {
                self.spot(one.span, || Spot::Field(record.clone()));
            }
            self.expr(one, key);
            self.expr(other, inner);
        }
    }

    fn index(&mut self, base: &Expr, index: &Expr) {
        self.expr(base, None);
        let key = self.type_of(base).map(|ty| match ty {
            Type::Map(key, _) => (*key).clone(),
            _ => Type::Int,
        });
        self.expr(index, key.as_ref());
    }

    fn value_spot(&mut self, value: &Expr, want: Option<&Type>) {
        self.spot(value.span, || Spot::Value { want: want.cloned(), arguments: Vec::new() });
    }

    fn name(&mut self, name: &Name, value: &Expr, want: Option<&Type>) {
        self.value_spot(value, want);
        let variant = self.view.variant_at(&self.at(name.span));
        if let Some(target) = variant.or_else(|| self.meant(name, want)) {
            self.used(name, &target, Access::Read);
        }
    }

    pub(super) fn template(&mut self, template: &Template, want: Option<&Type>) {
        self.spot(template.span, || Spot::Text(TextSpot::Of(want.cloned())));
        self.holes(template);
    }

    fn holes(&mut self, template: &Template) {
        for part in &template.parts {
            if let TemplatePart::Hole { value, .. } = part {
                self.expr(value, None);
            }
        }
    }

    fn record(&mut self, spreads: &[Expr], fields: &[FieldInit], whole: &Expr, want: Option<&Type>) {
        spreads.iter().for_each(|spread| self.expr(spread, want));
        if let Some(map) = want.filter(|want| is_map(want)) {
            let inner = entry(map).map(|(_, value)| value);
            fields.iter().for_each(|field| self.expr(&field.value, inner));
        } else {
            let declared = want.and_then(record_in).map(|ty| declared_fields(self.view, ty)).unwrap_or_default();
            if spreads.is_empty() {
                self.sink.record(&declared, fields, whole.span);
            }
            self.fields(&declared, fields);
        }
    }

    fn comprehension(&mut self, heads: &[ForHead], condition: Option<&Expr>, bodies: &[(&Expr, Option<&Type>)]) {
        self.scoped(|this| {
            heads.iter().for_each(|head| this.head(head));
            condition.into_iter().for_each(|condition| this.expr(condition, Some(&Type::Bool)));
            for (body, want) in bodies {
                this.expr(body, *want);
            }
        });
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, want: Option<&Type>) {
        let (one, other) = match op {
            BinaryOp::Or | BinaryOp::And => (Some(Type::Bool), Some(Type::Bool)),
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
                (self.type_of(right), self.type_of(left))
            }
            BinaryOp::In => (None, self.type_of(left).map(|ty| Type::List(Arc::new(ty)))),
            BinaryOp::Coalesce
            | BinaryOp::Range
            | BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Rem => (want.cloned(), want.cloned().or_else(|| self.type_of(left))),
        };
        self.expr(left, one.as_ref());
        self.expr(right, other.as_ref());
    }

    fn called(&mut self, value: &Expr, callee: &Expr, args: &[Arg], want: Option<&Type>) {
        let found = match &callee.kind {
            ExprKind::Name(name) => {
                self.value_spot(callee, want);
                let target = self.meant(name, want);
                if let Some(target) = &target {
                    self.used(name, target, Access::Read);
                }
                target
            }
            ExprKind::Member { base, name } => self.member(base, name),
            ExprKind::Error => None,
            _ => {
                self.expr(callee, None);
                None
            }
        };
        let open = callee.span.end;
        let callee = found.and_then(|target| Callee::of(&target));
        match &callee {
            Some(Callee::Function("file" | "dir")) => self.path_args(callee.as_ref(), args),
            Some(Callee::Member(_, name)) => {
                let base =
                    if let ExprKind::Member { base, .. } = &value_callee(value).kind { Some(base) } else { None };
                let base = base.and_then(|base| self.type_of(base));
                self.member_args(base.as_ref(), name, args);
            }
            known => self.arguments(known.as_ref(), args),
        }
        if let Some(callee) = callee {
            self.sink.call(&Call { callee, args, fields: &[], span: value.span, open });
        }
    }

    /// `base.name`; what it means.
    fn member(&mut self, base: &Expr, name: &Name) -> Option<Target> {
        if let ExprKind::Name(first) = &base.kind
            && let Some(known) = self.base(first)
        {
            self.spot(base.span, || Spot::Value { want: None, arguments: Vec::new() });
            let (spot, target) = self.behind(&known, first, name);
            self.spot(name.span, || spot.clone());
            if let Some(target) = &target {
                self.used(name, target, Access::Read);
            }
            return target;
        }
        self.expr(base, None);
        let ty = self.type_of(base).unwrap_or(Type::Error);
        self.spot(name.span, || Spot::Member(ty.clone()));
        let target = self.value_member(&ty, name)?;
        self.used(name, &target, Access::Read);
        Some(target)
    }

    fn behind(&mut self, base: &Base, first: &Name, name: &Name) -> (Spot, Option<Target>) {
        match base {
            Base::Module(module, target) => {
                self.used(first, target, Access::Read);
                let item = self.exported(*module, &name.text).map(Target::Item);
                (Spot::Exported(*module, super::Wanted::Value), item)
            }
            Base::Enum(of) => {
                self.used(first, &Target::Item(*of), Access::Read);
                let variant = self.variant_of(*of, &name.text);
                (Spot::VariantOf(*of), variant)
            }
        }
    }

    /// The arguments of a call.
    pub(super) fn arguments(&mut self, callee: Option<&Callee>, args: &[Arg]) {
        let declared = callee.map(|callee| callee.declared(self.view)).unwrap_or_default();
        let mut position = 0;
        let open = |here: usize| {
            let given = |field: &Declared| {
                let named = |arg: &Arg| arg.name.as_ref().is_some_and(|name| name.text == field.name);
                args.iter().enumerate().any(|(n, arg)| n != here && named(arg))
            };
            // What stands at a position before is given, too.
            let before = args.iter().take(here).filter(|arg| arg.name.is_none()).count();
            declared.iter().skip(before).filter(|field| !given(field)).cloned().collect::<Vec<_>>()
        };
        for (number, arg) in args.iter().enumerate() {
            let known = if let Some(name) = &arg.name {
                self.spot(name.span, || Spot::Field(open(number)));
                declared.iter().find(|declared| declared.name == name.text)
            } else {
                position += 1;
                declared.get(position - 1)
            };
            if let (Some(name), Some(target)) = (&arg.name, known.and_then(|known| known.target.as_ref())) {
                self.used(name, target, Access::Write);
            }
            let arguments = if arg.name.is_none() { open(number) } else { Vec::new() };
            let want = known.and_then(|known| known.ty.clone());
            self.argument_value(&arg.value, want.as_ref(), &arguments);
        }
    }

    pub(super) fn argument_value(&mut self, value: &ArgValue, want: Option<&Type>, arguments: &[Declared]) {
        match value {
            ArgValue::Expr(value) => {
                if matches!(value.kind, ExprKind::Name(_) | ExprKind::Error) {
                    self.spot(value.span, || Spot::Value { want: want.cloned(), arguments: arguments.to_vec() });
                }
                self.expr(value, want);
            }
            ArgValue::Lambda { params, body } => self.lambda(params, body, &[]),
        }
    }

    fn lambda(&mut self, params: &[Name], body: &Expr, types: &[Type]) {
        self.scoped(|this| {
            for (number, name) in params.iter().enumerate() {
                this.bind_local(name, types.get(number).cloned().unwrap_or(Type::Error));
            }
            this.expr(body, None);
        });
    }

    /// `file("…")`, `dir("…", ignore: […])`.
    fn path_args(&mut self, callee: Option<&Callee>, args: &[Arg]) {
        let is_dir = matches!(callee, Some(Callee::Function("dir")));
        for arg in args {
            match &arg.value {
                ArgValue::Expr(Expr { kind: ExprKind::Text(template), .. }) if arg.name.is_none() => {
                    self.spot(template.span, || Spot::Text(if is_dir { TextSpot::Dir } else { TextSpot::File }));
                    self.holes(template);
                }
                value => self.argument_value(value, Some(&Type::List(Arc::new(Type::String))), &[]),
            }
        }
    }

    /// Arguments of members of built-in values: lambdas get the element.
    fn member_args(&mut self, base: Option<&Type>, name: &str, args: &[Arg]) {
        let inner = base.and_then(element);
        for (number, arg) in args.iter().enumerate() {
            match &arg.value {
                ArgValue::Lambda { params, body } => {
                    let start = args.first().filter(|_| name == "fold" && number == 1);
                    let start = start.and_then(|start| match &start.value {
                        ArgValue::Expr(value) => self.type_of(value),
                        ArgValue::Lambda { .. } => None,
                    });
                    let types: Vec<Type> = start.into_iter().chain(inner.clone()).collect();
                    self.lambda(params, body, &types);
                }
                ArgValue::Expr(value) => {
                    let want = if name == "contains" { inner.as_ref() } else { None };
                    self.expr(value, want);
                }
            }
        }
    }
}

fn value_callee(value: &Expr) -> &Expr {
    if let ExprKind::Call { callee, .. } = &value.kind { callee } else { value }
}
