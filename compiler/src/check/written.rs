//! Types as they are written.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ast::{Path, TypeExpr, TypeKind};
use crate::core::Item;
use crate::diagnostic::{names as say, platform as say_platform, types as say_types};
use crate::modules::plain;
use crate::names::{BUILTIN_TYPES, Bound};
use crate::spelling::nearest;
use crate::types::{CheckedText, FORMATS, FormatIndex, ItemId, Pattern, PlatformIndex, SYSTEMS, Type};

use super::{Body, Target};

impl Body<'_, '_> {
    /// The type that is written; what is wrong with it is reported. Names of locals may stand as indices.
    pub(super) fn written(&mut self, ty: &TypeExpr) -> Type {
        match &ty.kind {
            TypeKind::Error => Type::Error,
            TypeKind::Any => Type::Platform(Pattern::ANY),
            TypeKind::Platform(platform) => {
                let pattern = self.pattern(platform);
                let is_unknown = pattern.unknown_system().is_some() || pattern.unknown_distro().is_some();
                if is_unknown { Type::Error } else { Type::Platform(pattern) }
            }
            TypeKind::Literal(template) => Type::Literal(Arc::from(plain(template).unwrap_or_default())),
            TypeKind::Optional(inner) => self.written(inner).optional(),
            TypeKind::Union(members) => {
                let members: Vec<Type> = members.iter().map(|member| self.written(member)).collect();
                if members.iter().any(Type::is_error) { Type::Error } else { Type::Union(members.into()) }
            }
            TypeKind::Named { path, args } => self.named(ty, path, args),
        }
    }

    /// A platform as it is written, its system and distribution known.
    pub(super) fn pattern(&mut self, platform: &crate::ast::Platform) -> Pattern {
        let pattern = Pattern::written(platform);
        let at = self.at(platform.span);
        if let Some(system) = pattern.unknown_system() {
            self.report(say_platform::unknown_system(at, system, nearest(system, SYSTEMS)));
        } else if let Some(distro) = pattern.unknown_distro() {
            self.report(say_platform::unknown_distro(at, distro, pattern.os.as_deref()));
        }
        pattern
    }

    fn named(&mut self, ty: &TypeExpr, path: &Path, args: &[TypeExpr]) -> Type {
        if let [name] = path.names.as_slice()
            && let Some(built_in) = self.built_in(ty, &name.text, args)
        {
            self.used(name.span, || Target::BuiltInType(name.text.clone()));
            return built_in;
        }
        let Some(id) = self.type_item(path) else { return Type::Error };
        match self.checker.demand(id).as_deref() {
            Some(Item::Record { ty, .. } | Item::Enum { ty, .. }) => ty.clone(),
            Some(Item::Nothing) | None => Type::Error,
            Some(_) => {
                let at = self.at(path.span);
                self.report(say::unknown_type(at, &written_path(path), None));
                Type::Error
            }
        }
    }

    fn type_item(&mut self, path: &Path) -> Option<ItemId> {
        let at = self.at(path.span);
        let bound = path.names.first().and_then(|name| self.checker.names.find(self.module, &name.text));
        match (path.names.as_slice(), bound) {
            ([name], Some(Bound::Item(item))) => {
                self.used(name.span, || Target::Item(item.id));
                Some(item.id)
            }
            ([first, name], Some(Bound::Module { module, .. })) => {
                self.used(first.span, || Target::Module(module));
                match self.checker.exported(module, name, self.at(name.span)) {
                    Ok(id) => {
                        self.used(name.span, || Target::Item(id));
                        Some(id)
                    }
                    Err(diagnostic) => {
                        if let Some(diagnostic) = diagnostic {
                            self.report(*diagnostic);
                        }
                        None
                    }
                }
            }
            (_, _) => {
                let name = written_path(path);
                let near = {
                    let checked = CheckedText::ALL.map(CheckedText::name);
                    let built_in = BUILTIN_TYPES.into_iter().chain(["Artifact"]).chain(checked);
                    nearest(&name, built_in.chain(self.type_names())).map(str::to_owned)
                };
                self.report(say::unknown_type(at, &name, near.as_deref()));
                None
            }
        }
    }

    fn type_names(&self) -> impl Iterator<Item = &str> {
        let visible = self.checker.names.visible(self.module);
        visible.filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
    }

    fn built_in(&mut self, ty: &TypeExpr, name: &str, args: &[TypeExpr]) -> Option<Type> {
        if let Some(checked) = CheckedText::ALL.into_iter().find(|checked| checked.name() == name) {
            return Some(self.plain_type(ty, name, args, Type::Checked(checked)));
        }
        let simple = match name {
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
            _ => return self.generic(ty, name, args),
        };
        Some(self.plain_type(ty, name, args, simple))
    }

    fn plain_type(&mut self, ty: &TypeExpr, name: &str, args: &[TypeExpr], is: Type) -> Type {
        if args.is_empty() {
            return is;
        }
        self.wrong_count(ty, name, 0, args.len())
    }

