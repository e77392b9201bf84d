//! Parsed files, kept between compilations by their text.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::driver::has_errors;
use crate::names::item_name;
use crate::parse;
use crate::sources::Source;
use crate::span::ModuleId;

use super::lost::{self, Good};

/// A file that was parsed. Cheap to clone but for its diagnostics, of which most files have none.
#[derive(Debug, Clone)]
pub(super) struct File {
    module: ModuleId,
    pub(super) source: Source,
    /// What stands in the text, and behind it what a broken text has lost of its last good version.
    pub(super) tree: Arc<ast::Module>,
    /// What stands in the text.
    pub(super) written: Arc<ast::Module>,
    /// Positions of the items by name, as other modules see them; of two with one name the first.
    pub(super) items: Arc<HashMap<Arc<str>, u32>>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The last version without an error of syntax: this one, if it has none.
    good: Option<Good>,
}

impl File {
    /// One that has not been read.
    pub(super) fn empty(path: Arc<str>, module: ModuleId) -> Self {
        let tree = Arc::new(ast::Module { items: Vec::new(), starts: Vec::new() });
        let source = Source::new(path, Arc::from(""), &[]);
        let (written, items, diagnostics) = (tree.clone(), Arc::default(), Vec::new());
        Self { module, source, tree, written, items, diagnostics, good: None }
    }

    pub(super) fn parse(path: Arc<str>, text: Arc<str>, module: ModuleId) -> Self {
        let parsed = parse::parse(&text, module);
        let tree = Arc::new(parsed.module);
        let items = Arc::new(super::by_name(&tree));
        let good = (!has_errors(&parsed.diagnostics)).then(|| Good { tree: tree.clone(), text: text.clone() });
        let source = Source::new(path, text, &tree.starts);
        Self { module, source, written: tree.clone(), tree, items, diagnostics: parsed.diagnostics, good }
    }

    /// The next version of a file: with items that are as they were at the same place, so that they need not be compared
    /// again, and with what it has lost if it is broken.
    fn parse_again(&self, text: Arc<str>, module: ModuleId) -> Self {
        let parsed = parse::parse(&text, module);
        let mut written = parsed.module;
        share(&mut written.items, &self.tree.items);
        let good = has_errors(&parsed.diagnostics).then(|| self.good.clone()).flatten();
        let lost = good.as_ref().map(|good| lost::lost(&written, &text, &parsed.diagnostics, good)).unwrap_or_default();
        let mut items = super::by_name(&written);
        let mut tree = written.clone();
        for (lost, number) in lost.iter().zip((0_u32..).skip(written.items.len())) {
            tree.items.push(lost.item.clone());
            tree.starts.push(lost.start);
            if let Some(name) = item_name(&lost.item.kind) {
                if lost.hides {
                    items.insert(name.text.clone(), number);
                } else {
                    items.entry(name.text.clone()).or_insert(number);
                }
            }
        }
        let texts = lost.into_iter().map(|lost| lost.text).collect();
        let source = Source::with_lost(self.source.path.clone(), text.clone(), &tree.starts, texts);
        let written = Arc::new(written);
        let tree = if tree.items.len() == written.items.len() { written.clone() } else { Arc::new(tree) };
        let diagnostics = parsed.diagnostics;
        let good = good.or_else(|| (!has_errors(&diagnostics)).then(|| Good { tree: written.clone(), text }));
        Self { module, source, tree, written, items: Arc::new(items), diagnostics, good }
    }
}

/// Takes items that are as they were at the same place from there.
fn share(items: &mut [Arc<ast::Item>], before: &[Arc<ast::Item>]) {
    for (item, old) in items.iter_mut().zip(before) {
        if *item == *old {
            *item = old.clone();
        }
    }
}

/// Files of the last compilation, and of the one that runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    before: HashMap<Arc<str>, File>,
    now: HashMap<Arc<str>, File>,
}

impl Files {
    /// The file at a path, parsed unless it was.
    pub(super) fn parsed(&mut self, path: &str, text: Arc<str>, module: ModuleId) -> File {
        if let Some(known) = self.now.get(path).or_else(|| self.before.get(path)) {
            let is_same =
                known.module == module && (Arc::ptr_eq(&known.source.text, &text) || known.source.text == text);
            let file = if is_same { known.clone() } else { known.parse_again(text, module) };
            self.now.insert(file.source.path.clone(), file.clone());
            return file;
        }
        let file = File::parse(Arc::from(path), text, module);
        self.now.insert(file.source.path.clone(), file.clone());
        file
    }

    /// Forgets the files that the compilation did not ask for.
    pub(super) fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}
