//! Members of values: fields of records, and the functions of built-in types.

use std::sync::Arc;

use crate::ast::{Arg, ArgValue, Expr as Ast, Name};
use crate::core::{Builtin, Kind, Lambda};
use crate::diagnostic::types as say;
use crate::span::Span;
use crate::types::{CheckedText, Pattern, Type};

use super::literals::record_fields;
use super::{Body, Target, Typed, Want};

/// What a member takes.
enum Takes {
    /// Nothing; brackets may be left out.
    Nothing,
    /// Arguments of these types.
    Values(&'static [Type]),
    /// A function of one element.
    Lambda(Returns),
    /// A start value and a function of it and an element.
    Fold,
}

/// What a lambda has to give.
#[derive(Clone, Copy)]
enum Returns {
    Anything,
    Bool,
    Ordered,
}

const TEXT: &[Type] = &[Type::String];
const TEXTS: &[Type] = &[Type::String, Type::String];
const NUMBER: &[Type] = &[Type::Int];

const LIST: [(&str, Builtin); 12] = [
    ("map", Builtin::Map),
    ("filter", Builtin::Filter),
    ("fold", Builtin::Fold),
    ("all", Builtin::All),
    ("any", Builtin::Any),
    ("sort_by", Builtin::SortBy),
    ("sort", Builtin::Sort),
    ("reverse", Builtin::Reverse),
    ("take", Builtin::Take),
    ("join", Builtin::Join),
    ("len", Builtin::Len),
    ("contains", Builtin::Contains),
];
const MAP: [(&str, Builtin); 3] = [("keys", Builtin::Keys), ("values", Builtin::Values), ("len", Builtin::Len)];
const STRING: [(&str, Builtin); 10] = [
    ("split", Builtin::Split),
    ("replace", Builtin::Replace),
    ("trim", Builtin::Trim),
    ("lower", Builtin::Lower),
    ("upper", Builtin::Upper),
    ("starts_with", Builtin::StartsWith),
    ("ends_with", Builtin::EndsWith),
    ("contains", Builtin::Contains),
    ("matches", Builtin::Matches),
    ("len", Builtin::Len),
];
const PLATFORM: [(&str, Builtin); 3] = [("os", Builtin::Os), ("arch", Builtin::Arch), ("distro", Builtin::Distro)];
const FILE: [(&str, Builtin); 2] = [("name", Builtin::FileName), ("text", Builtin::FileText)];
const DIR: [(&str, Builtin); 3] = [("file", Builtin::DirFile), ("dir", Builtin::DirDir), ("files", Builtin::DirFiles)];
const SOURCE: [(&str, Builtin); 3] =
    [("platform", Builtin::PlatformOf), ("digest", Builtin::Digest), ("id", Builtin::Id)];
const IMAGE: [(&str, Builtin); 4] = [
    ("platform", Builtin::PlatformOf),
    ("file", Builtin::BuildFile),
    ("dir", Builtin::BuildDir),
    ("digest", Builtin::Digest),
];
const ARTIFACT: [(&str, Builtin); 4] =
    [("platform", Builtin::PlatformOf), ("digest", Builtin::Digest), ("id", Builtin::Id), ("size", Builtin::BuiltSize)];

/// By the types that have them, as people write them.
pub(crate) const MEMBERS: [(&str, &[(&str, Builtin)]); 9] = [
    ("List<T>, Set<T>", &LIST),
    ("Map<K, V>", &MAP),
    ("String", &STRING),
    ("Platform", &PLATFORM),
    ("File", &FILE),
    ("Dir", &DIR),
    ("Source", &SOURCE),
    ("Image", &IMAGE),
    ("Artifact", &ARTIFACT),
];

fn members(ty: &Type) -> &'static [(&'static str, Builtin)] {
    match ty {
        Type::List(_) | Type::Set(_) => &LIST,
        Type::Map(..) => &MAP,
        Type::String | Type::Literal(_) | Type::Checked(_) => &STRING,
        Type::Union(members) if members.iter().all(|member| matches!(member, Type::Literal(_))) => &STRING,
        Type::Platform(_) => &PLATFORM,
        Type::File => &FILE,
        Type::Dir => &DIR,
        Type::Image(..) => &IMAGE,
        Type::Source(..) => &SOURCE,
        Type::Artifact(..) => &ARTIFACT,
        _ => &[],
    }
}

