//! Files and directories of a plan: each is asked for once and written down.

use std::collections::BTreeMap;

use imgc_plan::node::{Asked, Param};
use imgc_plan::{DirRef, FileRef};

use crate::evaluate::Evaluated;
use crate::modules::Modules;
use crate::span::ModuleId;
use crate::world::{World, WorldError};

/// What the world said about paths.
pub(super) struct Inputs<'a> {
    world: &'a dyn World,
    files: BTreeMap<String, Result<FileRef, WorldError>>,
    dirs: BTreeMap<(String, Vec<String>), Result<DirRef, WorldError>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(world: &'a dyn World) -> Self {
        Self { world, files: BTreeMap::new(), dirs: BTreeMap::new() }
    }

    pub(super) fn file(&mut self, path: &str) -> Result<FileRef, WorldError> {
        self.files.entry(path.to_owned()).or_insert_with(|| self.world.file(path)).clone()
    }

    pub(super) fn dir(&mut self, path: &str, ignore: &[String]) -> Result<DirRef, WorldError> {
        let key = (path.to_owned(), ignore.to_vec());
        self.dirs.entry(key).or_insert_with(|| self.world.dir(path, ignore)).clone()
    }

    /// All that the compilation asked.
    pub(super) fn asked(self, modules: &Modules, applied: ModuleId, evaluated: &Evaluated) -> Asked {
        let params = evaluated
            .params
            .iter()
            .map(|(name, given)| (name.clone(), Param { value: given.value.shown(), origin: given.origin.clone() }));
        Asked {
            modules: modules.digests(applied),
            files: self.files.into_values().filter_map(Result::ok).collect(),
            dirs: self.dirs.into_values().filter_map(Result::ok).collect(),
            params: params.collect(),
        }
    }
}
