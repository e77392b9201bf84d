//! Parsed files, kept between compilations by their text.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::parse;
use crate::sources::Source;
use crate::span::ModuleId;

/// A file that was parsed. Cheap to clone but for its diagnostics, of which most files have none.
#[derive(Debug, Clone)]
pub(super) struct File {
    module: ModuleId,
    pub(super) source: Source,
    pub(super) tree: Arc<ast::Module>,
    /// Positions of the items by name; of two with one name the first.
    pub(super) items: Arc<HashMap<Arc<str>, u32>>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl File {
    /// One that has not been read.
    pub(super) fn empty(path: Arc<str>, module: ModuleId) -> Self {
        Self {
            module,
            source: Source::new(path, Arc::from(""), &[]),
            tree: Arc::new(ast::Module { items: Vec::new(), starts: Vec::new() }),
            items: Arc::default(),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn parse(path: Arc<str>, text: Arc<str>, module: ModuleId) -> Self {
        let parsed = parse::parse(&text, module);
        let tree = Arc::new(parsed.module);
        let items = Arc::new(super::by_name(&tree));
        Self { module, source: Source::new(path, text, &tree.starts), tree, items, diagnostics: parsed.diagnostics }
    }

    /// With items that are as they were at the same place, so that they need not be compared again.
    fn sharing(mut self, before: &Self) -> Self {
        let mut tree = (*self.tree).clone();
        for (item, old) in tree.items.iter_mut().zip(&before.tree.items) {
            if *item == *old {
                *item = old.clone();
            }
        }
        self.tree = Arc::new(tree);
        self
    }
}

/// Files of the last compilation, and of the one that runs.
#[derive(Debug, Default)]
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
            let file = if is_same {
                known.clone()
            } else {
                File::parse(known.source.path.clone(), text, module).sharing(known)
            };
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
