//! What the names of each module mean: its items, what it imports and the prelude.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ast::{self, Extern, Import, ImportFrom, ItemKind, Name};
use crate::core::Ref;
use crate::diagnostic::{Diagnostic, names};
use crate::modules::{self, Modules, plain};
use crate::span::{Location, ModuleId};
use crate::spelling::nearest;
use crate::stdlib;
use crate::types::ItemId;

/// Names that nothing can bind.
const UNBINDABLE: [&str; 5] = ["platform", "linux", "windows", "macos", "freebsd"];

/// Built-in types and functions, which count as part of the prelude.
pub(crate) const BUILTIN_TYPES: [&str; 17] = [
    "Bool", "Int", "String", "Size", "Duration", "Port", "Mode", "File", "Dir", "Platform", "Script", "Secret", "List",
    "Set", "Map", "Image", "Source",
];

/// Built-in functions.
pub(crate) const BUILTIN_FUNCTIONS: [&str; 3] = ["file", "dir", "raw"];

/// What is kept of the names of a module.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// What it depends on: its tree, and those of the modules that it selects names of.
    trees: Vec<Arc<ast::Module>>,
    imports: BTreeMap<u32, ModuleId>,
    scope: Arc<Scope>,
    /// Names that it selects elsewhere in vain.
    unselected: Vec<Arc<str>>,
    diagnostics: Vec<Diagnostic>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Item(Ref),
    Module { module: ModuleId, via: Option<u32> },
}

/// The names of one module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) own: BTreeMap<Arc<str>, (Bound, Location)>,
}

/// The names of all modules.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By module.
    scopes: Vec<Arc<Scope>>,
    prelude: BTreeMap<Arc<str>, Bound>,
    /// Names that a module imports and that are not there, alone or with their whole module: that was said, and what uses
    /// them is no error more.
    unselected: BTreeSet<(ModuleId, Arc<str>)>,
}

/// The name that an item binds in its module; imports bind others.
pub(crate) fn item_name(kind: &ItemKind) -> Option<&Name> {
    let name = match kind {
        ItemKind::Param(param) => &param.name,
        ItemKind::Let(value) | ItemKind::Output(value) => &value.name,
        ItemKind::Secret { name, .. }
        | ItemKind::Fn { name, .. }
        | ItemKind::Record { name, .. }
        | ItemKind::Enum { name, .. }
        | ItemKind::Recipe { name, .. }
        | ItemKind::Image { name, .. }
        | ItemKind::Test { name, .. }
        | ItemKind::Extern(Extern::Step { name, .. } | Extern::Source { name, .. } | Extern::Artifact { name, .. }) => {
            name
        }
        ItemKind::Edition { .. } | ItemKind::Import(_) | ItemKind::Error => return None,
    };
    (!name.text.is_empty()).then_some(name)
}

/// Collects the names of every module.
pub(crate) fn resolve(modules: &Modules) -> (Names, Vec<Diagnostic>) {
    resolve_again(modules, &mut Vec::new())
}

/// Collects the names of every module; those of one that binds what it bound before stay the same.
pub(crate) fn resolve_again(modules: &Modules, kept: &mut Vec<Kept>) -> (Names, Vec<Diagnostic>) {
    let (mut names, mut diagnostics) = (Names::default(), Vec::new());
    names.add_prelude(modules);
    let mut now = Vec::with_capacity(modules.all.len());
    for module in &modules.all {
        let before = kept.get(module.id.0 as usize);
        let trees = trees(modules, module);
        let known = before.filter(|before| before.imports == module.imports && same(&before.trees, &trees)).cloned();
        let bound = known.unwrap_or_else(|| {
            let mut diagnostics = Vec::new();
            let (scope, unselected) = names.scope(modules, module, &mut diagnostics);
            let equal = before.map(|before| &before.scope).filter(|before| ***before == scope);
            let scope = equal.cloned().unwrap_or_else(|| Arc::new(scope));
            Kept { trees, imports: module.imports.clone(), scope, unselected, diagnostics }
        });
        names.unselected.extend(bound.unselected.iter().map(|name| (module.id, name.clone())));
        names.scopes.push(bound.scope.clone());
        diagnostics.extend(bound.diagnostics.iter().cloned());
        now.push(bound);
    }
    *kept = now;
    (names, diagnostics)
}

