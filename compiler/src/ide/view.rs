//! What of an analysis the answers read: trees, names and checked items, and the way between offsets and items.

use std::ops::Range;
use std::sync::Arc;

use crate::analysis::Analysis;
use crate::ast::{self, Extern, ItemKind};
use crate::check::{Index, Target as Meant};
use crate::core::{Item as Checked, Program};
use crate::modules::{Module, Modules};
use crate::names::{Names, item_name};
use crate::span::{Location, ModuleId, Span};
use crate::types::{ItemId, Type};

use super::Place;
use super::walk::Target;

/// An analysis as the answers read it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) modules: &'a Modules,
    pub(super) names: &'a Names,
    pub(super) program: &'a Program,
    analysis: &'a Analysis,
}

impl<'a> View<'a> {
    /// The parts of an analysis.
    pub(super) fn of(analysis: &'a Analysis) -> Self {
        Self { modules: analysis.modules(), names: analysis.names(), program: analysis.program(), analysis }
    }

    /// The module at a path.
    pub(super) fn module_at(&self, path: &str) -> Option<&'a Module> {
        self.modules.all.iter().find(|module| &*module.path == path)
    }

    /// Whether a part of a module is not understood.
    pub(super) fn has_syntax_errors(&self, path: &str) -> bool {
        self.analysis.diagnostics(path).iter().any(|diagnostic| diagnostic.code.starts_with("IMG0"))
    }

    pub(super) fn module(&self, id: ModuleId) -> Option<&'a Module> {
        self.modules.all.get(id.0 as usize)
    }

    /// The whole text of a module.
    pub(super) fn text(&self, id: ModuleId) -> &'a str {
        self.modules.sources.modules().get(id.0 as usize).map_or("", |source| &*source.text)
    }

    pub(super) fn path(&self, id: ModuleId) -> &'a str {
        self.module(id).map_or("", |module| &*module.path)
    }

    pub(super) fn syntax(&self, id: ItemId) -> Option<&'a Arc<ast::Item>> {
        self.module(id.module)?.tree.items.get(id.item as usize)
    }

    /// The checked item; none where it was not checked, as what nobody uses of the standard library.
    pub(super) fn checked(&self, id: ItemId) -> Option<&'a Arc<Checked>> {
        self.program.item(id).filter(|item| !matches!(***item, Checked::Nothing))
    }

    fn index(&self, at: &Location) -> Option<&'a Index> {
        self.analysis.index(ItemId { module: at.module, item: at.item }).map(|index| &**index)
    }

    /// The type of the expression that stands exactly there.
    pub(super) fn type_at(&self, at: &Location) -> Option<Type> {
        self.index(at)?.type_at(at.span).cloned()
    }

    /// What checking asked of the expression that stands exactly there.
    pub(super) fn expected_at(&self, at: &Location) -> Option<Type> {
        self.index(at)?.expected_at(at.span).filter(|ty| !ty.is_error()).cloned()
    }

    /// The type of the local that is bound exactly there.
    pub(super) fn local_at(&self, at: &Location) -> Option<Type> {
        let local = self.index(at)?.locals_at(at.span.start).find(|local| local.at == at.span)?;
        (!local.ty.is_error()).then(|| local.ty.clone())
    }

    /// The variant that a bare name was found to be.
    pub(super) fn variant_at(&self, at: &Location) -> Option<Target> {
        match self.index(at)?.target(at.span)? {
            Meant::Variant { of, name } => Some(Target::Variant { of: *of, name: name.clone() }),
            _ => None,
        }
    }

    /// A part of an item in its module's text.
    pub(super) fn range(&self, id: ItemId, span: Span) -> Range<usize> {
        let source = self.modules.sources.modules().get(id.module.0 as usize);
        source.map_or(0..0, |source| source.range(&crate::modules::at(id.module, id.item, span)))
    }

    pub(super) fn place(&self, id: ItemId, span: Span) -> Place {
        Place { path: self.path(id.module).to_owned(), range: self.range(id, span) }
    }

    /// The source text of a part of an item.
    pub(super) fn slice(&self, id: ItemId, span: Span) -> &'a str {
        let source = self.modules.sources.modules().get(id.module.0 as usize);
        source.and_then(|source| source.slice(&crate::modules::at(id.module, id.item, span))).unwrap_or_default()
    }

    /// The source text of a part on one line, without comments.
    pub(super) fn line(&self, id: ItemId, span: Span) -> String {
        let lines = self.slice(id, span).lines().map(str::trim).filter(|line| !line.starts_with("//"));
        lines.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn name_of(&self, id: ItemId) -> Option<&'a ast::Name> {
        item_name(&self.syntax(id)?.kind)
    }

    /// What stands before the dot when an item of the standard library is used: `apt`; none for the prelude's and for
    /// those of the package.
    pub(super) fn stem(&self, id: ModuleId) -> Option<&'a str> {
        let stem = self.path(id).strip_prefix("std/")?.strip_suffix(".imgc")?;
        (stem != crate::stdlib::PRELUDE).then_some(stem)
    }

    /// An item's name as programs write it: `apt.install`.
    pub(super) fn written_name(&self, id: ItemId) -> String {
        let name = self.name_of(id).map_or("", |name| &*name.text);
        self.stem(id.module).map_or_else(|| name.to_owned(), |stem| format!("{stem}.{name}"))
    }

    /// Whether an item of another module may be used.
    pub(super) fn is_open(item: &ast::Item) -> bool {
        let always = matches!(item.kind, ItemKind::Param(_) | ItemKind::Output(_) | ItemKind::Extern(_));
        item.public.is_some() || always
    }

    /// What `@deprecated` says of an item.
    pub(super) fn deprecated(&self, id: ItemId) -> Option<String> {
        let item = self.syntax(id)?;
        let attribute = item.attributes.iter().find(|attribute| &*attribute.name.text == "deprecated")?;
        let args = attribute.args.iter().map(|arg| self.slice(id, arg.span).trim_matches('"'));
        Some(args.collect::<Vec<_>>().join(" "))
    }
}

