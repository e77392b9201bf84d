//! Indices of types: what `Image<t.platform>` and `Artifact<format, of.platform>` stand for where a call says it.

use std::sync::Arc;

use crate::ast::{Expr as Ast, ExprKind, Path};
use crate::core::{Expr, Kind, Param, Ref};
use crate::evaluate::Value;
use crate::names::Bound;
use crate::types::{FORMATS, FormatIndex, Pattern, PlatformIndex, Type};

use super::literals::record_fields;
use super::{Body, Key, Root, Target};

/// A name, or fields of one, as it is written: no name hides another, so the words say which.
pub(super) type Words = Arc<[Arc<str>]>;

/// What a call says of a param.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) core: Expr,
    pub(super) ty: Type,
    /// The value, as far as it is constant.
    pub(super) value: Option<Value>,
    /// Where the argument is a name.
    pub(super) words: Option<Words>,
}

/// What a path leads to.
enum PathType {
    Value(Type),
    /// `.platform` of an image, source or artifact, or a platform that is known.
    Index(PlatformIndex),
}

/// A type with the params that index it replaced by what the arguments say.
pub(super) fn substituted(ty: &Type, params: &[Param], found: &[Option<Found>]) -> Type {
    ty.indexed(
        &mut |index| match index {
            PlatformIndex::Is(_) => index.clone(),
            PlatformIndex::Path(path, bound) => match position(params, path) {
                Some((n, rest)) => platform(params.get(n), found.get(n).and_then(Option::as_ref), rest, bound),
                None => index.clone(),
            },
        },
        &mut |index| match index {
            FormatIndex::Any | FormatIndex::Of(_) => index.clone(),
            FormatIndex::Path(path) => match position(params, path) {
                Some((n, rest)) => format(params.get(n), found.get(n).and_then(Option::as_ref), rest),
                None => index.clone(),
            },
        },
    )
}

fn position<'p>(params: &[Param], path: &'p [Arc<str>]) -> Option<(usize, &'p [Arc<str>])> {
    let (first, rest) = path.split_first()?;
    Some((params.iter().position(|param| param.name == *first)?, rest))
}

/// What an image, source or artifact is for; of a union of them the narrowest pattern that holds all.
fn platform_of(ty: &Type) -> Option<PlatformIndex> {
    let Type::Union(members) = ty else { return ty.platform().cloned() };
    let patterns: Option<Vec<Pattern>> = members.iter().map(|m| m.platform().map(PlatformIndex::pattern)).collect();
    patterns?.into_iter().reduce(|a, b| a.join(&b)).map(PlatformIndex::Is)
}

/// A field of a field of a value.
fn part<'v>(value: &'v Value, path: &[Arc<str>]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| match value {
        Value::Record(fields) => fields.get(name),
        _ => None,
    })
}

fn default(param: Option<&Param>) -> Option<&Value> {
    match &param?.default.as_ref()?.kind {
        Kind::Value(value) => Some(value),
        _ => None,
    }
}

fn words_below(found: Option<&Found>, rest: &[Arc<str>]) -> Option<Words> {
    let words = found?.words.as_ref()?;
    Some(words.iter().chain(rest).cloned().collect())
}

fn platform(param: Option<&Param>, found: Option<&Found>, rest: &[Arc<str>], bound: &Pattern) -> PlatformIndex {
    let value = if let Some(found) = found { found.value.as_ref() } else { default(param) };
    if let Some(Value::Platform(platform)) = value.and_then(|value| part(value, rest)) {
        return PlatformIndex::Is(Pattern::of(platform));
    }
    let Some(mut ty) = found.map(|found| &found.ty).or(param.map(|param| &param.ty)) else {
        return PlatformIndex::Is(bound.clone());
    };
    for name in rest {
        match (record_fields(ty).iter().find(|field| field.name == *name), platform_of(ty)) {
            (Some(field), _) => ty = &field.ty,
            (None, Some(index)) if &**name == "platform" => return named(&index, words_below(found, rest)),
            (None, _) => return PlatformIndex::Is(bound.clone()),
        }
    }
    match ty {
        Type::Platform(pattern) => named(&PlatformIndex::Is(pattern.clone()), words_below(found, rest)),
        // `of: Image<…>` alone stands for its platform.
        other => platform_of(other).unwrap_or_else(|| PlatformIndex::Is(bound.clone())),
    }
}

/// A platform that is not known, under its name where it has one.
fn named(index: &PlatformIndex, words: Option<Words>) -> PlatformIndex {
    match (index, words) {
        (PlatformIndex::Is(pattern), Some(words)) if pattern.exact().is_none() => {
            PlatformIndex::Path(words, pattern.clone())
        }
        (index, _) => index.clone(),
    }
}