/// The trees that the names of a module depend on.
fn trees(modules: &Modules, module: &modules::Module) -> Vec<Arc<ast::Module>> {
    let selects = |(number, _): &(&u32, &ModuleId)| {
        let item = module.tree.items.get(**number as usize);
        if let Some(ItemKind::Import(import)) = item.map(|item| &item.kind) { import.names.is_some() } else { false }
    };
    let selected = module.imports.iter().filter(selects).filter_map(|(_, id)| modules.all.get(id.0 as usize));
    std::iter::once(module).chain(selected).map(|module| module.tree.clone()).collect()
}

fn same(before: &[Arc<ast::Module>], now: &[Arc<ast::Module>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(a, b)| Arc::ptr_eq(a, b))
}

impl Names {
    /// What a name means in a module.
    pub(crate) fn find(&self, module: ModuleId, name: &str) -> Option<Bound> {
        let own = self.scopes.get(module.0 as usize).and_then(|scope| scope.own.get(name));
        own.map(|(bound, _)| *bound).or_else(|| self.prelude.get(name).copied())
    }

    /// The names that a module binds itself.
    pub(crate) fn scope_of(&self, module: ModuleId) -> Option<&Arc<Scope>> {
        self.scopes.get(module.0 as usize)
    }

    /// Those of all modules.
    pub(crate) fn scopes(&self) -> &[Arc<Scope>] {
        &self.scopes
    }

    /// Where a module binds a name itself.
    pub(crate) fn place(&self, module: ModuleId, name: &str) -> Option<Location> {
        Some(self.scopes.get(module.0 as usize)?.own.get(name)?.1)
    }

    /// Whether the name belongs to the prelude.
    pub(crate) fn is_prelude(&self, name: &str) -> bool {
        // `raw` is a format first of all, and a good name for an output in it.
        let is_function = BUILTIN_FUNCTIONS.contains(&name) && name != "raw";
        self.prelude.contains_key(name) || BUILTIN_TYPES.contains(&name) || is_function
    }

    /// Every name that is visible in a module.
    pub(crate) fn visible(&self, module: ModuleId) -> impl Iterator<Item = &str> {
        let own = self.scopes.get(module.0 as usize).into_iter().flat_map(|scope| scope.own.keys());
        own.chain(self.prelude.keys()).map(|name| &**name).chain(BUILTIN_FUNCTIONS)
    }

    fn add_prelude(&mut self, modules: &Modules) {
        for (name, id) in &modules.std {
            if *name == stdlib::PRELUDE {
                let items = modules.all.get(id.0 as usize).map(|m| m.tree.items.as_slice()).unwrap_or_default();
                for (item, number) in items.iter().zip(0..) {
                    if let Some(name) = item_name(&item.kind) {
                        let bound = Bound::Item(Ref { id: ItemId { module: *id, item: number }, via: None });
                        self.prelude.insert(name.text.clone(), bound);
                    }
                }
            } else if !stdlib::is_by_import(name) {
                self.prelude.insert(Arc::from(*name), Bound::Module { module: *id, via: None });
            }
        }
    }

