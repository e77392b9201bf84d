//! Operators: which operands each one takes.

use std::sync::Arc;

use crate::ast::{BinaryOp, Expr as Ast, ExprKind, UnaryOp};
use crate::core::{Builtin, Kind};
use crate::diagnostic::{platform as say_platform, secrets as say_secrets, types as say};
use crate::evaluate::Value;
use crate::span::Span;
use crate::spelling::nearest;
use crate::types::{CheckedText, Fit, SYSTEMS, Type, fit, join};

use super::{Body, Typed, Want};

/// Names that are hardly anything but architectures.
const ARCHITECTURES: [&str; 7] = ["amd64", "arm64", "arm", "riscv64", "ppc64le", "s390x", "386"];

impl Body<'_, '_> {
    pub(super) fn unary(&mut self, op: UnaryOp, operand: &Ast, span: Span) -> Typed {
        match op {
            UnaryOp::Not => {
                let value = self.condition(operand);
                self.typed(Kind::Not(Box::new(value)), span, Type::Bool)
            }
            UnaryOp::Neg => {
                let why = None;
                let value = self.expr(operand, Some(Want { ty: &Type::Int, why }));
                match value.core.kind {
                    Kind::Value(Value::Int(n)) if n != i64::MIN => {
                        self.typed(Kind::Value(Value::Int(-n)), span, Type::Int)
                    }
                    _ => self.typed(Kind::Neg(Box::new(value.core)), span, Type::Int),
                }
            }
        }
    }

    pub(super) fn binary(&mut self, op: BinaryOp, op_span: Span, left: &Ast, right: &Ast, span: Span) -> Typed {
        match op {
            BinaryOp::Or | BinaryOp::And => self.logical(op, left, right, span),
            BinaryOp::Eq | BinaryOp::Ne => self.equality(op, op_span, left, right, span),
            BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Range => {
                self.ordering(op, op_span, left, right, span)
            }
            BinaryOp::In => self.containment(op_span, left, right, span),
            BinaryOp::Coalesce => self.coalesce(left, right, span),
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => {
                self.arithmetic(op, op_span, left, right, span)
            }
        }
    }

    fn finish(&self, op: BinaryOp, left: Typed, right: Typed, span: Span, ty: Type) -> Typed {
        self.typed(Kind::Binary { op, left: Box::new(left.core), right: Box::new(right.core) }, span, ty)
    }

    fn logical(&mut self, op: BinaryOp, left: &Ast, right: &Ast, span: Span) -> Typed {
        let want = Some(Want { ty: &Type::Bool, why: None });
        let left_typed = self.expr(left, want);
        let facts = self.facts_of(left, op == BinaryOp::And);
        let right_typed = self.scoped(|body| {
            body.assume(facts);
            body.expr(right, want)
        });
        self.finish(op, left_typed, right_typed, span, Type::Bool)
    }

    /// A bare variant or literal on one side is checked against the type of the other.
    fn equality(&mut self, op: BinaryOp, op_span: Span, left: &Ast, right: &Ast, span: Span) -> Typed {
        let right_first = self.is_open_name(left);
        let (left_typed, right_typed) = if right_first {
            let right_typed = self.infer(right);
            let asked = right_typed.ty.clone();
            let why = Some((right_typed.core.at, "compared with this"));
            (self.side(left, &asked, why), right_typed)
        } else {
            let left_typed = self.infer(left);
            let asked = left_typed.ty.clone();
            let why = Some((left_typed.core.at, "compared with this"));
            let right_typed = self.side(right, &asked, why);
            (left_typed, right_typed)
        };
        for (typed, ast) in [(&left_typed, left), (&right_typed, right)] {
            // Whether there is something can be asked of everything that may be left out.
            let with_none = matches!(left_typed.ty, Type::None) || matches!(right_typed.ty, Type::None);
            if typed.ty.holds_secret() && !with_none {
                let at = self.at(ast.span);
                self.report(say_secrets::misused(at, say_secrets::Use::Operator));
                return self.poison(span);
            }
            if !typed.ty.is_comparable() && !with_none {
                let at = self.at(ast.span);
                self.report(say::not_comparable(at, &typed.ty));
                return self.poison(span);
            }
        }
        if join(&left_typed.ty, &right_typed.ty).is_none() {
            let at = self.at(op_span);
            self.report(say::bad_operands(at, "compare", &left_typed.ty, &right_typed.ty, None));
            return self.poison(span);
        }
        self.finish(op, left_typed, right_typed, span, Type::Bool)
    }

    /// One side of a comparison: literals take the other side's type, everything else keeps its own.
    fn side(&mut self, side: &Ast, other: &Type, why: super::calls::Why<'_>) -> Typed {
        let is_open = self.is_open_name(side)
            || matches!(side.kind, ExprKind::Text(_) | ExprKind::Int(_) | ExprKind::List(_) | ExprKind::Call { .. });
        let alone = matches!(other, Type::None | Type::Error | Type::Never);
        if alone || !is_open {
            return self.infer(side);
        }
        let plain_text = matches!(side.kind, ExprKind::Text(_))
            && !matches!(other.required(), Type::Union(_) | Type::Literal(_) | Type::Checked(_));
        if plain_text || matches!(side.kind, ExprKind::Call { .. }) && other.as_enum().is_none() {
            return self.infer(side);
        }
        self.expr(side, Some(Want { ty: other, why }))
    }

