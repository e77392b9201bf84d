//! Applies the fixes of diagnostics to the texts of a program and checks again, until nothing is left to mend.
//!
//! Works in memory: who calls it decides what becomes of the texts.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imgc_plan::{DirRef, FileRef};

use crate::diagnostic::{Applicability, Diagnostic, Fix};
use crate::driver::{Checked, check};
use crate::sources::Sources;
use crate::world::{Argument, Found, World, WorldError};

/// Rounds of checking and mending: one mended error may show another.
const MAX_ROUNDS: usize = 8;

/// From, to, and what to put there instead.
type Edit = (usize, usize, String);

/// A module that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Relative to the package.
    pub path: String,
    /// As it was read.
    pub before: Arc<str>,
    /// As it should be.
    pub after: Arc<str>,
}

/// What mending gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// Changed modules, by path.
    pub mended: Vec<Mended>,
    /// How many fixes were applied.
    pub applied: usize,
    /// What checking says of the changed program.
    pub checked: Checked,
}

/// Mends the program at `entry` by fixes that are at least this sure.
///
/// Of a diagnostic with several fixes that would do, none is taken: a choice is the user's. No module gets more errors
/// of syntax than it had.
pub fn fix(world: &dyn World, entry: &str, sure: Applicability) -> Fixed {
    let overlay = Overlay { below: world, read: RefCell::default(), laid: RefCell::default() };
    let mut checked = check(&overlay, entry);
    let mut given_up = BTreeSet::new();
    let mut applied = 0;
    for _ in 0..MAX_ROUNDS {
        let round = overlay.round(&checked, sure, &given_up);
        if round.is_empty() {
            break;
        }
        let before = overlay.laid.borrow().clone();
        let count: usize = round.values().map(|(_, count)| count).sum();
        overlay.laid.borrow_mut().extend(round.iter().map(|(path, (text, _))| (path.clone(), text.clone())));
        let again = check(&overlay, entry);
        let worse: Vec<_> =
            round.keys().filter(|path| faults(&again, path) > faults(&checked, path)).cloned().collect();
        if worse.is_empty() {
            applied += count;
            checked = again;
            continue;
        }
        *overlay.laid.borrow_mut() = before;
        given_up.extend(worse);
    }
    Fixed { mended: overlay.mended(), applied, checked }
}

/// Errors of syntax in a module.
fn faults(checked: &Checked, path: &str) -> usize {
    let of_path = |d: &&Diagnostic| *checked.sources.place(&d.primary.at).path == *path;
    checked.diagnostics.iter().filter(|d| d.code.starts_with("IMG0")).filter(of_path).count()
}

/// A text with edits, by byte offsets, sorted and apart from each other.
fn edited(text: &str, edits: &[Edit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for (start, stop, with) in edits {
        out.push_str(text.get(end..*start).unwrap_or_default());
        out.push_str(with);
        end = *stop;
    }
    out.push_str(text.get(end..).unwrap_or_default());
    out
}

/// The one fix that is sure enough.
fn chosen(diagnostic: &Diagnostic, sure: Applicability) -> Option<&Fix> {
    let mut fixes = diagnostic.fixes.iter().filter(|fix| fix.applicability <= sure);
    let first = fixes.next()?;
    fixes.next().is_none().then_some(first)
}

/// A world with changed modules.
struct Overlay<'w> {
    below: &'w dyn World,
    /// Modules as the world below gave them.
    read: RefCell<BTreeMap<String, Arc<str>>>,
    /// Modules as they should be.
    laid: RefCell<BTreeMap<String, Arc<str>>>,
}

impl Overlay<'_> {
    /// New texts of modules and how many fixes are in them.
    fn round(
        &self,
        checked: &Checked,
        sure: Applicability,
        given_up: &BTreeSet<String>,
    ) -> BTreeMap<String, (Arc<str>, usize)> {
        let mut edits: BTreeMap<String, (Vec<Edit>, usize)> = BTreeMap::new();
        for fix in checked.diagnostics.iter().filter_map(|diagnostic| chosen(diagnostic, sure)) {
            let places: Vec<_> =
                fix.edits.iter().filter_map(|(at, with)| self.place(&checked.sources, at, with)).collect();
            let known = places.len() == fix.edits.len() && !places.iter().any(|(path, _)| given_up.contains(path));
            let free = |(path, edit): &(String, Edit)| {
                let taken = edits.get(path).map(|(taken, _)| taken.as_slice()).unwrap_or_default();
                taken.iter().all(|other| edit.1 < other.0 || other.1 < edit.0)
            };
            if !known || !places.iter().all(free) {
                continue;
            }
            for (number, (path, edit)) in places.into_iter().enumerate() {
                let (of_path, count) = edits.entry(path).or_default();
                of_path.push(edit);
                *count += usize::from(number == 0);
            }
        }
        let texts = edits.into_iter().filter_map(|(path, (mut edits, count))| {
            edits.sort();
            let text = self.module(&path).ok()?;
            Some((path, (Arc::from(edited(&text, &edits)), count)))
        });
        texts.collect()
    }

    /// Where an edit goes; none outside of what the world gave, as in the standard library.
    fn place(&self, sources: &Sources, at: &crate::Location, with: &str) -> Option<(String, Edit)> {
        let place = sources.place(at);
        let own = self.laid.borrow().get(&*place.path).or(self.read.borrow().get(&*place.path)).cloned()?;
        (own == place.text).then(|| (place.path.to_string(), (place.start, place.end, with.to_owned())))
    }

    fn mended(&self) -> Vec<Mended> {
        let (laid, read) = (self.laid.borrow(), self.read.borrow());
        let changed = laid.iter().filter_map(|(path, after)| {
            let before = read.get(path)?.clone();
            (before != *after).then(|| Mended { path: path.clone(), before, after: after.clone() })
        });
        changed.collect()
    }
}

impl World for Overlay<'_> {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        if let Some(text) = self.laid.borrow().get(path) {
            return Ok(text.clone());
        }
        let text = self.below.module(path)?;
        self.read.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        self.below.find(path)
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        self.below.file(path)
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.below.text(path)
    }

    fn dir(&self, path: &str, ignore: &[String]) -> Result<DirRef, WorldError> {
        self.below.dir(path, ignore)
    }

    fn argument(&self, param: &str) -> Option<Argument> {
        self.below.argument(param)
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        self.below.argument_names()
    }
}
