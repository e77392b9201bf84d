//! What an editor knows of a package: every module of it, analysed as `check` does, with all that errors leave whole.
//!
//! An [`Analysis`] is immutable and cheap to clone; a [`Memo`] is what is kept from one to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::{self, Extent};
use crate::core::Program;
use crate::diagnostic::{Diagnostic, Severity};
use crate::lint;
use crate::modules::{self, Modules};
use crate::names::{self, Names};
use crate::sources::Place;
use crate::span::Location;
use crate::world::World;

/// What is kept between analyses, by content.
#[derive(Debug, Default)]
pub struct Memo {}

/// Nobody waits for the answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Trees, names, checked items and diagnostics of a package.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    modules: Modules,
    names: Names,
    program: Program,
    diagnostics: BTreeMap<String, Vec<Diagnostic>>,
}

impl Memo {
    /// Analyses every module of `entries`, each with its imports.
    ///
    /// # Errors
    /// [`Cancelled`], when `cancelled` says so.
    pub fn analyse(
        &self,
        world: &dyn World,
        entries: &[String],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Analysis, Cancelled> {
        let mut modules = modules::load_all(world, entries);
        let mut found = std::mem::take(&mut modules.diagnostics);
        if cancelled() {
            return Err(Cancelled);
        }
        let (names, more) = names::resolve(&modules);
        found.extend(more);
        let (program, more) = check::check(&modules, &names, world, Extent::Used);
        found.extend(more);
        if cancelled() {
            return Err(Cancelled);
        }
        if !found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            found.extend(lint::lint(&modules, &names));
        }
        let mut diagnostics: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
        for diagnostic in found {
            let path = modules.sources.place(&diagnostic.primary.at).path;
            diagnostics.entry(path.to_string()).or_default().push(diagnostic);
        }
        Ok(Analysis { inner: Arc::new(Inner { modules, names, program, diagnostics }) })
    }
}

impl Analysis {
    /// The paths of all modules, those of the standard library included.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.inner.modules.all.iter().map(|module| &*module.path)
    }

    /// The text of a module.
    pub fn text(&self, path: &str) -> Option<&Arc<str>> {
        let sources = self.inner.modules.sources.modules();
        sources.iter().find(|source| &*source.path == path).map(|source| &source.text)
    }

    /// What is wrong with a module: syntax, names, types; lints last.
    pub fn diagnostics(&self, path: &str) -> &[Diagnostic] {
        self.inner.diagnostics.get(path).map(Vec::as_slice).unwrap_or_default()
    }

    /// Where a location is.
    pub fn place(&self, at: &Location) -> Place {
        self.inner.modules.sources.place(at)
    }

    pub(crate) fn modules(&self) -> &Modules {
        &self.inner.modules
    }

    pub(crate) fn names(&self) -> &Names {
        &self.inner.names
    }

    pub(crate) fn program(&self) -> &Program {
        &self.inner.program
    }
}