    /// A name that means something only where a type is asked: a bare variant.
    fn is_open_name(&self, expr: &Ast) -> bool {
        let ExprKind::Name(name) = &expr.kind else { return false };
        self.local(&name.text).is_none()
            && &*name.text != "platform"
            && self.checker.names.find(self.module, &name.text).is_none()
    }

    /// Both sides of an order; a literal beside a version is one.
    fn sides(&mut self, left: &Ast, right: &Ast) -> (Typed, Typed) {
        let is_text = |side: &Ast| matches!(side.kind, ExprKind::Text(_));
        let is_version = |typed: &Typed| matches!(typed.ty, Type::Checked(CheckedText::Semver));
        let ty = Type::Checked(CheckedText::Semver);
        if is_text(left) && !is_text(right) {
            let right = self.infer(right);
            let want = is_version(&right).then_some(Want { ty: &ty, why: None });
            return (self.expr(left, want), right);
        }
        let left = self.infer(left);
        let want = (is_text(right) && is_version(&left)).then_some(Want { ty: &ty, why: None });
        (left, self.expr(right, want))
    }

    fn ordering(&mut self, op: BinaryOp, op_span: Span, left: &Ast, right: &Ast, span: Span) -> Typed {
        let (left_typed, right_typed) = self.sides(left, right);
        if left_typed.ty.is_error() || right_typed.ty.is_error() {
            return self.poison(span);
        }
        let is_range = op == BinaryOp::Range;
        for (typed, ast) in [(&left_typed, left), (&right_typed, right)] {
            if self.refuses_secret(&typed.ty, ast.span, say_secrets::Use::Operator) {
                return self.poison(span);
            }
        }
        let joined = join(&left_typed.ty, &right_typed.ty).filter(Type::is_ordered);
        let joined = joined.filter(|ty| !is_range || !matches!(ty, Type::Checked(_)));
        let Some(joined) = joined else {
            let what = if op == BinaryOp::Range { "make a range of" } else { "order" };
            let at = self.at(op_span);
            self.report(say::bad_operands(at, what, &left_typed.ty, &right_typed.ty, None));
            return self.poison(span);
        };
        if matches!(joined, Type::Checked(CheckedText::Semver)) {
            return self.version_order(op, left_typed, right_typed, span);
        }
        let ty = if op == BinaryOp::Range { Type::Range(Arc::new(joined)) } else { Type::Bool };
        self.finish(op, left_typed, right_typed, span, ty)
    }

    /// `a < b` of versions is `compare(a, b) < 0`.
    fn version_order(&self, op: BinaryOp, left: Typed, right: Typed, span: Span) -> Typed {
        let (base, args) = (Box::new(left.core), vec![right.core]);
        let kind = Kind::Builtin { builtin: Builtin::Compare, base, args, lambda: None };
        let zero = self.typed(Kind::Value(Value::Int(0)), span, Type::Int);
        self.finish(op, self.typed(kind, span, Type::Int), zero, span, Type::Bool)
    }

    fn containment(&mut self, op_span: Span, left: &Ast, right: &Ast, span: Span) -> Typed {
        if let ExprKind::Platform(platform) = &right.kind {
            let pattern = self.pattern(platform);
            let any = Type::Platform(crate::types::Pattern::ANY);
            let value = Box::new(self.expr(left, Some(Want { ty: &any, why: None })).core);
            return self.typed(Kind::InPattern { value, pattern }, span, Type::Bool);
        }
        let right_typed = if let (ExprKind::List(_), false) = (&right.kind, self.is_open_name(left)) {
            // A list of literals or variants takes the type of what is looked for.
            let left_typed = self.infer(left);
            let asked = Type::List(Arc::new(left_typed.ty.clone()));
            let right_typed =
                self.expr(right, Some(Want { ty: &asked, why: Some((left_typed.core.at, "looked for this")) }));
            return self.finish(BinaryOp::In, left_typed, right_typed, span, Type::Bool);
        } else {
            self.infer(right)
        };
        let element = match &right_typed.ty {
            Type::List(inner) | Type::Set(inner) | Type::Range(inner) => (**inner).clone(),
            Type::Map(key, _) => (**key).clone(),
            Type::Error => return self.poison(span),
            other => {
                let at = self.at(op_span);
                self.report(say::bad_container(at, other));
                return self.poison(span);
            }
        };
        let why = Some((right_typed.core.at, "looked for in this"));
        let left_typed = self.expr(left, Some(Want { ty: &element, why }));
        self.finish(BinaryOp::In, left_typed, right_typed, span, Type::Bool)
    }

