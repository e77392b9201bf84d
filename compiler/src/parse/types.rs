//! Lossless tree to abstract tree: types, platforms and patterns.

#![expect(clippy::wildcard_enum_match_arm, reason = "a place holds a few of the many kinds of nodes")]

use std::sync::Arc;

use crate::ast::{Expr, ExprKind, Pattern, PatternKind, Platform, TypeExpr, TypeKind, UnaryOp};
use crate::span::Span;
use crate::syntax::{Kind, NodeRef};

use super::build::{Builder, span};

impl<'t> Builder<'t> {
    /// A type, or an error where it is missing.
    pub(super) fn ty(&mut self, node: NodeRef<'t>) -> TypeExpr {
        let mut parts: Vec<_> = node.children().map(|child| self.type_one(child)).collect();
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            Some(last) => {
                parts.push(last);
                TypeExpr { kind: TypeKind::Union(parts), span: span(node) }
            }
            None => TypeExpr { kind: TypeKind::Error, span: span(node) },
        }
    }

    fn type_one(&mut self, node: NodeRef<'t>) -> TypeExpr {
        let Some(atom) = node.children().next() else {
            return TypeExpr { kind: TypeKind::Error, span: span(node) };
        };
        let inner = self.type_atom(atom);
        // What follows the atom is one question mark or more; `T??` is `T?`.
        if node.end() == atom.end() {
            return inner;
        }
        TypeExpr { kind: TypeKind::Optional(Box::new(inner)), span: span(node) }
    }

    fn type_atom(&mut self, node: NodeRef<'t>) -> TypeExpr {
        let kind = match node.kind() {
            Kind::Platform => TypeKind::Platform(self.platform(node)),
            Kind::AnyType => TypeKind::Any,
            Kind::Text => TypeKind::Literal(self.template(node)),
            Kind::TypeGroup => return node.children().next().map_or_else(|| error(span(node)), |inner| self.ty(inner)),
            Kind::TypeNamed => {
                let Some(path) = node.child(Kind::Path) else { return error(span(node)) };
                if node.child(Kind::BadGroup).is_some() {
                    return error(span(node));
                }
                let args = node.child(Kind::TypeArgs).map(NodeRef::children).into_iter().flatten();
                let args = args.filter(|arg| arg.kind() == Kind::Type).map(|arg| self.ty(arg)).collect();
                TypeKind::Named { path: self.path(path), args }
            }
            _ => TypeKind::Error,
        };
        TypeExpr { kind, span: span(node) }
    }

    /// `linux(debian)/*`, split into its parts.
    #[expect(clippy::unused_self, reason = "reads like its siblings")]
    pub(super) fn platform(&mut self, node: NodeRef<'t>) -> Platform {
        let (system, arch) = node.text().split_once('/').unwrap_or((node.text(), ""));
        let (os, distro) = match system.split_once('(') {
            Some((os, distro)) => (os, Some(Arc::from(distro.trim_end_matches(')')))),
            None => (system, None),
        };
        Platform { os: Arc::from(os), distro, arch: Arc::from(arch), span: span(node) }
    }

    /// A pattern, or an error where it is missing.
    pub(super) fn pattern(&mut self, node: NodeRef<'t>) -> Pattern {
        let mut parts: Vec<_> = node.children().map(|child| self.pattern_one(child)).collect();
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            Some(last) => {
                parts.push(last);
                Pattern { kind: PatternKind::Any(parts), span: span(node) }
            }
            None => Pattern { kind: PatternKind::Error, span: span(node) },
        }
    }

    fn pattern_one(&mut self, node: NodeRef<'t>) -> Pattern {
        let kind = match node.kind() {
            Kind::Platform => PatternKind::Platform(self.platform(node)),
            Kind::Rest => PatternKind::Rest,
            Kind::Constant if node.text() == "none" => PatternKind::None,
            Kind::Constant | Kind::Number | Kind::Text => PatternKind::Literal(Box::new(self.primary(node))),
            Kind::Negative => PatternKind::Literal(Box::new(self.negative(node))),
            Kind::VariantPattern => {
                let Some(path) = node.child(Kind::Path) else {
                    return Pattern { kind: PatternKind::Error, span: span(node) };
                };
                let names = node.child(Kind::Bindings).map(NodeRef::children).into_iter().flatten();
                let names = names.filter(|name| name.kind() == Kind::Name).map(|name| self.name(name)).collect();
                PatternKind::Variant { path: self.path(path), bindings: names }
            }
            _ => PatternKind::Error,
        };
        Pattern { kind, span: span(node) }
    }

    /// `-5` in a pattern.
    fn negative(&mut self, node: NodeRef<'t>) -> Expr {
        let digits = Span { start: node.start() + 1, end: node.end() };
        let text = node.slice(digits.start..digits.end);
        if super::expr::is_least(text) {
            return Expr { kind: ExprKind::Int(i64::MIN), span: span(node) };
        }
        let operand = self.number(text, digits);
        Expr { kind: ExprKind::Unary { op: UnaryOp::Neg, operand: Box::new(operand) }, span: span(node) }
    }
}

fn error(span: Span) -> TypeExpr {
    TypeExpr { kind: TypeKind::Error, span }
}
