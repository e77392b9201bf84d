//! The texts that are open in the editor.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lines::Text;
use crate::uri::Name;

/// An open text.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// As the client writes it, which may differ from how we would.
    pub(crate) uri: String,
    /// Counted by the client.
    pub(crate) version: i32,
    pub(crate) text: Text,
}

/// All open texts. Cheap to clone; a clone does not see later changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents {
    all: Arc<BTreeMap<Name, Arc<Document>>>,
}

impl Documents {
    /// The text of that name.
    pub(crate) fn get(&self, name: &Name) -> Option<&Arc<Document>> {
        self.all.get(name)
    }

    /// Opens a text, or replaces it.
    pub(crate) fn put(&mut self, name: Name, document: Document) {
        Arc::make_mut(&mut self.all).insert(name, Arc::new(document));
    }

    /// Closes a text.
    pub(crate) fn remove(&mut self, name: &Name) -> bool {
        Arc::make_mut(&mut self.all).remove(name).is_some()
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<Document>)> {
        self.all.iter()
    }
}