    fn wrong_count(&mut self, ty: &TypeExpr, name: &str, takes: usize, found: usize) -> Type {
        let at = self.at(ty.span);
        self.report(say_types::type_arguments(at, name, takes, found));
        Type::Error
    }

    fn generic(&mut self, ty: &TypeExpr, name: &str, args: &[TypeExpr]) -> Option<Type> {
        Some(match (name, args) {
            ("Image" | "Source" | "Artifact", _) => self.indexed(ty, name, args),
            ("Script", [shell]) => self.script_type(shell),
            ("List" | "Set" | "Secret", [inner]) => {
                let inner = Arc::new(self.written(inner));
                match name {
                    "List" => Type::List(inner),
                    "Set" => Type::Set(inner),
                    _ => Type::Secret(inner),
                }
            }
            ("Map", [key, value]) => {
                let (key_type, value) = (self.written(key), self.written(value));
                if !key_type.is_key() {
                    let at = self.at(key.span);
                    self.report(say_types::bad_key(at, &key_type));
                    return Some(Type::Error);
                }
                Type::Map(Arc::new(key_type), Arc::new(value))
            }
            ("Script" | "List" | "Set" | "Secret", _) => self.wrong_count(ty, name, 1, args.len()),
            ("Map", _) => self.wrong_count(ty, name, 2, args.len()),
            _ => return None,
        })
    }

    fn script_type(&mut self, shell: &TypeExpr) -> Type {
        if let TypeKind::Named { path, args } = &shell.kind
            && args.is_empty()
            && let [name] = path.names.as_slice()
        {
            return Type::Script(name.text.clone());
        }
        let at = self.at(shell.span);
        self.report(say::unknown_type(at, "Script", None));
        Type::Error
    }

    fn indexed(&mut self, ty: &TypeExpr, name: &str, args: &[TypeExpr]) -> Type {
        if args.len() > 2 {
            return self.wrong_count(ty, name, 2, args.len());
        }
        let (platform, format) =
            if name == "Artifact" { (args.get(1), args.first()) } else { (args.first(), args.get(1)) };
        let platform = platform.map_or(PlatformIndex::Is(Pattern::ANY), |index| self.platform_index(index));
        let format = format.map_or(FormatIndex::Any, |index| self.format_index(index));
        match name {
            "Image" => Type::Image(platform, format),
            "Source" => Type::Source(platform, format),
            _ => Type::Artifact(format, platform),
        }
    }

    fn platform_index(&mut self, index: &TypeExpr) -> PlatformIndex {
        match &index.kind {
            TypeKind::Platform(platform) => PlatformIndex::Is(self.pattern(platform)),
            TypeKind::Any | TypeKind::Error => PlatformIndex::Is(Pattern::ANY),
            TypeKind::Named { path, .. } if path.names.len() == 1 && written_path(path) == "Platform" => {
                PlatformIndex::Is(Pattern::ANY)
            }
            TypeKind::Named { .. } | TypeKind::Literal(_) | TypeKind::Optional(_) | TypeKind::Union(_) => {
                if let TypeKind::Named { path, args } = &index.kind
                    && args.is_empty()
                    && let Some(found) = self.platform_path(path)
                {
                    return found;
                }
                let at = self.at(index.span);
                self.report(say_types::bad_platform_index(at));
                PlatformIndex::Is(Pattern::ANY)
            }
        }
    }

    fn format_index(&mut self, index: &TypeExpr) -> FormatIndex {
        let mut formats = BTreeSet::new();
        let members =
            if let TypeKind::Union(members) = &index.kind { members.as_slice() } else { std::slice::from_ref(index) };
        for member in members {
            match &member.kind {
                TypeKind::Named { path, args } if args.is_empty() => {
                    let name = written_path(path);
                    let is_format = FORMATS.contains(&name.as_str()) && !self.is_local_path(path);
                    if !is_format && let Some(found) = self.format_path(path) {
                        return found;
                    }
                    if !is_format {
                        let at = self.at(member.span);
                        self.report(say_types::unknown_format(at, &name, nearest(&name, FORMATS)));
                        return FormatIndex::Any;
                    }
                    formats.insert(Arc::from(name));
                }
                TypeKind::Any | TypeKind::Error => return FormatIndex::Any,
                TypeKind::Named { .. }
                | TypeKind::Platform(_)
                | TypeKind::Literal(_)
                | TypeKind::Optional(_)
                | TypeKind::Union(_) => {
                    let at = self.at(member.span);
                    self.report(say_types::unknown_format(at, say_types::THIS, None));
                    return FormatIndex::Any;
                }
            }
        }
        FormatIndex::Of(formats)
    }

    fn is_local_path(&self, path: &Path) -> bool {
        path.names.first().is_some_and(|name| self.locals.iter().any(|local| local.name == name.text))
    }
}

/// A path as it is written.
pub(super) fn written_path(path: &Path) -> String {
    path.names.iter().map(|name| &*name.text).collect::<Vec<_>>().join(".")
}
