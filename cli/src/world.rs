//! The compiler's world on this machine's disk.
//!
//! Everything the compiler asks for is noted with its stat *before* it is read, so that the fast path can later see
//! whether all of it is still the same.

mod ignore;
mod tree;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use imgc_compiler::world::{Argument, Found, World, WorldError};
use imgc_plan::{Digest, DirRef, FileRef};

use crate::arguments::Arguments;
use crate::fast_path::Stamp;

/// The most bytes of a module.
const MODULE_LIMIT: u64 = 1024 * 1024;
/// The most bytes of a file that becomes a text.
const TEXT_LIMIT: u64 = 16 * 1024 * 1024;

/// Gives the digest of a file whose metadata is at hand.
pub(crate) type HashFile = dyn Fn(&Path, &std::fs::Metadata) -> std::io::Result<Digest> + Send + Sync;

/// A package on disk.
pub(crate) struct DiskWorld {
    root: PathBuf,
    arguments: Arguments,
    hash: Box<HashFile>,
    asked: Mutex<Asked>,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Every file and directory by its absolute path, with its stat as of before it was read.
    pub(crate) stamps: BTreeMap<PathBuf, Stamp>,
    /// Every param that was asked for, with the value its environment variable had.
    pub(crate) variables: BTreeMap<String, Option<String>>,
}

impl DiskWorld {
    /// The package at `root`, which is canonical.
    pub(crate) fn new(root: &Path, arguments: Arguments, hash: Box<HashFile>) -> Self {
        Self { root: root.to_path_buf(), arguments, hash, asked: Mutex::default() }
    }

    /// What was asked for so far.
    pub(crate) fn asked(&self) -> Asked {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }

    fn stamp(&self, path: &Path, stamp: Stamp) {
        if let Ok(mut asked) = self.asked.lock() {
            asked.stamps.entry(path.to_path_buf()).or_insert(stamp);
        }
    }

    /// Where a path leads, all links followed. A path of the package may not lead out of it.
    fn resolve(&self, path: &str) -> Result<PathBuf, WorldError> {
        let given = Path::new(path);
        let named = self.root.join(given);
        let outside = || WorldError::Outside { path: path.to_owned() };
        if given.is_relative() && leaves(given) {
            return Err(outside());
        }
        let real = named.canonicalize().map_err(|error| {
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                self.stamp(&named, Stamp::Missing);
            }
            world_error(path, &error)
        })?;
        if given.is_relative() && !real.starts_with(&self.root) {
            return Err(outside());
        }
        // Where a link leads elsewhere, the link itself was read too.
        if real != named {
            let stamp = if leads_straight(&named, &real) { Stamp::of_link(&named) } else { Stamp::Doubtful(true) };
            self.stamp(&named, stamp);
        }
        Ok(real)
    }

    fn read(&self, path: &str, limit: u64, too_large: WorldError) -> Result<Arc<str>, WorldError> {
        let real = self.resolve(path)?;
        let meta = std::fs::metadata(&real).map_err(|error| world_error(path, &error))?;
        self.stamp(&real, Stamp::of(&meta));
        if !meta.is_file() {
            return Err(unreadable(path, "it is not a regular file"));
        }
        if meta.len() > limit {
            return Err(too_large);
        }
        let bytes = std::fs::read(&real).map_err(|error| world_error(path, &error))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Arc::from(text)),
            Err(error) => Err(WorldError::NotText { path: path.to_owned(), at: error.utf8_error().valid_up_to() }),
        }
    }
}

/// Whether one link leads from `named` to `real`, so that its own stat and that of `real` say all there is to say.
fn leads_straight(named: &Path, real: &Path) -> bool {
    std::fs::read_link(named).is_ok_and(|target| named.parent().is_some_and(|dir| dir.join(target) == real))
}

impl World for DiskWorld {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.read(path, MODULE_LIMIT, WorldError::TooLarge { path: path.to_owned() })
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        let real = match self.resolve(path) {
            Ok(real) => real,
            Err(WorldError::Missing { .. }) => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        let meta = std::fs::metadata(&real).map_err(|error| world_error(path, &error))?;
        if meta.is_file() {
            Ok(Found::File)
        } else if meta.is_dir() {
            Ok(Found::Dir)
        } else {
            Ok(Found::Other)
        }
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        let real = self.resolve(path)?;
        let meta = std::fs::metadata(&real).map_err(|error| world_error(path, &error))?;
        self.stamp(&real, Stamp::of(&meta));
        if !meta.is_file() {
            return Err(unreadable(path, "it is not a regular file"));
        }
        let digest = (self.hash)(&real, &meta).map_err(|error| world_error(path, &error))?;
        Ok(FileRef { path: path.to_owned(), digest, mode: reduced_mode(&meta), size: meta.len() })
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.read(path, TEXT_LIMIT, unreadable(path, "it is larger than the limit of 16 MiB for texts"))
    }

    fn dir(&self, path: &str, ignore: &[String]) -> Result<DirRef, WorldError> {
        let real = self.resolve(path)?;
        let package = if Path::new(path).is_absolute() { real.clone() } else { self.root.clone() };
        let tree = tree::read(&real, path, &package, ignore, &*self.hash)?;
        for (path, stamp) in tree.stamps {
            self.stamp(&path, stamp);
        }
        Ok(DirRef {
            path: path.to_owned(),
            digest: DirRef::merkle(&tree.entries),
            ignore: ignore.to_vec(),
            exact_modes: false,
            entries: tree.entries,
            places: BTreeMap::new(),
        })
    }

