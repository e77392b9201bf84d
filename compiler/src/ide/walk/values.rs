//! What is in a type: elements, entries, the record that a literal may be.

use crate::types::{Shape, Type};

/// What stands behind `?` and in unions, where it is of the form that is looked for.
fn inside<'t>(ty: &'t Type, is: &dyn Fn(&Type) -> bool) -> Option<&'t Type> {
    match ty {
        Type::Optional(inner) => inside(inner, is),
        Type::Union(members) => members.iter().find_map(|member| inside(member, is)),
        other => is(other).then_some(other),
    }
}

/// What an element of a list literal is asked to be.
pub(in super::super) fn in_list(ty: &Type) -> Option<&Type> {
    match inside(ty, &|ty| matches!(ty, Type::List(_) | Type::Set(_)))? {
        Type::List(inner) | Type::Set(inner) => Some(inner),
        _ => None,
    }
}

/// What a key and a value of a map literal are asked to be.
pub(super) fn entry(ty: &Type) -> Option<(&Type, &Type)> {
    match inside(ty, &|ty| matches!(ty, Type::Map(..)))? {
        Type::Map(key, value) => Some((key, value)),
        _ => None,
    }
}

/// Whether a literal with fields is a map there.
pub(super) fn is_map(ty: &Type) -> bool {
    record_in(ty).is_none() && entry(ty).is_some()
}

/// The record that a literal is asked to be.
pub(in super::super) fn record_in(ty: &Type) -> Option<&Type> {
    inside(ty, &|ty| match ty {
        Type::Anonymous(_) => true,
        Type::Nominal(nominal) => matches!(nominal.shape, Shape::Record(_)),
        _ => false,
    })
}

/// An element of a value that is run over.
pub(super) fn element(ty: &Type) -> Option<Type> {
    match ty {
        Type::List(inner) | Type::Set(inner) | Type::Range(inner) => Some((**inner).clone()),
        _ => None,
    }
}

/// Key and value of each turn of a `for`.
pub(super) fn turns(over: Option<&Type>) -> (Type, Type) {
    match over {
        Some(Type::Map(key, value)) => ((**key).clone(), (**value).clone()),
        Some(other) => (Type::Int, element(other).unwrap_or(Type::Error)),
        None => (Type::Error, Type::Error),
    }
}
