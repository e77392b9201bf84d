//! What an editor knows of a workspace: every module that was asked for, with its imports, checked.
//!
//! The same stages as `check` and `plan`, over many applied modules at once, kept between analyses by content. Broken
//! source is normal input: what is wrong costs knowledge in its own place only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use imgc_plan::Plan;

use crate::ast;
use crate::check::{self as checking, Index, Past};
use crate::core::Program;
use crate::diagnostic::{Diagnostic, Severity};
use crate::driver;
use crate::modules::{self, Files, Modules};
use crate::names::{self, Names};
use crate::parse;
use crate::sources::Place;
use crate::span::{Location, ModuleId};
use crate::syntax::Tree;
use crate::types::ItemId;
use crate::world::World;

mod later;

use later::Later;

/// Nobody wants the result any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the analysis was cancelled")]
pub struct Cancelled;

/// What is kept between analyses, by content. Threads may share it; a clone goes its own way from there.
#[derive(Debug, Default)]
pub struct Memo(Mutex<Kept>);

/// What one analysis leaves for the next; what that does not ask for is dropped.
#[derive(Debug, Clone, Default)]
struct Kept {
    files: Files,
    /// The paths of the modules by id: where one has another id now, nothing that names ids is worth anything.
    paths: Vec<Arc<str>>,
    names: Vec<names::Kept>,
    items: Past,
    later: Later,
}

/// What is known of a workspace at one time. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Analysis(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    modules: Modules,
    names: Names,
    program: Program,
    /// By module and item.
    indexes: Vec<Vec<Arc<Index>>>,
    by_path: BTreeMap<Arc<str>, ModuleId>,
    /// By module.
    diagnostics: Vec<Vec<Diagnostic>>,
    /// Modules with an error that was found before anything was evaluated.
    broken: BTreeSet<ModuleId>,
    /// By module: what editors ask of its shape, made when it is first asked for.
    trees: Vec<OnceLock<Arc<Tree>>>,
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.kept().clone()))
    }
}

impl Memo {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // Whoever panicked may have left half of something.
            self.0.clear_poison();
            let mut kept = poisoned.into_inner();
            *kept = Kept::default();
            kept
        })
    }

    /// Analyses every module of `entries` (paths in the package) with its imports. Where nobody wants it any more it
    /// stops, and keeps what was done.
    pub fn analyse(
        &self,
        world: &dyn World,
        entries: &[String],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Analysis, Cancelled> {
        let mut kept = self.kept();
        let kept = &mut *kept;
        let ask = || if cancelled() { Err(Cancelled) } else { Ok(()) };
        ask()?;
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let mut modules = modules::load_again(world, &entries, &mut kept.files);
        kept.fit(&modules);
        ask()?;
        let mut found = std::mem::take(&mut modules.diagnostics);
        let (names, more) = names::resolve_again(&modules, &mut kept.names);
        found.extend(more);
        ask()?;
        let checked = checking::check_again(&modules, &names, world, &mut kept.items, cancelled).ok_or(Cancelled)?;
        found.extend(checked.diagnostics);
        let found = driver::without_consequences(without_lost(found, &modules), &modules, &names);
        let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        let broken = errors.map(|diagnostic| diagnostic.primary.at.module).collect();
        let mut diagnostics = by_module(found, modules.all.len());
        ask()?;
        kept.later.look_at(&modules, &checked.program);
        for root in roots(&modules, &entries) {
            let needs = modules.closure(root);
            if needs.iter().all(|id| !has_errors(&diagnostics, *id)) {
                // The standard library is always the same.
                let needs = needs.into_iter();
                let said = kept.later.evaluate(&checked.program, &modules, world, root, needs);
                for diagnostic in said.iter() {
                    if let Some(of_module) = diagnostics.get_mut(diagnostic.primary.at.module.0 as usize) {
                        of_module.push(diagnostic.clone());
                    }
                }
            }
            ask()?;
        }
        let mut diagnostics: Vec<Vec<Diagnostic>> = diagnostics.into_iter().map(driver::ordered).collect();
        for module in modules.all.iter().filter(|module| !module.is_std) {
            if !has_errors(&diagnostics, module.id)
                && let Some(all) = diagnostics.get_mut(module.id.0 as usize)
            {
                all.extend(kept.later.lint(module, &modules, &names).iter().cloned());
            }
            ask()?;
        }
        let by_path = modules.all.iter().map(|module| (module.path.clone(), module.id)).collect();
        let (program, indexes) = (checked.program, checked.indexes);
        let trees = modules.all.iter().map(|_| OnceLock::new()).collect();
        Ok(Analysis(Arc::new(Known { modules, names, program, indexes, by_path, diagnostics, broken, trees })))
    }
}

impl Kept {
    /// Forgets what names modules by ids that others have now.
    fn fit(&mut self, modules: &Modules) {
        let same = self.paths.iter().zip(&modules.all).all(|(path, module)| *path == module.path);
        if !same {
            self.names.clear();
            self.items = Past::default();
            self.later = Later::default();
        }
        self.paths = modules.all.iter().map(|module| module.path.clone()).collect();
    }
}

fn has_errors(diagnostics: &[Vec<Diagnostic>], module: ModuleId) -> bool {
    let of_module = diagnostics.get(module.0 as usize);
    of_module.is_some_and(|all| all.iter().any(|diagnostic| diagnostic.severity == Severity::Error))
}

