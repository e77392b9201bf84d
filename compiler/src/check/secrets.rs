//! Secrets: their declarations, and what cannot be done with one.

use std::sync::Arc;

use crate::ast;
use crate::core::{Item, Kind, Origin};
use crate::diagnostic::secrets as say;
use crate::evaluate::Value;
use crate::span::Span;
use crate::types::{Type, fit};

use super::{Body, Want};

impl Body<'_, '_> {
    /// `secret n: String from env("X") version "…"`.
    pub(super) fn secret(&mut self, ty: Option<&ast::TypeExpr>, from: &ast::Expr, version: Option<&ast::Expr>) -> Item {
        if let Some(written) = ty {
            let inner = self.written(written);
            if !matches!(inner, Type::String | Type::Error) {
                let at = self.at(written.span);
                self.report(say::no_text(at, &inner));
            }
        }
        let text = Want { ty: &Type::String, why: None };
        let version = version.map(|version| self.expr(version, Some(text)).core);
        match self.origin(from) {
            Some((origin, value)) => {
                let ty = Type::Secret(Arc::new(Type::String));
                Item::Secret { ty, origin, value, version }
            }
            None => Item::Nothing,
        }
    }

    fn origin(&mut self, from: &ast::Expr) -> Option<(Origin, crate::core::Expr)> {
        if matches!(from.kind, ast::ExprKind::Error) {
            return None;
        }
        let at = self.at(from.span);
        let known = [("env", Origin::Env), ("file", Origin::File), ("command", Origin::Command)];
        let found = match &from.kind {
            ast::ExprKind::Call { callee, args } => match &callee.kind {
                ast::ExprKind::Name(name) => {
                    known.iter().find(|(word, _)| *word == &*name.text).map(|(_, origin)| (*origin, args))
                }
                _ => None,
            },
            _ => None,
        };
        let Some((origin, args)) = found else {
            self.report(say::bad_origin(at));
            return None;
        };
        let [ast::Arg { name: None, value: ast::ArgValue::Expr(value), .. }] = args.as_slice() else {
            self.report(say::origin_argument(at, origin));
            return None;
        };
        let words = Type::List(Arc::new(Type::String));
        let ty = if origin == Origin::Command { &words } else { &Type::String };
        let typed = self.expr(value, Some(Want { ty, why: None }));
        let is_empty = match &typed.core.kind {
            Kind::Value(Value::Text(text)) => {
                text.is_empty() || text.contains('\0') || origin == Origin::Env && text.contains('=')
            }
            Kind::List(words) => words.is_empty(),
            _ => false,
        };
        if is_empty {
            let at = self.at(value.span);
            self.report(say::origin_argument(at, origin));
            return None;
        }
        Some((origin, typed.core))
    }

    /// Whether a value of this type is a secret, which cannot be used so: then that is reported.
    pub(super) fn refuses_secret(&mut self, ty: &Type, span: Span, used: say::Use) -> bool {
        if !ty.is_secret() {
            return false;
        }
        let at = self.at(span);
        self.report(say::misused(at, used));
        true
    }

    /// Whether a mismatch is about secrets, and then says so.
    pub(super) fn refuses_mismatch(&mut self, found: &Type, want: Want<'_>, span: Span) -> bool {
        let at = self.at(span);
        if found.holds_secret() && !want.ty.holds_secret() {
            self.report(match want.ty.required() {
                Type::Bool => say::misused(at, say::Use::Condition),
                Type::Script(_) => say::misused(at, say::Use::Script),
                other => say::not_text(at, other, want.why),
            });
            return true;
        }
        let plain = match want.ty.required() {
            Type::Secret(inner) => fit(found, inner) != crate::types::Fit::No,
            _ => false,
        };
        if plain {
            self.report(say::no_secret(at, found, want.why));
        }
        plain
    }
}
