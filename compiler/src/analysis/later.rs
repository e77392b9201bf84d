//! What comes after checking, kept from one analysis to the next: what evaluation says of each root, and the lints of
//! each module.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use imgc_plan::{DirRef, FileRef};

use crate::ast::{self, ItemKind};
use crate::core::{Item, Program};
use crate::diagnostic::Diagnostic;
use crate::driver;
use crate::evaluate::{self, Again, Remembered};
use crate::lint::{self, Face};
use crate::modules::{Module, Modules};
use crate::names::{Names, Scope};
use crate::span::ModuleId;
use crate::world::{Argument, Found, World, WorldError};

/// Which items a module has, without keeping what nobody else does, and a number that no others had.
#[derive(Debug, Clone)]
struct Version {
    number: u64,
    syntax: Vec<Weak<ast::Item>>,
    items: Vec<Weak<Item>>,
}

/// What evaluation said of a root, and what it saw.
#[derive(Debug, Clone)]
struct Said {
    /// The modules that it needs, with their versions.
    of: Vec<(ModuleId, u64)>,
    asked: Vec<Asked>,
    diagnostics: Arc<[Diagnostic]>,
    remembered: Remembered,
}

/// What evaluation asked of the world.
#[derive(Debug, Clone)]
enum Asked {
    Text(String, Result<Arc<str>, WorldError>),
    Found(String, Result<Found, WorldError>),
}

/// The lints of a module, and what they depend on.
#[derive(Debug, Clone)]
struct Linted {
    tree: Arc<ast::Module>,
    scope: Arc<Scope>,
    /// Of the modules that it imports.
    faces: Vec<Arc<Face>>,
    diagnostics: Arc<[Diagnostic]>,
}

/// What is kept of the stages after checking. All of it names modules by their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Later {
    next: u64,
    versions: HashMap<ModuleId, Version>,
    roots: HashMap<ModuleId, Said>,
    faces: HashMap<ModuleId, (Arc<ast::Module>, Arc<Face>)>,
    lints: HashMap<ModuleId, Linted>,
}

/// A world that notes what it is asked.
struct Noting<'a> {
    world: &'a dyn World,
    asked: RefCell<Vec<Asked>>,
}