/// Leaves out what is said of items that stand in no text any more, and what is told or mended there.
fn without_lost(mut diagnostics: Vec<Diagnostic>, modules: &Modules) -> Vec<Diagnostic> {
    let is_there = |at: &Location| !modules.is_lost(at.module, at.item);
    diagnostics.retain(|diagnostic| is_there(&diagnostic.primary.at));
    for diagnostic in &mut diagnostics {
        diagnostic.secondary.retain(|label| is_there(&label.at));
        diagnostic.fixes.retain(|fix| fix.edits.iter().all(|(at, _)| is_there(at)));
    }
    diagnostics
}

fn by_module(diagnostics: Vec<Diagnostic>, modules: usize) -> Vec<Vec<Diagnostic>> {
    let mut all = vec![Vec::new(); modules];
    for diagnostic in diagnostics {
        if let Some(of_module) = all.get_mut(diagnostic.primary.at.module.0 as usize) {
            of_module.push(diagnostic);
        }
    }
    all
}

/// The entries that no other module imports: what they import is evaluated with them, as it is used.
fn roots(modules: &Modules, entries: &[&str]) -> Vec<ModuleId> {
    let imported: BTreeSet<ModuleId> = modules.all.iter().flat_map(|module| module.imports.values().copied()).collect();
    let is_root = |module: &&modules::Module| entries.contains(&&*module.path) && !imported.contains(&module.id);
    modules.all.iter().filter(is_root).map(|module| module.id).collect()
}

impl PartialEq for Analysis {
    /// Whether both know the same, whatever was kept for them.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&*self.0, &*other.0);
        a.by_path == b.by_path
            && a.modules.sources == b.modules.sources
            && a.names.scopes() == b.names.scopes()
            && a.program == b.program
            && a.indexes == b.indexes
            && a.diagnostics == b.diagnostics
    }
}

impl Analysis {
    /// The paths of all modules, the standard library's too.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.by_path.keys().map(|path| &**path)
    }

    /// The text of a module as it was analysed.
    pub fn text(&self, path: &str) -> Option<&Arc<str>> {
        let id = self.module_id(path)?;
        Some(&self.0.modules.sources.modules().get(id.0 as usize)?.text)
    }

    /// What is wrong in a module: syntax, names and types in order of place; lints last.
    pub fn diagnostics(&self, path: &str) -> &[Diagnostic] {
        let of_module = self.module_id(path).and_then(|id| self.0.diagnostics.get(id.0 as usize));
        of_module.map(Vec::as_slice).unwrap_or_default()
    }

    /// The plan of a module with the arguments that the world holds, made of what is known already: what
    /// [`crate::plan`] makes from nothing. None where something is wrong in it or in what it imports.
    pub fn plan(&self, world: &dyn World, path: &str) -> Option<Plan> {
        let (known, id) = (&*self.0, self.module_id(path)?);
        if !known.modules.closure(id).is_disjoint(&known.broken) {
            return None;
        }
        driver::plan_of((&known.program, &known.modules), world, id).plan
    }

    /// The items that were checked for this analysis and are not those of `before`: the path of each one's module, and its
    /// place in that.
    pub fn checked_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (&'a str, usize)> {
        let of = |known: &'a Known, id: &ModuleId| known.indexes.get(id.0 as usize).map(Vec::as_slice);
        self.0.by_path.iter().flat_map(move |(path, id)| {
            let then = before.0.by_path.get(path).and_then(|id| of(&before.0, id)).unwrap_or_default();
            let now = of(&self.0, id).unwrap_or_default().iter().enumerate();
            let is_new = move |n: usize, index| !then.get(n).is_some_and(|old| Arc::ptr_eq(old, index));
            now.filter(move |(n, index)| is_new(*n, *index)).map(move |(n, _)| (&**path, n))
        })
    }

    /// Where a location is.
    pub fn place(&self, at: &Location) -> Place {
        self.0.modules.sources.place(at)
    }

    /// Whether a module is one of the standard library.
    pub fn is_std(&self, path: &str) -> bool {
        let module = self.module_id(path).and_then(|id| self.0.modules.all.get(id.0 as usize));
        module.is_some_and(|module| module.is_std)
    }

    pub(crate) fn module_id(&self, path: &str) -> Option<ModuleId> {
        self.0.by_path.get(path).copied()
    }

    pub(crate) fn modules(&self) -> &Modules {
        &self.0.modules
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    pub(crate) fn program(&self) -> &Program {
        &self.0.program
    }

    /// What stands in an item; none where it was not checked.
    pub(crate) fn index(&self, id: ItemId) -> Option<&Arc<Index>> {
        self.0.indexes.get(id.module.0 as usize)?.get(id.item as usize)
    }

    /// The lossless tree of a module.
    pub(crate) fn syntax(&self, path: &str) -> Option<&Arc<Tree>> {
        let id = self.module_id(path)?;
        let source = self.0.modules.sources.modules().get(id.0 as usize)?;
        let place = self.0.trees.get(id.0 as usize)?;
        Some(place.get_or_init(|| Arc::new(parse::parse(&source.text, id).tree)))
    }

    /// What stands in a module's text.
    pub(crate) fn tree(&self, path: &str) -> Option<&Arc<ast::Module>> {
        let id = self.module_id(path)?;
        Some(&self.0.modules.all.get(id.0 as usize)?.written)
    }
}