    fn argument(&self, param: &str) -> Option<Argument> {
        let name = crate::arguments::variable(param);
        let value = std::env::var(&name).ok();
        if let Ok(mut asked) = self.asked.lock() {
            asked.variables.insert(name, value);
        }
        self.arguments.get(param)
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        self.arguments.names()
    }
}

/// Whether a relative path climbs above where it starts, at any point.
fn leaves(path: &Path) -> bool {
    use std::path::Component;
    let mut depth = 0_usize;
    for part in path.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

/// 0755 where the owner may execute it, else 0644: an umask must not change a build.
fn reduced_mode(meta: &std::fs::Metadata) -> u32 {
    if meta.mode() & 0o100 == 0 { 0o644 } else { 0o755 }
}

fn world_error(path: &str, error: &std::io::Error) -> WorldError {
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
        return WorldError::Missing { path: path.to_owned() };
    }
    unreadable(path, &error.to_string())
}

fn unreadable(path: &str, reason: &str) -> WorldError {
    WorldError::Unreadable { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use imgc_plan::EntryKind;

    use super::*;

    fn world(root: &Path) -> DiskWorld {
        let hash = Box::new(|path: &Path, _: &std::fs::Metadata| Ok(Digest::of(&fs::read(path)?)));
        DiskWorld::new(&root.canonicalize().unwrap(), Arguments::default(), hash)
    }

    fn package(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn paths(dir: &DirRef) -> Vec<&str> {
        dir.entries.iter().map(|entry| entry.path.as_str()).collect()
    }

    #[test]
    fn a_directory_is_read_in_order_with_reduced_modes_and_links_as_they_are() {
        let dir = package(&[("site/b", "2"), ("site/a/c", "3"), ("site/run", "4")]);
        fs::set_permissions(dir.path().join("site/run"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink("../b", dir.path().join("site/a/link")).unwrap();
        let found = world(dir.path()).dir("site", &[]).unwrap();
        assert_eq!(paths(&found), ["a", "a/c", "a/link", "b", "run"]);
        let modes: Vec<u32> = found.entries.iter().map(|entry| entry.mode).collect();
        assert_eq!(modes, [0o755, 0o644, 0o777, 0o644, 0o755]);
        assert_eq!(found.entries[2].kind, EntryKind::Symlink { target: "../b".to_owned() });
    }

    #[test]
    fn what_is_ignored_is_left_out() {
        let dir = package(&[
            (".git/HEAD", ""),
            ("out/x", ""),
            ("imgc.lock", ""),
            (".imgcignore", "*.log\n!keep.log\n"),
            ("a.log", ""),
            ("keep.log", ""),
            ("deep/.imgcignore", "/only-here\n"),
            ("deep/only-here", ""),
            ("deep/out/y", ""),
            ("deep/b.log", ""),
            ("tmp/z", ""),
        ]);
        let world = world(dir.path());
        let found = world.dir(".", &["tmp/".to_owned()]).unwrap();
        let expected = [".imgcignore", "deep", "deep/.imgcignore", "deep/out", "deep/out/y", "keep.log"];
        assert_eq!(paths(&found), expected);
        assert_eq!(paths(&world.dir("deep", &[]).unwrap()), [".imgcignore", "out", "out/y"]);
    }

    #[test]
    fn links_may_not_leave_the_package() {
        let dir = package(&[("pkg/site/a", ""), ("secret", "")]);
        let root = dir.path().join("pkg");
        symlink("../../secret", root.join("site/up")).unwrap();
        let outside = |path: &str| WorldError::Outside { path: path.to_owned() };
        assert_eq!(world(&root).dir("site", &[]), Err(outside("site/up")));
        assert_eq!(world(&root).file("site/up"), Err(outside("site/up")));
        assert_eq!(world(&root).find("../secret"), Err(outside("../secret")));
        fs::remove_file(root.join("site/up")).unwrap();
        symlink("/etc/passwd", root.join("site/up")).unwrap();
        assert_eq!(world(&root).dir("site", &[]), Err(outside("site/up")));
    }

    #[test]
    fn modules_are_texts_of_at_most_a_mebibyte() {
        let dir = package(&[("ok.imgc", "let a = 1"), ("big.imgc", &" ".repeat(2 << 20))]);
        fs::write(dir.path().join("bad.imgc"), b"let a = \xff").unwrap();
        let world = world(dir.path());
        assert_eq!(world.module("ok.imgc").as_deref(), Ok("let a = 1"));
        assert_eq!(world.module("big.imgc"), Err(WorldError::TooLarge { path: "big.imgc".to_owned() }));
        assert_eq!(world.module("bad.imgc"), Err(WorldError::NotText { path: "bad.imgc".to_owned(), at: 8 }));
        assert_eq!(world.module("none.imgc"), Err(WorldError::Missing { path: "none.imgc".to_owned() }));
        assert_eq!(world.find("ok.imgc/x"), Ok(Found::Missing));
    }

    #[test]
    fn everything_that_was_looked_at_is_noted() {
        let dir = package(&[("main.imgc", ""), ("site/a", "")]);
        let world = world(dir.path());
        let _ = (world.module("main.imgc"), world.dir("site", &[]), world.find("gone"));
        let root = dir.path().canonicalize().unwrap();
        let asked = world.asked();
        for path in ["main.imgc", "site", "site/a", "gone", "site/.imgcignore"] {
            assert!(asked.stamps.contains_key(&root.join(path)), "{path} is missing in {asked:?}");
        }
        assert_eq!(asked.stamps[&root.join("gone")], Stamp::Missing);
    }
}
