//! Where names lead and where they are used: definition, references, highlight, hover.

use std::ops::Range;

use crate::ast::{ItemKind, Name};
use crate::core::Item as Checked;
use crate::modules::Module;
use crate::span::Span;
use crate::types::{ItemId, Type};

use super::view::{View, item_at, items, params_of, touches};
use super::walk::{self, Sink, Target};
use super::{Access, Hover, Place, describe};

/// A name in an item.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) span: Span,
    pub(super) target: Target,
    pub(super) access: Access,
    /// Of what a body binds.
    pub(super) ty: Option<Type>,
}

/// Collects the names of an item.
#[derive(Default)]
struct Uses {
    found: Vec<Use>,
}

impl Sink for Uses {
    fn name(&mut self, name: &Name, target: &Target, access: Access, ty: Option<&Type>) {
        self.found.push(Use { span: name.span, target: target.clone(), access, ty: ty.cloned() });
    }
}

/// Every name of an item that means something, in the order of the walk, each once.
pub(super) fn uses(view: &View<'_>, id: ItemId) -> Vec<Use> {
    let mut uses = Uses::default();
    walk::item(view, id, &mut uses);
    let mut found = uses.found;
    found.sort_by_key(|found| (found.span, found.access));
    found.dedup_by(|a, b| a.span == b.span && a.target == b.target);
    found
}

/// The name at an offset of a module, with the item it is in.
pub(super) fn at(view: &View<'_>, path: &str, offset: usize) -> Option<(ItemId, Use)> {
    let module = view.module_at(path)?;
    let (id, offset) = item_at(module, offset)?;
    let all = uses(view, id);
    // Between two names that touch, the one that begins here.
    let inside = |found: &&Use| found.span.start <= offset && offset < found.span.end;
    let found = all.iter().find(inside).or_else(|| all.iter().find(|found| touches(found.span, offset)))?;
    Some((id, found.clone()))
}

/// Where a target is declared: the whole and its name. None for what the language itself has.
pub(super) fn declared(view: &View<'_>, target: &Target) -> Option<(ItemId, Span, Span)> {
    Some(match target {
        Target::Item(id) => (*id, view.syntax(*id)?.span, view.name_of(*id)?.span),
        Target::Import(id) => {
            let item = view.syntax(*id)?;
            let ItemKind::Import(import) = &item.kind else { return None };
            (*id, item.span, import.alias.as_ref().map_or(item.span, |alias| alias.span))
        }
        Target::Param { of, name } => {
            let param = params_of(&view.syntax(*of)?.kind).iter().find(|param| param.name.text == *name)?;
            (*of, param.span, param.name.span)
        }
        Target::Variant { of, name } => {
            let ItemKind::Enum { variants, .. } = &view.syntax(*of)?.kind else { return None };
            let variant = variants.iter().find(|variant| variant.name.text == *name)?;
            (*of, variant.span, variant.name.span)
        }
        Target::Payload { of, variant, name } => {
            let ItemKind::Enum { variants, .. } = &view.syntax(*of)?.kind else { return None };
            let variant = variants.iter().find(|other| other.name.text == *variant)?;
            let param = variant.payload.iter().find(|param| param.name.text == *name)?;
            (*of, param.span, param.name.span)
        }
        Target::Local { of, start } => {
            let length = u32::try_from(describe::local_name(view, *of, *start).len()).unwrap_or(0);
            let span = Span { start: *start, end: start + length };
            (*of, span, span)
        }
        Target::Module(_)
        | Target::Loose(_)
        | Target::Member { .. }
        | Target::Type(_)
        | Target::Function(_)
        | Target::Platform
        | Target::ImageField(_) => return None,
    })
}

/// The start of a module, where a target is one.
fn module_of(view: &View<'_>, target: &Target) -> Option<super::Target> {
    let id = match target {
        Target::Import(id) => *view.module(id.module)?.imports.get(&id.item)?,
        Target::Module(id) => *id,
        _ => return None,
    };
    let place = Place { path: view.path(id).to_owned(), range: 0..0 };
    Some(super::Target { origin: 0..0, place, name: 0..0 })
}

