//! A package in memory, analysed.

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_compiler::World;
use imgc_compiler::analysis::{Analysis, Memo};
use imgc_compiler::world::{Argument, Found, WorldError};
use imgc_plan::{DirRef, FileRef};

/// Modules by path, and nothing else.
struct Package(BTreeMap<String, Arc<str>>);

fn missing(path: &str) -> WorldError {
    WorldError::Missing { path: path.to_owned() }
}

impl World for Package {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.0.get(path).cloned().ok_or_else(|| missing(path))
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        Ok(if self.0.contains_key(path) { Found::File } else { Found::Missing })
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        Err(missing(path))
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.module(path)
    }

    fn dir(&self, path: &str, _ignore: &[String]) -> Result<DirRef, WorldError> {
        Err(missing(path))
    }

    fn argument(&self, _param: &str) -> Option<Argument> {
        None
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The analysis of a package with these files.
pub(crate) fn analysis(files: &[(&str, &str)]) -> Analysis {
    let package = Package(files.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(*text))).collect());
    let entries: Vec<String> = package.0.keys().cloned().collect();
    Memo::default().analyse(&package, &entries, &|| false).unwrap()
}

/// The analysis of one module.
pub(crate) fn main(text: &str) -> Analysis {
    analysis(&[("main.imgc", text)])
}

/// The analysis of many modules that have nothing to do with each other, and their paths.
pub(crate) fn many(texts: &[&str]) -> (Analysis, Vec<String>) {
    let paths: Vec<String> = (0..texts.len()).map(|number| format!("m{number}/main.imgc")).collect();
    let files: Vec<(&str, &str)> = paths.iter().map(String::as_str).zip(texts.iter().copied()).collect();
    (analysis(&files), paths)
}
