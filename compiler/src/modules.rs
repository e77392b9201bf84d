//! Reads the applied module and everything it imports, each after what it imports. Knows no items but imports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imgc_plan::Digest;
use rayon::prelude::*;

use crate::ast::{self, ImportFrom, ItemKind, TemplatePart};
use crate::diagnostic::{Diagnostic, names};
use crate::driver;
use crate::names::item_name;
use crate::paths::{self, PathFault};
use crate::sources::Sources;
use crate::span::{Location, ModuleId, Span};
use crate::spelling::nearest;
use crate::stdlib::{self, Library};
use crate::world::World;

mod files;
mod lost;

use files::File;
pub(crate) use files::Files;

/// A module that was read.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    pub(crate) id: ModuleId,
    /// Relative to the package; `std/apt.imgc` for the standard library.
    pub(crate) path: Arc<str>,
    /// What stands in the text; behind it, in an editor, what a broken text has lost of its last good version.
    pub(crate) tree: Arc<ast::Module>,
    /// What stands in the text.
    pub(crate) written: Arc<ast::Module>,
    /// Whether the text has an error of syntax.
    pub(crate) is_broken: bool,
    /// Positions of the items by name, as other modules see them; of two with one name the first.
    pub(crate) items: Arc<HashMap<Arc<str>, u32>>,
    /// The module that each import item names, by position of the item.
    pub(crate) imports: BTreeMap<u32, ModuleId>,
    pub(crate) is_std: bool,
}

/// All modules of a program.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    pub(crate) sources: Sources,
    /// By [`ModuleId`].
    pub(crate) all: Vec<Module>,
    /// Every module after those it imports; the standard library first.
    pub(crate) order: Vec<ModuleId>,
    /// Modules of the standard library by name.
    pub(crate) std: BTreeMap<&'static str, ModuleId>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// How far the reading of a module is.
#[derive(Clone, Copy)]
enum Progress {
    /// It has its id and has not been read.
    Named(ModuleId),
    Open,
    Done(ModuleId),
}

struct Loader<'a> {
    world: &'a dyn World,
    /// What was parsed before.
    files: Option<&'a mut Files>,
    /// What was read and parsed ahead, and has no id yet.
    ahead: HashMap<String, File>,
    modules: Modules,
    by_path: HashMap<String, Progress>,
}

/// Reads `entries` and what they import. Each of them is always there, empty if it could not be read; the first one is
/// [`ModuleId`] 0.
pub(crate) fn load(world: &dyn World, entries: &[&str], library: Library) -> Modules {
    let ahead = read_ahead(world, entries);
    let mut loader = Loader { world, files: None, ahead, modules: Modules::default(), by_path: HashMap::new() };
    for entry in entries {
        loader.read(entry, None);
    }
    let first = loader.modules.order.len();
    let standard = match library {
        Library::Named => stdlib::named_in(loader.modules.sources.modules().iter().map(|source| &*source.text)),
        Library::Whole => stdlib::modules().collect(),
    };
    for module in standard {
        loader.add_std(module);
    }
    loader.modules.order.rotate_left(first);
    loader.link_std();
    loader.modules
}

/// The same, with what was parsed before. The standard library and then the entries have the first ids, so that none
/// of them gets another one when an import changes.
pub(crate) fn load_again(world: &dyn World, entries: &[&str], files: &mut Files) -> Modules {
    let (ahead, files) = (HashMap::new(), Some(files));
    let mut loader = Loader { world, files, ahead, modules: Modules::default(), by_path: HashMap::new() };
    for module in stdlib::modules() {
        loader.add_std(module);
    }
    for entry in entries {
        loader.name(entry);
    }
    for entry in entries {
        loader.read(entry, None);
    }
    loader.link_std();
    if let Some(files) = loader.files {
        files.turn();
    }
    loader.modules
}

/// Entries and what they import, all that can be parsed beside each other at a time. Files that nobody can read are not
/// among them, nor those with a mistake, which is told with the id that a module gets later.
fn read_ahead(world: &dyn World, entries: &[&str]) -> HashMap<String, File> {
    let mut ahead = HashMap::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut next: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
    while !next.is_empty() {
        next.retain(|path| seen.insert(path.clone()));
        let texts: Vec<_> = next.drain(..).filter_map(|path| Some((world.module(&path).ok()?, path))).collect();
        let parse =
            |(text, path): (Arc<str>, String)| (File::parse(path.as_str().into(), text, ModuleId::default()), path);
        // For one file alone no thread has to be started.
        let parsed: Vec<_> = match texts.len() {
            0 | 1 => texts.into_iter().map(parse).collect(),
            _ => texts.into_par_iter().map(parse).collect(),
        };
        for (file, path) in parsed {
            next.extend(file.tree.items.iter().filter_map(|item| imported(&path, item)));
            if file.diagnostics.is_empty() {
                ahead.insert(path, file);
            }
        }
    }
    ahead
}

