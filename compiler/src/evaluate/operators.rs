//! Operators and patterns over values: exact, never rounded, never wrapped.

use std::sync::Arc;

use crate::ast::BinaryOp;
use crate::core::{Expr, Pat};
use crate::diagnostic::evaluate as say;
use crate::span::Location;
use crate::types::Pattern;

use super::{Evaluator, Frame, Known, Look, Stop, Value};

impl<'a> Evaluator<'a> {
    pub(super) fn binary(
        &mut self,
        frame: &mut Frame,
        op: BinaryOp,
        left: &'a Expr,
        right: &'a Expr,
        at: Location,
    ) -> Known {
        let a = self.eval(frame, left);
        let ends = |value: &Value| match op {
            BinaryOp::Or => *value == Value::Bool(true),
            BinaryOp::And => *value == Value::Bool(false),
            _ => *value != Value::None,
        };
        if matches!(op, BinaryOp::Or | BinaryOp::And | BinaryOp::Coalesce) {
            return match a {
                Ok(a) if ends(&a) => Ok(a),
                Ok(_) => self.eval(frame, right),
                // `unknown && false` is false.
                Err(Stop::Unknown) => match self.guarded(frame, |this, frame| this.eval(frame, right)) {
                    Ok(b) if op != BinaryOp::Coalesce && ends(&b) => Ok(b),
                    Ok(_) => Err(Stop::Unknown),
                    Err(stop) => Err(stop),
                },
                Err(stop) => Err(stop),
            };
        }
        let b = self.eval(frame, right);
        let (a, b) = match (a, b) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(Stop::Reported), _) | (_, Err(Stop::Reported)) => return Err(Stop::Reported),
            (_, _) => return Err(Stop::Unknown),
        };
        if !matches!((&a, &b), (Value::None, _) | (_, Value::None)) {
            self.must_know(&a, Look::Operator, left.at)?;
            self.must_know(&b, Look::Operator, right.at)?;
        }
        Ok(match op {
            BinaryOp::Eq => Value::Bool(a == b),
            BinaryOp::Ne => Value::Bool(a != b),
            BinaryOp::Lt => Value::Bool(a < b),
            BinaryOp::Le => Value::Bool(a <= b),
            BinaryOp::Gt => Value::Bool(a > b),
            BinaryOp::Ge => Value::Bool(a >= b),
            BinaryOp::In => Value::Bool(is_in(&a, &b)),
            BinaryOp::Range => Value::Range(Arc::new((a, b))),
            BinaryOp::Or
            | BinaryOp::And
            | BinaryOp::Coalesce
            | BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Rem => {
                return self.arithmetic(op, &a, &b, at, right.at);
            }
        })
    }

    fn arithmetic(&mut self, op: BinaryOp, a: &Value, b: &Value, at: Location, divisor: Location) -> Known {
        let (Some(x), Some(y)) = (number(a), number(b)) else { return Err(Stop::Reported) };
        let is_division = matches!(op, BinaryOp::Div | BinaryOp::Rem);
        if is_division && y == 0 {
            return Err(self.report(say::division_by_zero(divisor)));
        }
        let result = match op {
            BinaryOp::Add => x.checked_add(y),
            BinaryOp::Sub => x.checked_sub(y),
            BinaryOp::Mul => x.checked_mul(y),
            BinaryOp::Div => x.checked_div(y),
            _ => x.checked_rem(y),
        };
        let result = result.and_then(|n| match (a, b) {
            (Value::Size(_), Value::Size(_)) | (Value::Duration(_), Value::Duration(_)) if is_division => int(n),
            (Value::Size(_), _) | (_, Value::Size(_)) => Some(Value::Size(unsigned(n)?)),
            (Value::Duration(_), _) | (_, Value::Duration(_)) => Some(Value::Duration(unsigned(n)?)),
            (_, _) => int(n),
        });
        match result {
            Some(value) => Ok(value),
            None => Err(self.report(say::overflow(at))),
        }
    }
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Int(n) => Some(i128::from(*n)),
        Value::Size(n) | Value::Duration(n) => Some(i128::from(*n)),
        _ => None,
    }
}

fn int(n: i128) -> Option<Value> {
    i64::try_from(n).ok().map(Value::Int)
}

/// Sizes and durations have 63 bits, so that they fit wherever an `Int` does.
fn unsigned(n: i128) -> Option<u64> {
    i64::try_from(n).ok().and_then(|n| u64::try_from(n).ok())
}

fn is_in(value: &Value, container: &Value) -> bool {
    match container {
        Value::List(items) => items.contains(value),
        Value::Set(items) => items.contains(value),
        Value::Map(map) => map.contains_key(value),
        Value::Range(ends) => *value >= ends.0 && *value <= ends.1,
        _ => false,
    }
}

/// Leaves what a pattern binds unknown.
pub(super) fn forget(frame: &mut Frame, pat: &Pat) {
    match pat {
        Pat::Variant { bindings, .. } => {
            for (_, slot) in bindings {
                frame.put(*slot, Err(Stop::Unknown));
            }
        }
        Pat::Any(all) => all.iter().for_each(|pat| forget(frame, pat)),
        Pat::Rest | Pat::None | Pat::Platform(_) | Pat::Literal(_) => {}
    }
}

/// Whether a pattern fits; what it binds is put into the frame.
pub(super) fn matches(frame: &mut Frame, pat: &Pat, value: &Value) -> bool {
    match (pat, value) {
        (Pat::Rest, _) | (Pat::None, Value::None) => true,
        (Pat::Platform(pattern), Value::Platform(platform)) => pattern.holds(&Pattern::of(platform)),
        (Pat::Literal(literal), _) => literal == value,
        (Pat::Variant { name, bindings }, Value::Variant { name: found, payload }) if name == found => {
            for (field, slot) in bindings {
                frame.set(*slot, payload.get(field).cloned().unwrap_or(Value::None));
            }
            true
        }
        (Pat::Any(all), _) => all.iter().any(|pat| matches(frame, pat, value)),
        (Pat::None | Pat::Platform(_) | Pat::Variant { .. }, _) => false,
    }
}
