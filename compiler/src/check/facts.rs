//! What conditions and patterns say of names: `x != none`, `p in linux/*`.

use crate::ast::{BinaryOp, Expr as Ast, ExprKind, UnaryOp};
use crate::core::{Item, Pat};
use crate::names::Bound;
use crate::types::{Pattern, Type};

use super::literals::record_fields;
use super::{Body, Key, Root};

/// What is known of a name in one place.
pub(super) type Fact = (Key, Type);

impl From<Root> for Key {
    fn from(root: Root) -> Self {
        Self { root, fields: Vec::new() }
    }
}

impl Body<'_, '_> {
    /// The type of a name as exact as it is known here.
    pub(super) fn narrowed(&self, key: &Key, ty: &Type) -> Type {
        let fact = self.facts.iter().rev().find(|(known, _)| known == key);
        fact.map_or_else(|| ty.clone(), |(_, ty)| ty.clone())
    }

    /// The name, or fields of one, that an expression is.
    pub(super) fn key_of(&self, expr: &Ast) -> Option<Key> {
        match &expr.kind {
            ExprKind::Name(name) => {
                if let Some((slot, _)) = self.local(&name.text) {
                    return Some(Root::Local(slot).into());
                }
                if &*name.text == "platform" {
                    return Some(Root::Platform.into());
                }
                match self.checker.names.find(self.module, &name.text) {
                    Some(Bound::Item(item)) => Some(Root::Item(item.id).into()),
                    Some(Bound::Module { .. }) | None => None,
                }
            }
            ExprKind::Member { base, name } => {
                let mut key = self.key_of(base)?;
                key.fields.push(name.text.clone());
                Some(key)
            }
            _ => None,
        }
    }

    /// The type of what a key names; none where it is no value.
    pub(super) fn type_of(&mut self, key: &Key) -> Option<Type> {
        let mut part = Key::from(key.root);
        let mut ty = match key.root {
            Root::Local(slot) => self.locals.get(slot as usize)?.ty.clone(),
            Root::Platform => Type::Platform(self.platforms.as_ref()?.iter().cloned().reduce(|a, b| a.join(&b))?),
            Root::Item(id) => match self.checker.demand(id).as_deref()? {
                Item::Param(param) => param.ty.clone(),
                Item::Let { ty, .. } | Item::Output { ty, .. } => ty.clone(),
                Item::Image(image) => image.ty.clone(),
                _ => return None,
            },
        };
        for name in &key.fields {
            ty = self.narrowed(&part, &ty);
            ty = record_fields(&ty).iter().find(|field| field.name == *name)?.ty.clone();
            part.fields.push(name.clone());
        }
        Some(self.narrowed(key, &ty))
    }

    /// What is known of names where a condition holds, or does not.
    pub(super) fn facts_of(&mut self, condition: &Ast, holds: bool) -> Vec<Fact> {
        match &condition.kind {
            ExprKind::Unary { op: UnaryOp::Not, operand } => self.facts_of(operand, !holds),
            ExprKind::Binary { op, left, right, .. } => match (op, holds) {
                (BinaryOp::And, true) | (BinaryOp::Or, false) => {
                    let mut facts = self.facts_of(left, holds);
                    facts.extend(self.facts_of(right, holds));
                    facts
                }
                (BinaryOp::Ne, true) | (BinaryOp::Eq, false) => match (&left.kind, &right.kind) {
                    (_, ExprKind::None) => self.is_there(left).into_iter().collect(),
                    (ExprKind::None, _) => self.is_there(right).into_iter().collect(),
                    (_, _) => Vec::new(),
                },
                (BinaryOp::In, true) => match &right.kind {
                    ExprKind::Platform(platform) => self.is_in(left, &Pattern::written(platform)).into_iter().collect(),
                    _ => Vec::new(),
                },
                (_, _) => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn is_there(&mut self, name: &Ast) -> Option<Fact> {
        let key = self.key_of(name)?;
        let ty = self.type_of(&key)?.required().clone();
        Some((key, ty))
    }

    fn is_in(&mut self, name: &Ast, pattern: &Pattern) -> Option<Fact> {
        let key = self.key_of(name)?;
        match self.type_of(&key)? {
            // Where both have nothing in common, nothing is said: it never runs.
            Type::Platform(of) => Some((key, Type::Platform(of.and(pattern)?))),
            _ => None,
        }
    }

    /// Takes facts for true until the end of the scope.
    pub(super) fn assume(&mut self, facts: Vec<Fact>) {
        for (key, ty) in facts {
            if let (Root::Platform, Type::Platform(pattern), Some(all)) = (key.root, &ty, &mut self.platforms) {
                *all = all.iter().filter_map(|one| one.and(pattern)).collect();
            }
            self.facts.push((key, ty));
        }
    }
}

/// The type of the subject where the pattern fits, if that says more. `none` may have gone to an arm before.
pub(super) fn narrowed_by(subject: &Type, pat: &Pat, none_is_gone: bool) -> Option<Type> {
    match (subject, pat) {
        (Type::Optional(_), Pat::Rest) if none_is_gone => Some(subject.required().clone()),
        (Type::Optional(inner), Pat::Platform(_) | Pat::Variant { .. } | Pat::Literal(_)) => {
            Some(narrowed_by(inner, pat, false).unwrap_or_else(|| (**inner).clone()))
        }
        (Type::Optional(inner), Pat::Any(all)) if !all.contains(&Pat::None) => {
            Some(narrowed_by(inner, pat, false).unwrap_or_else(|| (**inner).clone()))
        }
        (Type::Platform(of), Pat::Platform(_) | Pat::Any(_)) => {
            let mut wanted = Vec::new();
            collect_platforms(pat, &mut wanted);
            let all = wanted.iter().filter_map(|want| of.and(want));
            all.reduce(|a, b| a.join(&b)).map(Type::Platform)
        }
        (_, _) => None,
    }
}

/// Every platform pattern in a pattern.
pub(super) fn collect_platforms(pat: &Pat, found: &mut Vec<Pattern>) {
    match pat {
        Pat::Platform(pattern) => found.push(pattern.clone()),
        Pat::Any(all) => all.iter().for_each(|pat| collect_platforms(pat, found)),
        Pat::Rest | Pat::None | Pat::Variant { .. } | Pat::Literal(_) => {}
    }
}
