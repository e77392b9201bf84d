//! What names and paths mean, and the types of expressions.

use std::sync::Arc;

use crate::ast::{self, Expr, ExprKind, ItemKind, Name, Path, TypeExpr, TypeKind};
use crate::check::MEMBERS;
use crate::core::Item as Checked;
use crate::names::{BUILTIN_FUNCTIONS, BUILTIN_TYPES, Bound};
use crate::span::ModuleId;
use crate::types::{CheckedText, FORMATS, ItemId, Pattern, Shape, Type};

use super::super::Access;
use super::super::view::{View, checked_params, params_of};
use super::{Spot, Target, Walk, Wanted};

/// What stands before a dot, where it is no value.
pub(super) enum Base {
    Module(ModuleId, Target),
    Enum(ItemId),
}

/// What is called, used or stands as a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Callee {
    Item(ItemId),
    Variant(ItemId, Arc<str>),
    Member(&'static str, &'static str),
    Function(&'static str),
}

/// A param or field, as far as it is known.
#[derive(Debug, Clone)]
pub(in super::super) struct Declared {
    pub(in super::super) name: Arc<str>,
    pub(in super::super) ty: Option<Type>,
    pub(in super::super) is_required: bool,
    pub(in super::super) target: Option<Target>,
}

impl Callee {
    pub(super) fn of(target: &Target) -> Option<Self> {
        match target {
            Target::Item(id) => Some(Self::Item(*id)),
            Target::Variant { of, name } => Some(Self::Variant(*of, name.clone())),
            Target::Member { of, name } => Some(Self::Member(of, name)),
            Target::Function(name) => Some(Self::Function(name)),
            _ => None,
        }
    }

    pub(in super::super) fn declared(&self, view: &View<'_>) -> Vec<Declared> {
        match self {
            Self::Item(id) => declared_of(view, *id),
            Self::Variant(of, name) => payload(view, *of, name),
            Self::Member(..) | Self::Function(_) => Vec::new(),
        }
    }
}

/// The params or fields of an item.
pub(in super::super) fn declared_of(view: &View<'_>, id: ItemId) -> Vec<Declared> {
    let Some(item) = view.syntax(id) else { return Vec::new() };
    let checked = view.checked(id).map(|item| checked_params(item)).unwrap_or_default();
    let declared = params_of(&item.kind).iter().filter(|param| !param.name.text.is_empty()).map(|param| {
        let known = checked.iter().find(|other| other.name == param.name.text);
        Declared {
            name: param.name.text.clone(),
            ty: known.map(|param| param.ty.clone()).filter(|ty| !ty.is_error()),
            is_required: is_required(param),
            target: Some(Target::Param { of: id, name: param.name.text.clone() }),
        }
    });
    declared.collect()
}

fn is_required(param: &ast::Param) -> bool {
    let is_optional = param.ty.as_ref().is_some_and(|ty| matches!(ty.kind, TypeKind::Optional(_)));
    param.default.is_none() && !is_optional
}

/// What a variant takes.
pub(super) fn payload(view: &View<'_>, of: ItemId, variant: &str) -> Vec<Declared> {
    let Some(ItemKind::Enum { variants, .. }) = view.syntax(of).map(|item| &item.kind) else { return Vec::new() };
    let Some(written) = variants.iter().find(|other| &*other.name.text == variant) else { return Vec::new() };
    let checked = view.checked(of).and_then(|item| match &**item {
        Checked::Enum { variants, .. } => variants.iter().find(|(name, _)| **name == *variant),
        _ => None,
    });
    let declared = written.payload.iter().map(|param| {
        let known = checked.and_then(|(_, all)| all.iter().find(|other| other.name == param.name.text));
        let (variant, name) = (written.name.text.clone(), param.name.text.clone());
        Declared {
            name: name.clone(),
            ty: known.map(|param| param.ty.clone()),
            is_required: is_required(param),
            target: Some(Target::Payload { of, variant, name }),
        }
    });
    declared.collect()
}