fn lead(view: &View<'_>, target: &Target, origin: Range<usize>) -> Option<super::Target> {
    let (id, whole, name) = declared(view, target)?;
    Some(super::Target { origin, place: view.place(id, whole), name: view.range(id, name) })
}

/// Where a name is defined; of a module, the module.
pub(super) fn definition(view: &View<'_>, path: &str, offset: usize) -> Vec<super::Target> {
    let Some((id, found)) = at(view, path, offset) else { return Vec::new() };
    let origin = view.range(id, found.span);
    let module = module_of(view, &found.target).map(|target| super::Target { origin: origin.clone(), ..target });
    module.or_else(|| lead(view, &found.target, origin)).into_iter().collect()
}

/// Where a name is declared in its own module: of what was imported, the import.
pub(super) fn declaration(view: &View<'_>, path: &str, offset: usize) -> Vec<super::Target> {
    let Some((id, found)) = at(view, path, offset) else { return Vec::new() };
    let origin = view.range(id, found.span);
    let name = view.slice(id, found.span);
    if let Target::Item(item) = &found.target
        && item.module != id.module
        && let Some(place) = view.names.place(id.module, name)
    {
        let import = ItemId { module: place.module, item: place.item };
        let whole = view.syntax(import).map_or(place.span, |item| item.span);
        let target = super::Target { origin, place: view.place(import, whole), name: view.range(import, place.span) };
        return vec![target];
    }
    match lead(view, &found.target, origin) {
        Some(target) => vec![target],
        None => definition(view, path, offset),
    }
}

/// Where the types of a value are declared.
pub(super) fn type_definition(view: &View<'_>, path: &str, offset: usize) -> Vec<super::Target> {
    let Some((id, found)) = at(view, path, offset) else { return Vec::new() };
    let origin = view.range(id, found.span);
    let ty = type_of(view, &found).or_else(|| view.type_at(&crate::modules::at(id.module, id.item, found.span)));
    let mut nominals = Vec::new();
    if let Some(ty) = ty {
        nominal_ids(&ty, &mut nominals);
    }
    nominals.into_iter().filter_map(|id| lead(view, &Target::Item(id), origin.clone())).collect()
}