/// The item that an offset is in, or that ends right before it, with the offset in it.
pub(super) fn item_at(module: &Module, offset: usize) -> Option<(ItemId, u32)> {
    let offset = u32::try_from(offset).ok()?;
    let after = module.written.starts.partition_point(|start| *start <= offset);
    let item = u32::try_from(after.checked_sub(1)?).ok()?;
    let start = module.written.starts.get(item as usize)?;
    Some((ItemId { module: module.id, item }, offset - start))
}

/// Every item that stands in a module's text.
pub(super) fn items(module: &Module) -> impl Iterator<Item = (ItemId, &Arc<ast::Item>)> {
    known_items(module).take(module.written.items.len())
}

/// Every item of a module, also those that its broken text has lost.
pub(super) fn known_items(module: &Module) -> impl Iterator<Item = (ItemId, &Arc<ast::Item>)> {
    let id = module.id;
    module.tree.items.iter().zip(0_u32..).map(move |(item, number)| (ItemId { module: id, item: number }, item))
}

/// The params of an item that takes arguments, or the fields of one that is made of fields.
pub(super) fn params_of(kind: &ItemKind) -> &[ast::Param] {
    match kind {
        ItemKind::Fn { params, .. }
        | ItemKind::Recipe { params, .. }
        | ItemKind::Record { fields: params, .. }
        | ItemKind::Extern(
            Extern::Step { fields: params, .. } | Extern::Source { params, .. } | Extern::Artifact { params, .. },
        ) => params,
        ItemKind::Edition { .. }
        | ItemKind::Import(_)
        | ItemKind::Param(_)
        | ItemKind::Secret { .. }
        | ItemKind::Let(_)
        | ItemKind::Enum { .. }
        | ItemKind::Image { .. }
        | ItemKind::Test { .. }
        | ItemKind::Output(_)
        | ItemKind::Error => &[],
    }
}

/// The checked params or fields of an item.
#[expect(clippy::wildcard_enum_match_arm, reason = "most items take nothing")]
pub(super) fn checked_params(item: &Checked) -> &[crate::core::Param] {
    match item {
        Checked::Fn { params, .. }
        | Checked::Recipe { params, .. }
        | Checked::Record { params, .. }
        | Checked::Step { fields: params, .. } => params,
        Checked::Source(signature) | Checked::Artifact(signature) => &signature.params,
        _ => &[],
    }
}

/// Whether an offset is in a span, or right behind it.
pub(super) fn touches(span: Span, offset: u32) -> bool {
    span.start <= offset && offset <= span.end
}
