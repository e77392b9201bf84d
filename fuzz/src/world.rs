//! A package of one module, `main.imgc`, and nothing else.

use std::sync::Arc;

use imgc_compiler::world::{Argument, Found, World, WorldError};
use imgc_plan::{DirRef, FileRef};

/// The bytes of the module.
pub(crate) struct OneFile<'a>(pub(crate) &'a [u8]);

fn missing<T>(path: &str) -> Result<T, WorldError> {
    Err(WorldError::Missing { path: path.to_owned() })
}

impl World for OneFile<'_> {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        if path != "main.imgc" {
            return missing(path);
        }
        let text = std::str::from_utf8(self.0);
        text.map(Arc::from).map_err(|error| WorldError::NotText { path: path.to_owned(), at: error.valid_up_to() })
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        Ok(if path == "main.imgc" { Found::File } else { Found::Missing })
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        missing(path)
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.module(path)
    }

    fn dir(&self, path: &str, _ignore: &[String]) -> Result<DirRef, WorldError> {
        missing(path)
    }

    fn argument(&self, _param: &str) -> Option<Argument> {
        None
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}