/// The fields of a record type.
pub(in super::super) fn declared_fields(view: &View<'_>, ty: &Type) -> Vec<Declared> {
    let (fields, of) = match ty {
        Type::Anonymous(fields) => (&**fields, None),
        Type::Nominal(nominal) => match &nominal.shape {
            Shape::Record(fields) => (fields.as_slice(), Some(nominal.id)),
            Shape::Enum(_) => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    // A type may be older than the item that it names.
    let of = of.filter(|id| matches!(view.syntax(*id).map(|item| &item.kind), Some(ItemKind::Record { .. })));
    let declared = fields.iter().map(|field| Declared {
        name: field.name.clone(),
        ty: Some(field.ty.clone()),
        is_required: !field.optional && of.is_some(),
        target: of.map(|of| Target::Param { of, name: field.name.clone() }),
    });
    declared.collect()
}

impl Walk<'_, '_> {
    /// What a bare name means.
    pub(super) fn meant(&self, name: &Name, want: Option<&Type>) -> Option<Target> {
        if let Some(nominal) = want.and_then(Type::as_enum)
            && let Some(variant) = self.variant_of(nominal.id, &name.text)
        {
            return Some(variant);
        }
        if let Some(local) = self.locals.iter().rev().find(|local| local.name == name.text) {
            return Some(local.target.clone());
        }
        if &*name.text == "platform" {
            return self.platforms.is_some().then_some(Target::Platform);
        }
        match self.view.names.find(self.id.module, &name.text) {
            Some(Bound::Item(item)) => Some(Target::Item(item.id)),
            Some(Bound::Module { module, .. }) => Some(self.module_target(&name.text, module)),
            None => BUILTIN_FUNCTIONS.into_iter().find(|known| *known == &*name.text).map(Target::Function),
        }
    }

    /// The import through which a module has its name, else the module.
    fn module_target(&self, name: &str, module: ModuleId) -> Target {
        let place = self.view.names.place(self.id.module, name);
        place.map_or(Target::Module(module), |at| Target::Import(ItemId { module: at.module, item: at.item }))
    }

    pub(super) fn base(&self, name: &Name) -> Option<Base> {
        if self.locals.iter().any(|local| local.name == name.text) {
            return None;
        }
        match self.view.names.find(self.id.module, &name.text)? {
            Bound::Module { module, .. } => Some(Base::Module(module, self.module_target(&name.text, module))),
            Bound::Item(item) => {
                let is_enum = matches!(self.view.syntax(item.id)?.kind, ItemKind::Enum { .. });
                is_enum.then_some(Base::Enum(item.id))
            }
        }
    }

    /// An item of another module, whether it may be used or not.
    pub(super) fn exported(&self, module: ModuleId, name: &str) -> Option<ItemId> {
        let item = *self.view.module(module)?.items.get(name)?;
        Some(ItemId { module, item })
    }

    pub(super) fn variant_of(&self, of: ItemId, name: &str) -> Option<Target> {
        let ItemKind::Enum { variants, .. } = &self.view.syntax(of)?.kind else { return None };
        let variant = variants.iter().find(|variant| &*variant.name.text == name)?;
        Some(Target::Variant { of, name: variant.name.text.clone() })
    }

    /// A member of a value: a field, or what its built-in type has.
    pub(super) fn value_member(&self, ty: &Type, name: &Name) -> Option<Target> {
        let declared = declared_fields(self.view, ty);
        if let Some(field) = declared.iter().find(|field| field.name == name.text) {
            return Some(field.target.clone().unwrap_or_else(|| Target::Loose(name.text.clone())));
        }
        let (of, members) = members_of(ty)?;
        let (name, _) = members.iter().find(|(known, _)| *known == &*name.text)?;
        Some(Target::Member { of, name })
    }

    /// The item that the path of a step or recipe names.
    pub(super) fn path(&mut self, path: &Path, wanted: Wanted) -> Option<ItemId> {
        let first = path.names.first()?;
        match (self.view.names.find(self.id.module, &first.text), path.names.as_slice()) {
            (Some(Bound::Item(item)), [_]) => {
                self.used(first, &Target::Item(item.id), Access::Read);
                Some(item.id)
            }
            (Some(Bound::Module { module, .. }), [_, name, ..]) => {
                let target = self.module_target(&first.text, module);
                self.used(first, &target, Access::Read);
                self.spot(name.span, || Spot::Exported(module, wanted));
                let item = self.exported(module, &name.text)?;
                self.used(name, &Target::Item(item), Access::Read);
                Some(item)
            }
            (_, _) => None,
        }
    }

    /// The variant that a pattern names: its enum and its name.
    pub(super) fn pattern_variant(&mut self, path: &Path, ty: Option<&Type>) -> Option<(ItemId, Arc<str>)> {
        let last = path.names.last()?;
        let of = match path.names.as_slice() {
            [_] => ty.and_then(Type::as_enum)?.id,
            names => {
                let first = names.first()?;
                let Base::Enum(of) = self.base(first)? else { return None };
                self.used(first, &Target::Item(of), Access::Read);
                of
            }
        };
        let target = self.variant_of(of, &last.text)?;
        self.used(last, &target, Access::Read);
        Some((of, last.text.clone()))
    }

    /// The names of a written type.
    pub(super) fn type_path(&mut self, path: &Path) {
        let Some(first) = path.names.first() else { return };
        if let Some(local) = self.locals.iter().rev().find(|local| local.name == first.text) {
            let target = local.target.clone();
            return self.used(first, &target, Access::Read);
        }
        match (self.view.names.find(self.id.module, &first.text), path.names.as_slice()) {
            (Some(Bound::Module { module, .. }), [_, name, ..]) => {
                let target = self.module_target(&first.text, module);
                self.used(first, &target, Access::Read);
                self.spot(name.span, || Spot::Exported(module, Wanted::Type));
                if let Some(item) = self.exported(module, &name.text) {
                    self.used(name, &Target::Item(item), Access::Read);
                }
            }
            (Some(Bound::Item(item)), _) => self.used(first, &Target::Item(item.id), Access::Read),
            (_, _) if is_built_in(&first.text) => self.used(first, &Target::Type(first.text.clone()), Access::Read),
            (_, _) => {}
        }
    }

    /// The record of the machines of a source.
    pub(super) fn machine_of(&self, from: &Expr) -> Option<Type> {
        let id = match &from.kind {
            ExprKind::Call { callee, .. } => return self.machine_of(callee),
            ExprKind::Name(name) => match self.view.names.find(self.id.module, &name.text)? {
                Bound::Item(item) => item.id,
                Bound::Module { .. } => return None,
            },
            ExprKind::Member { base, name } => {
                let ExprKind::Name(first) = &base.kind else { return None };
                let Base::Module(module, _) = self.base(first)? else { return None };
                self.exported(module, &name.text)?
            }
            _ => return None,
        };
        match &**self.view.checked(id)? {
            Checked::Source(signature) => signature.machine.clone(),
            Checked::Let { value, .. } | Checked::Fn { body: value, .. } => machine_in(self.view, value, 0),
            _ => None,
        }
    }

    /// The type of an item's value.
    pub(super) fn item_type(&self, id: ItemId) -> Option<Type> {
        let ty = match &**self.view.checked(id)? {
            Checked::Param(param) => &param.ty,
            Checked::Let { ty, .. } | Checked::Output { ty, .. } | Checked::Secret { ty, .. } => ty,
            Checked::Image(image) => &image.ty,
            _ => return None,
        };
        (!ty.is_error()).then(|| ty.clone())
    }

    /// The type of an expression: what checking found, else what can be seen.
    pub(super) fn type_of(&self, value: &Expr) -> Option<Type> {
        let known = self.view.type_at(&self.at(value.span));
        known.filter(|ty| !ty.is_error()).or_else(|| self.seen(value))
    }

    fn seen(&self, value: &Expr) -> Option<Type> {
        match &value.kind {
            ExprKind::None => Some(Type::None),
            ExprKind::Bool(_) => Some(Type::Bool),
            ExprKind::Int(_) => Some(Type::Int),
            ExprKind::Size(_) => Some(Type::Size),
            ExprKind::Duration(_) => Some(Type::Duration),
            ExprKind::Platform(platform) => Some(Type::Platform(Pattern::written(platform))),
            ExprKind::Text(_) => Some(Type::String),
            ExprKind::List(elements) => {
                let first = elements.iter().find(|element| !element.spread)?;
                Some(Type::List(Arc::new(self.type_of(&first.value)?)))
            }
            ExprKind::If { then, otherwise, .. } => self.type_of(then).or_else(|| self.type_of(otherwise)),
            ExprKind::Name(name) => {
                if let Some(local) = self.locals.iter().rev().find(|local| local.name == name.text) {
                    return Some(local.ty.clone()).filter(|ty| !ty.is_error());
                }
                match self.meant(name, None)? {
                    Target::Item(id) => self.item_type(id),
                    Target::Platform => {
                        let all = self.platforms.iter().flatten().cloned();
                        Some(Type::Platform(all.reduce(|a, b| a.join(&b)).unwrap_or_default()))
                    }
                    _ => None,
                }
            }
            ExprKind::Call { callee, .. } => self.result_of(callee),
            ExprKind::Member { base, name } => {
                if let ExprKind::Name(first) = &base.kind
                    && let Some(known) = self.base(first)
                {
                    return match known {
                        Base::Module(module, _) => self.item_type(self.exported(module, &name.text)?),
                        Base::Enum(of) => self.nominal(of),
                    };
                }
                let base = self.type_of(base)?;
                declared_fields(self.view, &base).into_iter().find(|field| field.name == name.text)?.ty
            }
            ExprKind::Index { base, .. } => match self.type_of(base)? {
                Type::List(inner) | Type::Map(_, inner) => Some((*inner).clone()),
                _ => None,
            },
            _ => None,
        }
    }

    fn nominal(&self, id: ItemId) -> Option<Type> {
        match &**self.view.checked(id)? {
            Checked::Enum { ty, .. } | Checked::Record { ty, .. } => Some(ty.clone()),
            _ => None,
        }
    }

    fn result_of(&self, callee: &Expr) -> Option<Type> {
        let id = match &callee.kind {
            ExprKind::Name(name) => match self.meant(name, None)? {
                Target::Item(id) => id,
                Target::Function("file") => return Some(Type::File),
                Target::Function("dir") => return Some(Type::Dir),
                _ => return None,
            },
            ExprKind::Member { base, name } => {
                let ExprKind::Name(first) = &base.kind else { return None };
                match self.base(first)? {
                    Base::Module(module, _) => self.exported(module, &name.text)?,
                    Base::Enum(of) => return self.nominal(of),
                }
            }
            _ => return None,
        };
        match &**self.view.checked(id)? {
            Checked::Fn { result, .. } => Some(result.clone()),
            Checked::Source(signature) | Checked::Artifact(signature) => Some(signature.result.clone()),
            _ => None,
        }
    }

    /// A written type, where it is a plain name.
    pub(super) fn read_type(&self, ty: &TypeExpr) -> Option<Type> {
        match &ty.kind {
            TypeKind::Optional(inner) => Some(self.read_type(inner)?.optional()),
            TypeKind::Platform(platform) => Some(Type::Platform(Pattern::written(platform))),
            TypeKind::Named { path, args } => match (path.names.as_slice(), args.as_slice()) {
                ([name], []) => plain_type(&name.text).or_else(|| {
                    let Bound::Item(item) = self.view.names.find(self.id.module, &name.text)? else { return None };
                    self.nominal(item.id)
                }),
                ([name], [inner]) if &*name.text == "List" => Some(Type::List(Arc::new(self.read_type(inner)?))),
                ([name], [inner]) if &*name.text == "Set" => Some(Type::Set(Arc::new(self.read_type(inner)?))),
                ([name], [key, value]) if &*name.text == "Map" => {
                    Some(Type::Map(Arc::new(self.read_type(key)?), Arc::new(self.read_type(value)?)))
                }
                ([first, name], []) => match self.base(first)? {
                    Base::Module(module, _) => self.nominal(self.exported(module, &name.text)?),
                    Base::Enum(_) => None,
                },
                _ => None,
            },
            _ => None,
        }
    }
}

/// The machine record of the source that a value gives.
fn machine_in(view: &View<'_>, value: &crate::core::Expr, depth: u32) -> Option<Type> {
    let (crate::core::Kind::Call { of, .. } | crate::core::Kind::Item(of)) = &value.kind else { return None };
    if depth > 16 {
        return None;
    }
    match &**view.checked(of.id)? {
        Checked::Source(signature) => signature.machine.clone(),
        Checked::Let { value, .. } | Checked::Fn { body: value, .. } => machine_in(view, value, depth + 1),
        _ => None,
    }
}

/// The members of a built-in type, with what people call it.
pub(in super::super) fn members_of(
    ty: &Type,
) -> Option<(&'static str, &'static [(&'static str, crate::core::Builtin)])> {
    let of = match ty {
        Type::List(_) | Type::Set(_) => "List<T>, Set<T>",
        Type::Map(..) => "Map<K, V>",
        Type::String | Type::Literal(_) | Type::Checked(_) => "String",
        Type::Union(members) if members.iter().all(|member| matches!(member, Type::Literal(_))) => "String",
        Type::Platform(_) => "Platform",
        Type::File => "File",
        Type::Dir => "Dir",
        Type::Image(..) => "Image",
        Type::Source(..) => "Source",
        Type::Artifact(..) => "Artifact",
        _ => return None,
    };
    MEMBERS.into_iter().find(|(name, _)| *name == of)
}

fn plain_type(name: &str) -> Option<Type> {
    Some(match name {
        "Bool" => Type::Bool,
        "Int" => Type::Int,
        "String" => Type::String,
        "Size" => Type::Size,
        "Duration" => Type::Duration,
        "Port" => Type::Port,
        "Mode" => Type::Mode,
        "File" => Type::File,
        "Dir" => Type::Dir,
        "Platform" => Type::Platform(Pattern::ANY),
        other => Type::Checked(CheckedText::ALL.into_iter().find(|checked| checked.name() == other)?),
    })
}

/// Whether a name is a type or format that nobody declares.
pub(in super::super) fn is_built_in(name: &str) -> bool {
    BUILTIN_TYPES.contains(&name)
        || name == "Artifact"
        || FORMATS.contains(&name)
        || CheckedText::ALL.into_iter().any(|checked| checked.name() == name)
}