impl World for Noting<'_> {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.world.module(path)
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        let found = self.world.find(path);
        self.asked.borrow_mut().push(Asked::Found(path.to_owned(), found.clone()));
        found
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        self.world.file(path)
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        let text = self.world.text(path);
        self.asked.borrow_mut().push(Asked::Text(path.to_owned(), text.clone()));
        text
    }

    fn dir(&self, path: &str, ignore: &[String]) -> Result<DirRef, WorldError> {
        self.world.dir(path, ignore)
    }

    // A check asks for no argument.
    fn argument(&self, _: &str) -> Option<Argument> {
        None
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

impl Asked {
    fn is_still(&self, world: &dyn World) -> bool {
        match self {
            Self::Text(path, text) => world.text(path) == *text,
            Self::Found(path, found) => world.find(path) == *found,
        }
    }
}

fn same<T>(before: &[Arc<T>], now: &[Arc<T>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// Whether these are the things that were seen; nothing else can be where they were while that is remembered.
fn are<T>(before: &[Weak<T>], now: &[Arc<T>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(a, b)| std::ptr::eq(a.as_ptr(), Arc::as_ptr(b)))
}

impl Later {
    /// Sees which modules are others than before.
    pub(super) fn look_at(&mut self, modules: &Modules, program: &Program) {
        let is_there = |id: ModuleId| (id.0 as usize) < modules.all.len();
        self.versions.retain(|id, _| is_there(*id));
        self.roots.retain(|id, _| is_there(*id));
        self.faces.retain(|id, _| is_there(*id));
        self.lints.retain(|id, _| is_there(*id));
        for (module, checked) in modules.all.iter().zip(&program.modules) {
            let known = self.versions.get(&module.id);
            if !known.is_some_and(|known| are(&known.syntax, &module.tree.items) && are(&known.items, &checked.items)) {
                self.next += 1;
                let syntax = module.tree.items.iter().map(Arc::downgrade).collect();
                let items = checked.items.iter().map(Arc::downgrade).collect();
                self.versions.insert(module.id, Version { number: self.next, syntax, items });
            }
            if !self.faces.get(&module.id).is_some_and(|(tree, _)| Arc::ptr_eq(tree, &module.tree)) {
                let face = Arc::new(lint::face(&module.tree));
                let before = self.faces.get(&module.id).map(|(_, face)| face).filter(|before| **before == face);
                let face = before.cloned().unwrap_or(face);
                self.faces.insert(module.id, (module.tree.clone(), face));
            }
        }
    }

    /// What evaluation says of a root, which needs these modules.
    pub(super) fn evaluate(
        &mut self,
        program: &Program,
        modules: &Modules,
        world: &dyn World,
        root: ModuleId,
        needs: impl Iterator<Item = ModuleId>,
    ) -> Arc<[Diagnostic]> {
        let version = |id: ModuleId| (id, self.versions.get(&id).map_or(0, |version| version.number));
        let of: Vec<(ModuleId, u64)> = needs.map(version).collect();
        if let Some(said) = self.roots.get(&root)
            && said.of == of
            && said.asked.iter().all(|asked| asked.is_still(world))
        {
            return said.diagnostics.clone();
        }
        let noting = Noting { world, asked: RefCell::default() };
        let mut remembered = self.roots.remove(&root).map(|said| said.remembered).unwrap_or_default();
        let versions = self.with_imports(modules);
        let again = Again { remembered: &mut remembered, versions: &versions };
        let evaluated = evaluate::evaluate_again(program, modules, &noting, root, again);
        let diagnostics: Arc<[Diagnostic]> = evaluated.diagnostics.into();
        let said = Said { of, asked: noting.asked.into_inner(), diagnostics: diagnostics.clone(), remembered };
        self.roots.insert(root, said);
        diagnostics
    }

    /// A number for each module that is another where anything of the module, or of what it imports, is another.
    fn with_imports(&self, modules: &Modules) -> HashMap<ModuleId, u64> {
        let mut versions = HashMap::new();
        // Each stands after those that it imports.
        for module in modules.order.iter().filter_map(|id| modules.all.get(id.0 as usize)) {
            let mut hasher = DefaultHasher::new();
            (module.id, self.versions.get(&module.id).map(|version| version.number)).hash(&mut hasher);
            for import in module.imports.values() {
                (import, versions.get(import)).hash(&mut hasher);
            }
            versions.insert(module.id, hasher.finish());
        }
        versions
    }

    /// The lints of a module, in order.
    pub(super) fn lint(&mut self, module: &Module, modules: &Modules, names: &Names) -> Arc<[Diagnostic]> {
        let imported = module.imports.values().filter_map(|id| self.faces.get(id)).map(|(_, face)| face.clone());
        let faces: Vec<Arc<Face>> = imported.collect();
        if let Some(known) = self.lints.get(&module.id)
            && Arc::ptr_eq(&known.tree, &module.tree)
            && names.scope_of(module.id).is_some_and(|scope| Arc::ptr_eq(scope, &known.scope))
            && same(&known.faces, &faces)
        {
            return known.diagnostics.clone();
        }
        let diagnostics: Arc<[Diagnostic]> = driver::ordered(lint::module(module, modules, names)).into();
        // Whether a param is used depends on all modules that import this one.
        let has_params = module.tree.items.iter().any(|item| matches!(item.kind, ItemKind::Param(_)));
        if let Some(scope) = names.scope_of(module.id).cloned()
            && !has_params
        {
            let linted = Linted { tree: module.tree.clone(), scope, faces, diagnostics: diagnostics.clone() };
            self.lints.insert(module.id, linted);
        } else {
            self.lints.remove(&module.id);
        }
        diagnostics
    }
}
