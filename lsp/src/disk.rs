//! What was read of the disk, kept between analyses, and whether it is still so.
//!
//! Nothing here reads more of a file than its text as a module or as a `.text`; no file is ever hashed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use imgc_compiler::world::{Found, WorldError};

/// The most bytes of a module, as for the command line.
pub(crate) const MODULE_LIMIT: u64 = 1 << 20;
/// The most bytes of a file that becomes a text.
pub(crate) const TEXT_LIMIT: u64 = 16 << 20;

/// Texts and findings of one package's files.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    texts: BTreeMap<PathBuf, Read>,
    found: BTreeMap<PathBuf, Found>,
}

/// A file that was read.
#[derive(Debug, Clone)]
struct Read {
    stamp: Option<Stamp>,
    text: Result<Arc<str>, WorldError>,
}

/// What tells that a file has changed: its size and times.
type Stamp = (u64, Option<SystemTime>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of a file that was read since it last changed.
    pub(crate) fn known(&self, file: &Path) -> Option<Result<Arc<str>, WorldError>> {
        self.lock().texts.get(file).map(|read| read.text.clone())
    }

    /// The text of a file, as it was when it was first asked for since it last changed. `path` is what messages call it.
    pub(crate) fn text(&self, file: &Path, path: &str, limit: u64) -> Result<Arc<str>, WorldError> {
        if let Some(text) = self.known(file) {
            return text;
        }
        let read = Read { stamp: stamp(file), text: read(file, path, limit) };
        self.lock().texts.insert(file.to_path_buf(), read.clone());
        read.text
    }

    /// What stands at a path; asked anew each time, which costs less than to be wrong.
    pub(crate) fn find(&self, file: &Path) -> Found {
        let found = find(file);
        self.lock().found.insert(file.to_path_buf(), found);
        found
    }

    /// Forgets a file that is said to have changed. Whether anything was known of it.
    pub(crate) fn forget(&self, file: &Path) -> bool {
        let mut seen = self.lock();
        let text = seen.texts.remove(file).is_some();
        text || seen.found.remove(file).is_some()
    }

    /// Looks whether everything is still as it was seen, and forgets what is not. Whether anything was.
    pub(crate) fn refresh(&self) -> bool {
        let (texts, found) = {
            let seen = self.lock();
            let texts: Vec<_> = seen.texts.iter().map(|(file, read)| (file.clone(), read.stamp)).collect();
            (texts, seen.found.clone())
        };
        let gone: Vec<_> = texts.into_iter().filter(|(file, was)| stamp(file) != *was).map(|(file, _)| file).collect();
        let turned: Vec<_> = found.into_iter().filter(|(file, was)| find(file) != *was).map(|(file, _)| file).collect();
        let mut seen = self.lock();
        for file in &gone {
            seen.texts.remove(file);
        }
        for file in &turned {
            seen.found.remove(file);
        }
        !gone.is_empty() || !turned.is_empty()
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.len(), meta.modified().ok()))
}

fn find(file: &Path) -> Found {
    match std::fs::metadata(file) {
        Ok(meta) if meta.is_file() => Found::File,
        Ok(meta) if meta.is_dir() => Found::Dir,
        Ok(_) => Found::Other,
        Err(_) => Found::Missing,
    }
}

/// The most entries of a folder that anybody wants to choose from.
const MAX_LISTED: usize = 1000;