fn format(param: Option<&Param>, found: Option<&Found>, rest: &[Arc<str>]) -> FormatIndex {
    let value = if let Some(found) = found { found.value.as_ref() } else { default(param) };
    match value.and_then(|value| part(value, rest)) {
        Some(Value::Variant { name, .. }) => FormatIndex::one(name),
        Some(_) | None => words_below(found, rest).map_or(FormatIndex::Any, FormatIndex::Path),
    }
}

/// A type whose indices name nothing that `is_gone`: what is known of those names is all that is left.
pub(super) fn forgotten(ty: &Type, is_gone: &dyn Fn(&str) -> bool) -> Type {
    let gone = |path: &Words| path.first().is_some_and(|name| is_gone(name));
    ty.indexed(
        &mut |index| match index {
            PlatformIndex::Path(path, bound) if gone(path) => PlatformIndex::Is(bound.clone()),
            other => other.clone(),
        },
        &mut |index| match index {
            FormatIndex::Path(path) if gone(path) => FormatIndex::Any,
            other => other.clone(),
        },
    )
}

impl Body<'_, '_> {
    /// The words of an expression that is a name, or fields of one.
    pub(super) fn words_of(&self, expr: &Ast) -> Option<Words> {
        match &expr.kind {
            ExprKind::Name(name) => {
                let is_local = self.local(&name.text).is_some();
                let is_own = || match self.checker.names.find(self.module, &name.text) {
                    Some(Bound::Item(item)) => item.id.module == self.module,
                    Some(Bound::Module { .. }) | None => false,
                };
                (is_local || is_own()).then(|| Arc::from([name.text.clone()]))
            }
            ExprKind::Member { base, name } => Some(self.words_of(base)?.iter().chain([&name.text]).cloned().collect()),
            _ => None,
        }
    }

    /// The type of a path that stands as an index; none where its first name is neither a local nor a value.
    fn path_type(&mut self, path: &Path) -> Option<PathType> {
        let (first, rest) = path.names.split_first()?;
        let root = match self.local(&first.text) {
            Some((slot, _)) => {
                self.used_local(first.span, slot);
                Root::Local(slot)
            }
            None => match self.checker.names.find(self.module, &first.text)? {
                Bound::Item(item) => {
                    self.used(first.span, || Target::Item(item.id));
                    Root::Item(item.id)
                }
                Bound::Module { .. } => return None,
            },
        };
        if let Root::Item(id) = root {
            let item = Expr { kind: Kind::Item(Ref { id, via: None }), at: self.at(first.span) };
            let words: Vec<Arc<str>> = rest.iter().map(|name| name.text.clone()).collect();
            let value = self.checker.constant(&item);
            if let Some(Value::Platform(platform)) = value.as_ref().and_then(|value| part(value, &words)) {
                return Some(PathType::Index(PlatformIndex::Is(Pattern::of(platform))));
            }
        }
        let mut key = Key::from(root);
        let mut ty = self.type_of(&key)?;
        for name in rest {
            key.fields.push(name.text.clone());
            ty = match (record_fields(&ty).iter().find(|field| field.name == name.text), platform_of(&ty)) {
                (Some(field), _) => self.narrowed(&key, &field.ty),
                (None, Some(index)) if &*name.text == "platform" => return Some(PathType::Index(index)),
                (None, _) => return None,
            };
        }
        Some(PathType::Value(ty))
    }

    /// A path as the platform of an image, source or artifact.
    pub(super) fn platform_path(&mut self, path: &Path) -> Option<PlatformIndex> {
        let words = Some(path.names.iter().map(|name| name.text.clone()).collect());
        match self.path_type(path)? {
            PathType::Index(index) => Some(named(&index, words)),
            PathType::Value(Type::Platform(pattern)) => Some(named(&PlatformIndex::Is(pattern), words)),
            // Another error was told.
            PathType::Value(Type::Error) => Some(PlatformIndex::Is(Pattern::ANY)),
            PathType::Value(other) => Some(named(&platform_of(&other)?, words)),
        }
    }

    /// A path as the format of an image, source or artifact.
    pub(super) fn format_path(&mut self, path: &Path) -> Option<FormatIndex> {
        let PathType::Value(ty) = self.path_type(path)? else { return None };
        if ty.is_error() {
            return Some(FormatIndex::Any);
        }
        let variants = ty.as_enum()?.clone();
        let is_format = variants.variants().iter().all(|variant| FORMATS.contains(&&*variant.name));
        is_format.then(|| FormatIndex::Path(path.names.iter().map(|name| name.text.clone()).collect()))
    }
}