    /// The names that a module binds, and those that it selects elsewhere in vain.
    fn scope(
        &self,
        modules: &Modules,
        module: &modules::Module,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> (Scope, Vec<Arc<str>>) {
        let (mut scope, mut unselected) = (Scope::default(), Vec::new());
        for (item, number) in module.tree.items.iter().zip(0..) {
            let bind = |scope: &mut Scope,
                        diagnostics: &mut Vec<Diagnostic>,
                        name: &Name,
                        bound: Bound,
                        may_be_prelude: bool| {
                let at = modules::at(module.id, number, name.span);
                if let Some((_, first)) = scope.own.get(&name.text) {
                    diagnostics.push(names::duplicate_item(at, &name.text, *first));
                } else if !module.is_std && UNBINDABLE.contains(&&*name.text) {
                    diagnostics.push(names::unbindable(at, &name.text));
                } else if !module.is_std && !may_be_prelude && self.is_prelude(&name.text) {
                    diagnostics.push(names::prelude_name(at, &name.text));
                } else {
                    scope.own.insert(name.text.clone(), (bound, at));
                }
            };
            if let Some(name) = item_name(&item.kind) {
                let bound = Bound::Item(Ref { id: ItemId { module: module.id, item: number }, via: None });
                if modules.is_lost(module.id, number) && module.items.get(&name.text) == Some(&number) {
                    // Known from a better version of the text, perhaps instead of what is half written there now.
                    let at = modules::at(module.id, number, name.span);
                    scope.own.insert(name.text.clone(), (bound, at));
                } else {
                    bind(&mut scope, diagnostics, name, bound, false);
                }
            }
            let ItemKind::Import(import) = &item.kind else { continue };
            if let Some(target) = module.imports.get(&number) {
                let is_std = modules.all.get(target.0 as usize).is_some_and(|m| m.is_std);
                let via = (!is_std).then_some(number);
                if let Some(selected) = &import.names {
                    for name in selected {
                        match exported(modules, *target, name, modules::at(module.id, number, name.span)) {
                            Ok(id) => bind(&mut scope, diagnostics, name, Bound::Item(Ref { id, via }), is_std),
                            Err(diagnostic) => {
                                unselected.push(name.text.clone());
                                diagnostics.extend(diagnostic.map(|diagnostic| *diagnostic));
                            }
                        }
                    }
                }
                match import_name(import) {
                    Some(name) => bind(&mut scope, diagnostics, &name, Bound::Module { module: *target, via }, is_std),
                    None if import.names.is_none() => {
                        diagnostics.push(names::import_without_name(modules::at(module.id, number, item.span)));
                    }
                    None => {}
                }
            } else {
                let selected = import.names.iter().flatten().cloned();
                unselected.extend(selected.chain(import_name(import)).map(|name| name.text));
            }
        }
        (scope, unselected)
    }

    /// Whether a module imports a name in vain.
    pub(crate) fn is_unselected(&self, module: ModuleId, name: &str) -> bool {
        self.unselected.contains(&(module, Arc::from(name)))
    }
}

/// The name that a whole module gets: its alias, else the last part of its path.
pub(crate) fn import_name(import: &Import) -> Option<Name> {
    if let Some(alias) = &import.alias {
        return Some(alias.clone());
    }
    if import.names.is_some() {
        return None;
    }
    match &import.from {
        ImportFrom::Std(path) => path.names.last().cloned(),
        ImportFrom::File(template) => {
            let path = plain(template)?;
            let stem = path.rsplit('/').next()?.strip_suffix(".imgc")?;
            let is_word = stem.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            is_word.then(|| Name { text: Arc::from(stem), span: template.span })
        }
        ImportFrom::Error(_) => None,
    }
}

/// Why a name of another module means nothing; nothing is said where that module is broken and may have had it.
pub(crate) type NoExport = Option<Box<Diagnostic>>;

/// An item that another module may use: exported, a param, an output, or of the standard library's externs.
pub(crate) fn exported(modules: &Modules, of: ModuleId, name: &Name, at: Location) -> Result<ItemId, NoExport> {
    let Some(module) = modules.all.get(of.0 as usize) else {
        return Err(Some(Box::new(names::unknown_export(at, &name.text, "", None))));
    };
    let is_open = |item: &ast::Item| {
        item.public.is_some() || matches!(item.kind, ItemKind::Param(_) | ItemKind::Output(_) | ItemKind::Extern(_))
    };
    if let Some(number) = module.items.get(&name.text)
        && let Some(item) = module.tree.items.get(*number as usize)
    {
        if is_open(item) {
            return Ok(ItemId { module: of, item: *number });
        }
        let place = modules::at(of, *number, item.span);
        return Err(Some(Box::new(names::not_exported(at, &name.text, place))));
    }
    if modules.may_have_lost(of, &name.text) {
        return Err(None);
    }
    let open = module.written.items.iter().filter(|item| is_open(item)).filter_map(|item| item_name(&item.kind));
    let near = nearest(&name.text, open.map(|name| &*name.text));
    Err(Some(Box::new(names::unknown_export(at, &name.text, &module.path, near))))
}