/// The file that an item imports, where nothing is wrong with that.
fn imported(path: &str, item: &ast::Item) -> Option<String> {
    let ItemKind::Import(import) = &item.kind else { return None };
    let ImportFrom::File(template) = &import.from else { return None };
    paths::resolve(path, &plain(template)?).ok()
}

impl Loader<'_> {
    /// Gives a module its id before it is read.
    fn name(&mut self, path: &str) {
        if self.by_path.contains_key(path) {
            return;
        }
        let file = File::empty(Arc::from(path), self.next());
        self.by_path.insert(path.to_owned(), Progress::Named(self.next()));
        self.add(None, file);
    }

    /// Reads a module and, first, what it imports. None where it cannot be read or is being read already.
    fn read(&mut self, path: &str, from: Option<Location>) -> Option<ModuleId> {
        let named = match self.by_path.get(path) {
            Some(Progress::Done(id)) => return Some(*id),
            Some(Progress::Open) => {
                self.modules.diagnostics.push(names::import_cycle(from.unwrap_or_default(), path));
                return None;
            }
            Some(Progress::Named(id)) => Some(*id),
            None => None,
        };
        let ahead = self.ahead.remove(path);
        let read = ahead.as_ref().map_or_else(|| self.world.module(path), |file| Ok(file.source.text.clone()));
        let text = match (&read, from) {
            (Ok(text), _) => text.clone(),
            // The applied module is there in any case, so that what is wrong with it has a place.
            (Err(error), None) => {
                let at = Location { module: named.unwrap_or_else(|| self.next()), ..Location::default() };
                self.modules.diagnostics.push(names::unreadable_module(at, error));
                Arc::from("")
            }
            (Err(error), Some(from)) => {
                self.modules.diagnostics.push(names::unreadable_module(from, error));
                return None;
            }
        };
        self.by_path.insert(path.to_owned(), Progress::Open);
        let module = named.unwrap_or_else(|| self.next());
        let file = match (ahead, &mut self.files) {
            (Some(file), _) => file,
            (None, Some(files)) => files.parsed(path, text, module),
            (None, None) => File::parse(Arc::from(path), text, module),
        };
        let tree = file.tree.clone();
        let said = file.diagnostics.clone();
        let id = self.add(named, file);
        self.modules.diagnostics.extend(said);
        for (item, number) in tree.items.iter().zip(0..) {
            if let ItemKind::Import(import) = &item.kind
                && let Some(target) = self.import(id, number, import)
                && let Some(module) = self.modules.all.get_mut(id.0 as usize)
            {
                module.imports.insert(number, target);
            }
        }
        self.by_path.insert(path.to_owned(), Progress::Done(id));
        self.modules.order.push(id);
        Some(id)
    }

    /// Adds a file, or puts it where its id was given before.
    fn add(&mut self, named: Option<ModuleId>, file: File) -> ModuleId {
        let id = named.unwrap_or_else(|| self.next());
        let path = file.source.path.clone();
        let is_broken = driver::has_errors(&file.diagnostics);
        let (tree, written, items) = (file.tree, file.written, file.items);
        let module = Module { id, path, tree, written, is_broken, items, imports: BTreeMap::new(), is_std: false };
        if let Some(place) = self.modules.all.get_mut(id.0 as usize) {
            *place = module;
            self.modules.sources.replace(id, file.source);
        } else {
            self.modules.all.push(module);
            self.modules.sources.add(file.source);
        }
        id
    }

    /// What the next module will be called.
    fn next(&self) -> ModuleId {
        ModuleId(u32::try_from(self.modules.all.len()).unwrap_or(u32::MAX))
    }

    fn import(&mut self, module: ModuleId, item: u32, import: &ast::Import) -> Option<ModuleId> {
        let ImportFrom::File(template) = &import.from else { return None };
        let at = Location { module, item, span: template.span };
        let Some(written) = plain(template) else {
            self.modules.diagnostics.push(names::computed_import(at));
            return None;
        };
        let path = self.modules.all.get(module.0 as usize).map(|m| m.path.clone())?;
        match paths::resolve(&path, &written) {
            Ok(path) => self.read(&path, Some(at)),
            Err(fault) => {
                self.modules.diagnostics.push(match fault {
                    PathFault::Outside => names::import_outside(at, &written),
                    PathFault::Absolute | PathFault::Malformed => names::import_malformed(at, &written),
                });
                None
            }
        }
    }

    fn add_std(&mut self, module: &stdlib::StdModule) {
        let id = self.modules.sources.add(module.source.clone());
        let tree = module.tree.clone();
        self.modules.all.push(Module {
            id,
            path: module.source.path.clone(),
            items: module.items.clone(),
            written: tree.clone(),
            is_broken: false,
            tree,
            imports: BTreeMap::new(),
            is_std: true,
        });
        self.modules.order.push(id);
        self.modules.std.insert(module.name, id);
        let here = |d: &Diagnostic| {
            let mut d = d.clone();
            d.primary.at.module = id;
            d
        };
        self.modules.diagnostics.extend(module.diagnostics.iter().map(here));
    }

    /// Connects `import std.x`.
    fn link_std(&mut self) {
        let mut faults = Vec::new();
        for module in &mut self.modules.all {
            for (item, number) in module.tree.items.iter().zip(0..) {
                let ItemKind::Import(import) = &item.kind else { continue };
                let ImportFrom::Std(path) = &import.from else { continue };
                let name = path.names.iter().skip(1).map(|n| &*n.text).collect::<Vec<_>>().join(".");
                if let Some(target) = self.modules.std.get(name.as_str()) {
                    module.imports.insert(number, *target);
                } else if !name.is_empty() {
                    let at = Location { module: module.id, item: number, span: path.span };
                    let near = nearest(&name, self.modules.std.keys().copied());
                    faults.push(names::unknown_std_module(at, &name, near));
                }
            }
        }
        self.modules.diagnostics.extend(faults);
    }
}