/// What stands directly in a folder, by name, without what is hidden; nothing where it cannot be read.
pub(crate) fn list(folder: &Path) -> Vec<(String, Found)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    let shown = named.filter(|(name, _)| !name.starts_with('.')).take(MAX_LISTED);
    let mut found: Vec<_> = shown.map(|(name, path)| (name, find(&path))).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn read(file: &Path, path: &str, limit: u64) -> Result<Arc<str>, WorldError> {
    let failed = |error: std::io::Error| {
        if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
            return WorldError::Missing { path: path.to_owned() };
        }
        WorldError::Unreadable { path: path.to_owned(), reason: error.to_string() }
    };
    let meta = std::fs::metadata(file).map_err(failed)?;
    if !meta.is_file() {
        return Err(WorldError::Unreadable { path: path.to_owned(), reason: "it is not a regular file".to_owned() });
    }
    if meta.len() > limit {
        return Err(too_large(path, limit));
    }
    let bytes = std::fs::read(file).map_err(failed)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Arc::from(text)),
        Err(error) => Err(WorldError::NotText { path: path.to_owned(), at: error.utf8_error().valid_up_to() }),
    }
}

/// What is said of a text beyond its limit.
pub(crate) fn too_large(path: &str, limit: u64) -> WorldError {
    if limit == MODULE_LIMIT {
        return WorldError::TooLarge { path: path.to_owned() };
    }
    let reason = "it is larger than the limit of 16 MiB for texts".to_owned();
    WorldError::Unreadable { path: path.to_owned(), reason }
}

/// Directories that hold no modules of a package.
const NOT_LOOKED_INTO: [&str; 3] = ["out", "node_modules", "target"];
/// Entries after which the search for modules ends: an editor may be opened anywhere.
const MAX_ENTRIES: usize = 20_000;

/// Every module of the package at `root`, relative, sorted. Hidden folders and packages within are left out.
pub(crate) fn modules(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    let mut entries = 0;
    while let Some(folder) = folders.pop() {
        let Ok(listed) = std::fs::read_dir(&folder) else { continue };
        for entry in listed.flatten() {
            entries += 1;
            if entries > MAX_ENTRIES {
                found.sort();
                return found;
            }
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !NOT_LOOKED_INTO.contains(&name) && !is_package(&path) {
                folders.push(path);
            } else if kind.is_file() && is_module(&path) {
                found.extend(path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned));
            }
        }
    }
    found.sort();
    found
}

/// Whether a file is a module by its name.
pub(crate) fn is_module(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "imgc")
}

/// Whether a directory is a package.
pub(crate) fn is_package(dir: &Path) -> bool {
    ["main.imgc", "imgc.toml"].iter().any(|name| dir.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_read_is_kept_until_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (file, missing) = (dir.path().join("a.imgc"), dir.path().join("b"));
        fs::write(&file, "let a = 1").unwrap();
        let disk = Disk::default();
        let read = |disk: &Disk| disk.text(&file, "a.imgc", MODULE_LIMIT);
        assert_eq!(read(&disk).as_deref(), Ok("let a = 1"));
        assert_eq!(disk.find(&missing), Found::Missing);
        assert!(!disk.refresh());
        fs::write(&file, "let a = 22").unwrap();
        assert_eq!(read(&disk).as_deref(), Ok("let a = 1"));
        assert!(disk.refresh());
        assert_eq!(read(&disk).as_deref(), Ok("let a = 22"));
        fs::write(&missing, "").unwrap();
        assert!(disk.refresh());
        fs::write(&file, vec![b' '; 2 << 20]).unwrap();
        assert!(disk.forget(&file));
        assert_eq!(read(&disk), Err(WorldError::TooLarge { path: "a.imgc".to_owned() }));
    }

    #[test]
    fn modules_of_a_package_are_found_without_those_of_others() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["main.imgc", "lib/a.imgc", ".git/b.imgc", "out/c.imgc", "other/main.imgc", "lib/deep/d.imgc"] {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert_eq!(modules(dir.path()), ["lib/a.imgc", "lib/deep/d.imgc", "main.imgc"]);
    }

    #[test]
    fn a_folder_is_listed_by_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = list(folder);
        assert!(found.contains(&("Cargo.toml".to_owned(), Found::File)), "{found:?}");
        assert!(found.contains(&("src".to_owned(), Found::Dir)), "{found:?}");
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{found:?}");
        assert_eq!(list(&folder.join("nothing")), Vec::new());
    }
}