    fn coalesce(&mut self, left: &Ast, right: &Ast, span: Span) -> Typed {
        let left_typed = self.infer(left);
        match &left_typed.ty {
            Type::Optional(inner) => {
                let inner = (**inner).clone();
                let wide = inner.clone().optional();
                let why = Some((left_typed.core.at, "the default of this"));
                let right_typed = self.expr(right, Some(Want { ty: &wide, why }));
                let ty = if fit(&right_typed.ty, &inner) == Fit::Yes { inner } else { wide };
                self.finish(BinaryOp::Coalesce, left_typed, right_typed, span, ty)
            }
            Type::None => {
                let right_typed = self.infer(right);
                let ty = right_typed.ty.clone();
                self.finish(BinaryOp::Coalesce, left_typed, right_typed, span, ty)
            }
            Type::Error => {
                self.infer(right);
                self.poison(span)
            }
            other => {
                let at = self.at(left.span);
                self.report(say::never_none(at, other));
                self.infer(right);
                self.poison(span)
            }
        }
    }

    /// `linx/amd64`: a platform whose system is misspelt reads as a division.
    fn misspelt_platform(&mut self, op: BinaryOp, left: &Ast, right: &Ast, span: Span) -> bool {
        let (BinaryOp::Div, ExprKind::Name(os), ExprKind::Name(arch)) = (op, &left.kind, &right.kind) else {
            return false;
        };
        let is_platform = ARCHITECTURES.contains(&&*arch.text) && self.is_open_name(left) && self.is_open_name(right);
        if is_platform {
            let at = self.at(span);
            self.report(say_platform::unknown_system(at, &os.text, nearest(&os.text, SYSTEMS)));
        }
        is_platform
    }

    fn arithmetic(&mut self, op: BinaryOp, op_span: Span, left: &Ast, right: &Ast, span: Span) -> Typed {
        if self.misspelt_platform(op, left, right, span) {
            return self.poison(span);
        }
        let (left_typed, right_typed) = (self.infer(left), self.infer(right));
        for (typed, ast) in [(&left_typed, left), (&right_typed, right)] {
            if self.refuses_secret(&typed.ty, ast.span, say_secrets::Use::Operator) {
                return self.poison(span);
            }
        }
        match arithmetic_type(op, &left_typed.ty, &right_typed.ty) {
            Some(Type::Error) => self.poison(span),
            Some(ty) => self.finish(op, left_typed, right_typed, span, ty),
            None => {
                let verb = match op {
                    BinaryOp::Add => "add",
                    BinaryOp::Sub => "subtract",
                    BinaryOp::Mul => "multiply",
                    _ => "divide",
                };
                let at = self.at(op_span);
                let help = arithmetic_help(op, &left_typed.ty, &right_typed.ty);
                self.report(say::bad_operands(at, verb, &left_typed.ty, &right_typed.ty, help));
                self.poison(span)
            }
        }
    }
}

fn arithmetic_type(op: BinaryOp, left: &Type, right: &Type) -> Option<Type> {
    let number = |ty: &Type| matches!(ty, Type::Int | Type::Port);
    match (op, left, right) {
        (_, Type::Error, _) | (_, _, Type::Error) => Some(Type::Error),
        (_, a, b) if number(a) && number(b) => Some(Type::Int),
        (BinaryOp::Add | BinaryOp::Sub, Type::Size, Type::Size) => Some(Type::Size),
        (BinaryOp::Add | BinaryOp::Sub, Type::Duration, Type::Duration) => Some(Type::Duration),
        (BinaryOp::Mul, Type::Size, b) | (BinaryOp::Mul, b, Type::Size) if number(b) => Some(Type::Size),
        (BinaryOp::Mul, Type::Duration, b) | (BinaryOp::Mul, b, Type::Duration) if number(b) => Some(Type::Duration),
        (BinaryOp::Div, Type::Size, Type::Size) | (BinaryOp::Div, Type::Duration, Type::Duration) => Some(Type::Int),
        (BinaryOp::Div, Type::Size, b) if number(b) => Some(Type::Size),
        (BinaryOp::Div, Type::Duration, b) if number(b) => Some(Type::Duration),
        (_, _, _) => None,
    }
}

fn arithmetic_help(op: BinaryOp, left: &Type, right: &Type) -> Option<&'static str> {
    let is_text = |ty: &Type| matches!(ty, Type::String | Type::Literal(_) | Type::Checked(_) | Type::Script(_));
    match (op, left, right) {
        (BinaryOp::Add, a, b) if is_text(a) || is_text(b) => Some("join texts by interpolation: `\"\\{a}\\{b}\"`"),
        (BinaryOp::Add, Type::List(_), _) | (BinaryOp::Add, _, Type::List(_)) => {
            Some("join lists by spreading: `[...a, ...b]`")
        }
        (_, Type::Size, Type::Int) | (_, Type::Int, Type::Size) => Some("give the number a unit, such as `5MiB`"),
        (_, Type::Duration, Type::Int) | (_, Type::Int, Type::Duration) => Some("give the number a unit, such as `5m`"),
        (_, _, _) => None,
    }
}
