//! What an editor wants to know of an item: what its names mean, and the types of what stands in it. Recorded while the
//! item is checked, and only where somebody asked for it.

use std::sync::Arc;

use crate::span::{ModuleId, Span};
use crate::types::{ItemId, Type};

use super::Body;

/// What a written name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Item(ItemId),
    Module(ModuleId),
    /// A local of the same item, by the place of the name that binds it; also params where their own item names them.
    Local(Span),
    /// A param of what is called, or a field of a record, step or variant.
    Member {
        of: ItemId,
        /// The variant whose payload it belongs to.
        variant: Option<Arc<str>>,
        name: Arc<str>,
    },
    Variant {
        of: ItemId,
        name: Arc<str>,
    },
    /// A field of a record that nobody declared.
    Loose(Arc<str>),
    /// A function or field of a built-in type.
    BuiltInMember(Arc<str>),
    /// `file`, `dir`, `raw`.
    Function(Arc<str>),
    /// `Int`, `List`.
    BuiltInType(Arc<str>),
    /// `platform`.
    Platform,
}

/// A name that a body binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalUse {
    pub(crate) name: Arc<str>,
    pub(crate) ty: Type,
    /// Where it is bound.
    pub(crate) at: Span,
    /// From there to the end of what it is visible in.
    pub(crate) visible: Span,
}

/// A type by its position among those of an index.
type TypeId = u32;

/// How many of the types that were noted last are looked at for an equal one: texts have one each.
const NEAR: usize = 32;

/// What is known of the parts of an item; all places are relative to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Every written name with what it means, in order of place; each place once.
    pub(crate) uses: Vec<(Span, Target)>,
    /// Every expression with its type, in order of place; as exact as known, also where it does not fit.
    types: Vec<(Span, TypeId)>,
    /// What was asked of expressions, in order of place.
    expected: Vec<(Span, TypeId)>,
    /// The types of both. Most expressions of an item have one of a few, and a type is large.
    known: Vec<Type>,
    /// In order of the place that binds them.
    pub(crate) locals: Vec<LocalUse>,
}

impl Index {
    /// In order, each place once: an expression may be looked at twice, and the last look knows most.
    pub(super) fn finish(&mut self) {
        fn ordered<T>(all: &mut Vec<T>, place: impl Fn(&T) -> Span) {
            all.reverse();
            all.sort_by_key(&place);
            all.dedup_by_key(|one| place(one));
            all.shrink_to_fit();
        }
        ordered(&mut self.uses, |(span, _)| *span);
        ordered(&mut self.types, |(span, _)| *span);
        ordered(&mut self.expected, |(span, _)| *span);
        ordered(&mut self.locals, |local| local.at);
        self.known.shrink_to_fit();
    }

    fn number(&mut self, ty: &Type) -> TypeId {
        let mut near = self.known.iter().enumerate().rev().take(NEAR);
        let position = near.find(|(_, known)| *known == ty).map(|(position, _)| position);
        let position = position.unwrap_or_else(|| {
            self.known.push(ty.clone());
            self.known.len() - 1
        });
        TypeId::try_from(position).unwrap_or(TypeId::MAX)
    }

    /// What the name means that stands exactly there.
    pub(crate) fn target(&self, span: Span) -> Option<&Target> {
        found(&self.uses, span)
    }

    /// The type of the expression that stands exactly there.
    pub(crate) fn type_at(&self, span: Span) -> Option<&Type> {
        self.known.get(*found(&self.types, span)? as usize)
    }

    /// What was asked of the expression that stands exactly there.
    pub(crate) fn expected_at(&self, span: Span) -> Option<&Type> {
        self.known.get(*found(&self.expected, span)? as usize)
    }

    /// The locals that are visible at an offset in the item.
    pub(crate) fn locals_at(&self, offset: u32) -> impl Iterator<Item = &LocalUse> {
        self.locals.iter().filter(move |local| local.visible.start <= offset && offset <= local.visible.end)
    }
}

fn found<T>(all: &[(Span, T)], span: Span) -> Option<&T> {
    let position = all.binary_search_by_key(&span, |(span, _)| *span).ok()?;
    all.get(position).map(|(_, value)| value)
}

impl Body<'_, '_> {
    /// Notes what a written name means.
    pub(super) fn used(&mut self, span: Span, target: impl FnOnce() -> Target) {
        if let Some(index) = self.checker.index() {
            index.uses.push((span, target()));
        }
    }

    /// Notes the type of an expression and what was asked of it.
    pub(super) fn noted(&mut self, span: Span, ty: &Type, asked: Option<&Type>) {
        if let Some(index) = self.checker.index() {
            if !ty.is_error() {
                let number = index.number(ty);
                index.types.push((span, number));
            }
            if let Some(asked) = asked {
                let number = index.number(asked);
                index.expected.push((span, number));
            }
        }
    }

    /// Notes that a written name is a local.
    pub(super) fn used_local(&mut self, span: Span, slot: u32) {
        if let Some(at) = self.locals.get(slot as usize).map(|local| local.at.span) {
            self.used(span, || Target::Local(at));
        }
    }
}
