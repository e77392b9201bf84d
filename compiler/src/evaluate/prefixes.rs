//! What addresses and secrets call the modules of a program.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evaluator, InstanceId};

/// The names of modules, by instance.
pub(super) type Prefixes = BTreeMap<InstanceId, String>;

impl Evaluator<'_> {
    /// For each imported module the shortest name that leads to it, of several the first. None where all are called so
    /// already: a module gets the name under which it was met, and which that is depends on the order of items.
    pub(super) fn shorter_names(&self, applied: InstanceId) -> Option<Prefixes> {
        let mut names = Prefixes::new();
        let mut open = BTreeSet::from([(0_usize, String::new(), applied)]);
        let mut differs = false;
        while let Some((depth, prefix, id)) = open.pop_first() {
            let Some(instance) = self.instances.get(id.0).filter(|_| !names.contains_key(&id)) else { continue };
            for (number, imported) in &instance.imports {
                // Modules of the standard library have no names.
                let is_named = self.instances.get(imported.0).is_some_and(|imported| !imported.prefix.is_empty());
                if is_named && !names.contains_key(imported) {
                    let name = self.import_name(instance.module, *number);
                    open.insert((depth + 1, format!("{prefix}{name}::"), *imported));
                }
            }
            differs |= instance.prefix != prefix;
            names.insert(id, prefix);
        }
        differs.then_some(names)
    }
}