fn takes(builtin: Builtin) -> Takes {
    match builtin {
        Builtin::Map => Takes::Lambda(Returns::Anything),
        Builtin::Filter | Builtin::All | Builtin::Any => Takes::Lambda(Returns::Bool),
        Builtin::SortBy => Takes::Lambda(Returns::Ordered),
        Builtin::Fold => Takes::Fold,
        Builtin::Take => Takes::Values(NUMBER),
        Builtin::Replace => Takes::Values(TEXTS),
        Builtin::Join
        | Builtin::Split
        | Builtin::StartsWith
        | Builtin::EndsWith
        | Builtin::Contains
        | Builtin::Matches
        | Builtin::Fulfils
        | Builtin::Compare
        | Builtin::DirFile
        | Builtin::DirDir
        | Builtin::BuildFile
        | Builtin::BuildDir => Takes::Values(TEXT),
        Builtin::Sort
        | Builtin::SortVersions
        | Builtin::Reverse
        | Builtin::Len
        | Builtin::Keys
        | Builtin::Values
        | Builtin::Trim
        | Builtin::Lower
        | Builtin::Upper
        | Builtin::Os
        | Builtin::Arch
        | Builtin::Distro
        | Builtin::PlatformOf
        | Builtin::FileName
        | Builtin::FileText
        | Builtin::DirFiles
        | Builtin::Digest
        | Builtin::Id
        | Builtin::BuiltSize
        | Builtin::Raw => Takes::Nothing,
    }
}

impl Body<'_, '_> {
    /// `base.name` or `base.name(args)` where `base` is a value.
    pub(super) fn value_member(&mut self, base: &Ast, name: &Name, args: Option<&[Arg]>, span: Span) -> Typed {
        let base_typed = self.infer(base);
        if base_typed.ty.is_error() || name.text.is_empty() {
            return self.poison(span);
        }
        let field = record_fields(&base_typed.ty).iter().find(|field| field.name == name.text).cloned();
        if let (Some(field), None) = (field, args) {
            let of = if let Type::Nominal(nominal) = &base_typed.ty { Some(nominal.id) } else { None };
            self.used(name.span, || match of {
                Some(of) => Target::Member { of, variant: None, name: field.name.clone() },
                None => Target::Loose(field.name.clone()),
            });
            let key = self.key_of(base).map(|mut key| {
                key.fields.push(field.name.clone());
                key
            });
            let ty = key.map_or_else(|| field.ty.clone(), |key| self.narrowed(&key, &field.ty));
            let kind = Kind::Field { base: Box::new(base_typed.core), name: field.name };
            return self.typed(kind, span, ty);
        }
        let found = members(&base_typed.ty).iter().find(|(known, _)| *known == &*name.text);
        let Some((_, builtin)) = found else {
            let at = self.at(name.span);
            if !self.refuses_secret(&base_typed.ty, base.span, crate::diagnostic::secrets::Use::Member) {
                let known = members(&base_typed.ty).iter().map(|(known, _)| *known);
                let fields = record_fields(&base_typed.ty).iter().map(|field| &*field.name);
                self.report(say::unknown_member(at, &base_typed.ty, &name.text, fields.chain(known)));
            }
            return self.poison(span);
        };
        self.used(name.span, || Target::BuiltInMember(name.text.clone()));
        self.builtin(base_typed, *builtin, name, args, span)
    }

    fn builtin(&mut self, base: Typed, builtin: Builtin, name: &Name, args: Option<&[Arg]>, span: Span) -> Typed {
        let element = match &base.ty {
            Type::List(inner) | Type::Set(inner) => (**inner).clone(),
            _ => Type::Error,
        };
        let version = Type::Checked(CheckedText::Semver);
        let builtin = match builtin {
            Builtin::Matches if base.ty == version => Builtin::Fulfils,
            Builtin::Sort if element == version => Builtin::SortVersions,
            other => other,
        };
        let given = args.unwrap_or_default();
        let at = self.at(name.span);
        let (cores, lambda, lambda_type) = match (takes(builtin), given) {
            (Takes::Nothing, []) => (Vec::new(), None, Type::Error),
            (Takes::Values(types), given)
                if given.len() == types.len() && given.iter().all(|arg| arg.name.is_none()) =>
            {
                // What a list is asked to contain is an element.
                let asked = match builtin {
                    Builtin::Contains if !element.is_error() => vec![element.clone()],
                    Builtin::Fulfils => vec![Type::Checked(CheckedText::VersionReq)],
                    _ => types.to_vec(),
                };
                let cores = given.iter().zip(&asked).map(|(arg, ty)| self.member_argument(arg, ty).core).collect();
                (cores, None, Type::Error)
            }
            (Takes::Lambda(returns), [arg]) => {
                let Some((lambda, ty)) = self.lambda(arg, std::slice::from_ref(&element), returns) else {
                    return self.poison(span);
                };
                (Vec::new(), Some(Box::new(lambda)), ty)
            }
            (Takes::Fold, [start, step]) => {
                let start = match &start.value {
                    ArgValue::Expr(value) => self.infer(value),
                    ArgValue::Lambda { .. } => self.poison(start.span),
                };
                let Some((lambda, ty)) = self.lambda(step, &[start.ty.clone(), element.clone()], Returns::Anything)
                else {
                    return self.poison(span);
                };
                let ty = self.joined(&start.ty, &ty, step.span, start.core.at.span);
                (vec![start.core], Some(Box::new(lambda)), ty)
            }
            (takes, given) => {
                let count = match takes {
                    Takes::Nothing => 0,
                    Takes::Values(types) => types.len(),
                    Takes::Lambda(_) => 1,
                    Takes::Fold => 2,
                };
                self.report(say::member_arguments(at, &name.text, count, given.len()));
                return self.poison(span);
            }
        };
        let Some(ty) = self.result(builtin, &base.ty, &element, lambda_type, name.span) else {
            return self.poison(span);
        };
        let kind = Kind::Builtin { builtin, base: Box::new(base.core), args: cores, lambda };
        self.typed(kind, span, ty)
    }