/// The type of what a name means.
pub(super) fn type_of(view: &View<'_>, found: &Use) -> Option<Type> {
    if let Some(ty) = found.ty.clone().filter(|ty| !ty.is_error()) {
        return Some(ty);
    }
    match &found.target {
        Target::Item(id) => match &**view.checked(*id)? {
            Checked::Record { ty, .. } | Checked::Enum { ty, .. } => Some(ty.clone()),
            _ => describe::known_type(view, *id),
        },
        Target::Param { of, name } => {
            walk::declared_of(view, *of).into_iter().find(|declared| declared.name == *name)?.ty
        }
        Target::Variant { of, .. } => match &**view.checked(*of)? {
            Checked::Enum { ty, .. } => Some(ty.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn nominal_ids(ty: &Type, found: &mut Vec<ItemId>) {
    match ty {
        Type::Nominal(nominal) if !found.contains(&nominal.id) => found.push(nominal.id),
        Type::Optional(inner)
        | Type::List(inner)
        | Type::Set(inner)
        | Type::Map(_, inner)
        | Type::Secret(inner)
        | Type::Range(inner) => nominal_ids(inner, found),
        Type::Union(members) => members.iter().for_each(|member| nominal_ids(member, found)),
        _ => {}
    }
}

/// What is known of the name at an offset.
pub(super) fn hover(
    view: &View<'_>,
    path: &str,
    offset: usize,
    pins: &dyn Fn(&str) -> Option<String>,
) -> Option<Hover> {
    let (id, found) = at(view, path, offset)?;
    let ty = type_of(view, &found);
    let mut described = describe::target(view, &found.target, ty.as_ref())?;
    if let Target::Local { .. } = found.target {
        described.code = format!("{} {}", local_word(view, &found), described.code);
    }
    let mut markdown = described.markdown();
    if let Some(pin) = pinned(view, id, &found, pins) {
        markdown = format!("{markdown}\n\nPinned in `imgc.lock` to `{pin}`.");
    }
    Some(Hover { range: view.range(id, found.span), markdown })
}

/// What binds a local: `let`, else nothing that could be said in a word.
fn local_word(view: &View<'_>, found: &Use) -> &'static str {
    let Target::Local { of, start } = &found.target else { return "" };
    let before = view.slice(*of, Span { start: 0, end: *start });
    if before.trim_end().ends_with("let") { "let" } else { "for" }
}

/// What a source is pinned to, by the image whose `from` it is.
fn pinned(view: &View<'_>, id: ItemId, found: &Use, pins: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let image = match &found.target {
        Target::Item(target) => match &view.syntax(*target)?.kind {
            ItemKind::Image { .. } => *target,
            ItemKind::Extern(crate::ast::Extern::Source { .. }) => id,
            _ => return None,
        },
        Target::ImageField("from") => id,
        _ => return None,
    };
    pins(&source_address(view, image)?)
}

/// The address of the source of an image, as plans name it.
pub(super) fn source_address(view: &View<'_>, image: ItemId) -> Option<String> {
    let item = view.syntax(image)?;
    let ItemKind::Image { name, .. } = &item.kind else { return None };
    Some(format!("{}/from", name.text))
}

/// Every use of what the name at an offset means.
pub(super) fn references(view: &View<'_>, path: &str, offset: usize, declaration: bool) -> Vec<Place> {
    let Some((_, found)) = at(view, path, offset) else { return Vec::new() };
    let definition = declared(view, &found.target).map(|(id, _, name)| (id, name));
    let mut places = Vec::new();
    for (id, found) in every(view, &found.target) {
        let is_declaration = definition == Some((id, found.span));
        if declaration || !is_declaration {
            places.push(view.place(id, found.span));
        }
    }
    places
}

/// Every use of a target, in all modules.
pub(super) fn every(view: &View<'_>, target: &Target) -> Vec<(ItemId, Use)> {
    let mut found = Vec::new();
    let own = match target {
        Target::Local { of, .. } => return of_target(view, *of, target),
        Target::Import(id) => Some(id.module),
        _ => None,
    };
    for module in view.modules.all.iter().filter(|module| own.is_none_or(|own| own == module.id)) {
        for (id, _) in items_that_may(view, module, target) {
            found.extend(of_target(view, id, target));
        }
    }
    found
}

fn of_target(view: &View<'_>, id: ItemId, target: &Target) -> Vec<(ItemId, Use)> {
    let all = uses(view, id).into_iter().filter(|found| found.target == *target);
    all.map(|found| (id, found)).collect()
}

/// The items of a module in whose text the target's name stands at all.
fn items_that_may<'a>(view: &View<'a>, module: &'a Module, target: &Target) -> Vec<(ItemId, &'a crate::ast::Item)> {
    let name = match target {
        Target::Item(id) => view.name_of(*id).map(|name| name.text.to_string()),
        Target::Param { name, .. } | Target::Variant { name, .. } | Target::Payload { name, .. } => {
            Some(name.to_string())
        }
        Target::Member { name, .. } | Target::Function(name) | Target::ImageField(name) => Some((*name).to_owned()),
        Target::Type(name) | Target::Loose(name) => Some(name.to_string()),
        Target::Import(_) | Target::Module(_) | Target::Local { .. } | Target::Platform => None,
    };
    let holds = |id: ItemId, item: &crate::ast::Item| {
        let whole = Span { start: 0, end: item.span.end };
        name.as_ref().is_none_or(|name| view.slice(id, whole).contains(name.as_str()))
    };
    let all = items(module).filter(|(id, item)| holds(*id, item));
    all.map(|(id, item)| (id, &**item)).collect()
}

/// Every use of what the name at an offset means, in the same module.
pub(super) fn highlight(view: &View<'_>, path: &str, offset: usize) -> Vec<(Range<usize>, Access)> {
    let Some((id, found)) = at(view, path, offset) else { return Vec::new() };
    let all = every(view, &found.target).into_iter().filter(|(other, _)| other.module == id.module);
    all.map(|(id, found)| (view.range(id, found.span), found.access)).collect()
}