impl Modules {
    /// A module and all that it imports.
    pub(crate) fn closure(&self, root: ModuleId) -> BTreeSet<ModuleId> {
        let mut found = BTreeSet::new();
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            if found.insert(id) {
                open.extend(self.all.get(id.0 as usize).into_iter().flat_map(|module| module.imports.values()));
            }
        }
        found
    }

    /// Digests of the package's modules that one needs, itself among them.
    pub(crate) fn digests(&self, root: ModuleId) -> BTreeMap<String, Digest> {
        let needed = self.closure(root).into_iter().filter_map(|id| {
            let module = self.all.get(id.0 as usize).filter(|module| !module.is_std)?;
            let text = &self.sources.modules().get(id.0 as usize)?.text;
            Some((module.path.to_string(), Digest::of(text.as_bytes())))
        });
        needed.collect()
    }

    /// Whether an item is one that a broken text has lost.
    pub(crate) fn is_lost(&self, module: ModuleId, item: u32) -> bool {
        let module = self.all.get(module.0 as usize);
        module.is_some_and(|module| (item as usize) >= module.written.items.len())
    }

    /// Whether a module lacks a name perhaps only because it is broken: the word stands in it.
    pub(crate) fn may_have_lost(&self, module: ModuleId, name: &str) -> bool {
        let is_broken = self.all.get(module.0 as usize).is_some_and(|module| module.is_broken);
        let text = self.sources.modules().get(module.0 as usize).map_or("", |source| &*source.text);
        let mut words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        is_broken && words.any(|word| word == name)
    }
}

/// Positions of items by name; of two with one name the first.
pub(crate) fn by_name(tree: &ast::Module) -> HashMap<Arc<str>, u32> {
    let mut items = HashMap::new();
    for (item, number) in tree.items.iter().zip(0..) {
        if let Some(name) = item_name(&item.kind) {
            items.entry(name.text.clone()).or_insert(number);
        }
    }
    items
}

/// The text of a literal without holes.
pub(crate) fn plain(template: &ast::Template) -> Option<String> {
    let mut text = String::new();
    for part in &template.parts {
        match part {
            TemplatePart::Text { text: part, .. } => text.push_str(part),
            TemplatePart::Hole { .. } => return None,
        }
    }
    Some(text)
}

/// The place of an item's part.
pub(crate) fn at(module: ModuleId, item: u32, span: Span) -> Location {
    Location { module, item, span }
}
