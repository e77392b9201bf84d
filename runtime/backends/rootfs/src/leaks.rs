//! Secrets that a step left in its layer: looked for before the layer is kept, in what the step itself wrote.

use std::path::Path;

use imgc_backend::{BackendError, Needles};
use imgc_store::{EntryKind, Manifest};
use rayon::prelude::*;

/// A secret, how it is written, and where.
pub(crate) struct Leak {
    pub(crate) secret: String,
    pub(crate) form: &'static str,
    pub(crate) place: String,
}

/// The first leak in the tree at `dir`, in the order of its manifest: in content, names, links and attributes.
pub(crate) fn find(dir: &Path, manifest: &Manifest, needles: &Needles) -> Result<Option<Leak>, BackendError> {
    if needles.is_empty() {
        return Ok(None);
    }
    let found = manifest.entries.par_iter().map(|entry| {
        let path = String::from_utf8_lossy(&entry.path.0).into_owned();
        let leak = |found: imgc_backend::secret::Found<'_>, place: String| Leak {
            secret: found.secret.to_owned(),
            form: found.form,
            place,
        };
        if let Some(found) = needles.find(&entry.path.0) {
            return Ok(Some(leak(found, "the name of a file".to_owned())));
        }
        for value in entry.xattrs.values() {
            if let Some(found) = needles.find(value.as_ref()) {
                return Ok(Some(leak(found, format!("an attribute of /{path}"))));
            }
        }
        match &entry.kind {
            EntryKind::Symlink { target } => {
                Ok(needles.find(target).map(|found| leak(found, format!("the link /{path}"))))
            }
            EntryKind::File { .. } => {
                let host = entry.path.on(dir);
                let reading = || BackendError::io(format!("cannot read {}", host.display()));
                let file = std::fs::File::open(&host).map_err(reading())?;
                let found = needles.find_in(file).map_err(reading())?;
                Ok(found.map(|found| leak(found, format!("the file /{path}"))))
            }
            EntryKind::Dir { .. } | EntryKind::Hardlink { .. } | EntryKind::Fifo | EntryKind::Whiteout => Ok(None),
        }
    });
    let found: Result<Vec<Option<Leak>>, BackendError> = found.collect();
    Ok(found?.into_iter().flatten().next())
}