    fn member_argument(&mut self, arg: &Arg, ty: &Type) -> Typed {
        match &arg.value {
            ArgValue::Expr(value) => self.expr(value, Some(Want { ty, why: None })),
            ArgValue::Lambda { .. } => {
                let at = self.at(arg.span);
                self.report(say::misplaced_lambda(at));
                self.poison(arg.span)
            }
        }
    }

    fn lambda(&mut self, arg: &Arg, types: &[Type], returns: Returns) -> Option<(Lambda, Type)> {
        let ArgValue::Lambda { params, body } = &arg.value else {
            let at = self.at(arg.span);
            self.report(say::needs_lambda(at, types.len()));
            return None;
        };
        if params.len() != types.len() {
            let at = self.at(arg.span);
            self.report(say::needs_lambda(at, types.len()));
            return None;
        }
        let outer = self.locals.len();
        self.within(arg.span, |this| {
            let slots = params.iter().zip(types).map(|(name, ty)| this.bind(name, ty.clone())).collect();
            let want = matches!(returns, Returns::Bool).then_some(Want { ty: &Type::Bool, why: None });
            let typed = this.expr(body, want);
            let is_ordered = typed.ty.is_ordered() && !matches!(typed.ty, Type::Checked(_));
            if matches!(returns, Returns::Ordered) && !is_ordered {
                let at = this.at(body.span);
                this.report(say::not_ordered(at, &typed.ty));
                return None;
            }
            let ty = this.leaving(outer, &typed.ty);
            Some((Lambda { slots, body: typed.core }, ty))
        })
    }

    /// The type of what a member gives; none where its base does not suit, which is reported.
    fn result(&mut self, builtin: Builtin, base: &Type, element: &Type, lambda: Type, at: Span) -> Option<Type> {
        let list = |inner: Type| Type::List(Arc::new(inner));
        Some(match builtin {
            Builtin::Map => list(lambda),
            Builtin::Fold => lambda,
            Builtin::Filter | Builtin::Reverse | Builtin::Take | Builtin::SortBy | Builtin::SortVersions => {
                list(element.clone())
            }
            Builtin::Sort => {
                if !element.is_ordered() {
                    let at = self.at(at);
                    self.report(say::not_ordered(at, element));
                    return None;
                }
                list(element.clone())
            }
            Builtin::Join => {
                if !element.has_text() {
                    let at = self.at(at);
                    self.report(say::no_text(at, element));
                    return None;
                }
                Type::String
            }
            Builtin::All
            | Builtin::Any
            | Builtin::StartsWith
            | Builtin::EndsWith
            | Builtin::Contains
            | Builtin::Matches
            | Builtin::Fulfils => Type::Bool,
            Builtin::Len | Builtin::Compare => Type::Int,
            Builtin::Keys | Builtin::Values => match base {
                Type::Map(key, value) => {
                    list(if builtin == Builtin::Keys { (**key).clone() } else { (**value).clone() })
                }
                _ => Type::Error,
            },
            Builtin::Split => list(Type::String),
            Builtin::Replace
            | Builtin::Trim
            | Builtin::Lower
            | Builtin::Upper
            | Builtin::Os
            | Builtin::Arch
            | Builtin::FileName
            | Builtin::FileText
            | Builtin::Id => Type::String,
            Builtin::Distro => Type::String.optional(),
            Builtin::PlatformOf => Type::Platform(Self::platform_of(base).unwrap_or(Pattern::ANY)),
            Builtin::DirFile | Builtin::BuildFile => Type::File,
            Builtin::DirDir | Builtin::BuildDir => Type::Dir,
            Builtin::Digest => Type::Checked(crate::types::CheckedText::Digest),
            Builtin::BuiltSize => Type::Size,
            Builtin::DirFiles => list(Type::File),
            Builtin::Raw => Type::Error,
        })
    }
}
