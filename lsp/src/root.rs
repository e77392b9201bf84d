//! Which package a text belongs to, and what its modules are called there.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::uri::{self, Name};

/// Where a package begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Root {
    /// A directory with a `main.imgc` or an `imgc.toml`: all modules below belong together.
    Package(PathBuf),
    /// One file outside of any package, which may still import what lies beside it.
    File(PathBuf),
    /// One text without a file; its URI.
    Buffer(String),
}

/// What a text without a file is called.
const BUFFER: &str = "untitled.imgc";

impl Root {
    /// The root of a file and its path there. `folders` are those that the client has opened: a package is not looked for
    /// above the innermost of them; a file outside of all belongs to a package only by an `imgc.toml` or to its own folder.
    pub(crate) fn of(name: &Name, folders: &[PathBuf]) -> Option<(Self, String)> {
        let file = match name {
            Name::File(file) => file,
            Name::Buffer(uri) => return Some((Self::Buffer(uri.clone()), BUFFER.to_owned())),
            Name::Std(_) => return None,
        };
        let own = file.parent()?;
        let by_manifest = own.ancestors().find(|dir| dir.join("imgc.toml").is_file());
        let top = folders.iter().filter(|folder| own.starts_with(folder)).max_by_key(|folder| folder.as_os_str().len());
        let within = own.ancestors().take_while(|dir| top.map_or(*dir == own, |top| dir.starts_with(top)));
        let root = by_manifest.or_else(|| within.into_iter().find(|dir| disk::is_package(dir)));
        match root {
            Some(root) => Some((Self::Package(root.to_path_buf()), file.strip_prefix(root).ok()?.to_str()?.to_owned())),
            None => Some((Self::File(file.clone()), file.file_name()?.to_str()?.to_owned())),
        }
    }

    /// The directory that paths count from; none where there is no disk behind it.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Package(dir) => Some(dir),
            Self::File(file) => file.parent(),
            Self::Buffer(_) => None,
        }
    }

    /// What a module's path names.
    pub(crate) fn name(&self, path: &str) -> Name {
        match self {
            Self::Package(_) | Self::File(_) => {
                Name::File(self.folder().map_or_else(|| PathBuf::from(path), |folder| folder.join(path)))
            }
            Self::Buffer(uri) if path == BUFFER => Name::Buffer(uri.clone()),
            Self::Buffer(uri) => Name::Buffer(format!("{uri}/{path}")),
        }
    }

    /// The path that a name has here; none for what lies elsewhere.
    pub(crate) fn path(&self, name: &Name) -> Option<String> {
        match (self, name) {
            (_, Name::Std(path)) => Some(path.clone()),
            (Self::Buffer(own), Name::Buffer(uri)) => (own == uri).then(|| BUFFER.to_owned()),
            (_, Name::File(file)) => Some(file.strip_prefix(self.folder()?).ok()?.to_str()?.to_owned()),
            (Self::Package(_) | Self::File(_), Name::Buffer(_)) => None,
        }
    }

    /// The module that the root itself is, for all but packages.
    pub(crate) fn only(&self) -> Option<String> {
        match self {
            Self::Package(_) => None,
            Self::File(file) => Some(file.file_name()?.to_str()?.to_owned()),
            Self::Buffer(_) => Some(BUFFER.to_owned()),
        }
    }

    /// What people call it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Package(path) | Self::File(path) => {
                path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
            }
            Self::Buffer(uri) => uri.clone(),
        }
    }
}

/// The URI of a module's name.
pub(crate) fn uri_of(name: &Name) -> String {
    match name {
        Name::File(file) => uri::of_file(file),
        Name::Std(path) => uri::of_std(path),
        Name::Buffer(uri) => uri.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_package_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for file in ["web/main.imgc", "web/lib/a.imgc", "loose/b.imgc", "set/imgc.toml", "set/deep/c.imgc"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        let of = |file: &str, folders: &[PathBuf]| Root::of(&Name::File(root.join(file)), folders).unwrap();
        let open = [root.to_path_buf()];
        let package = |dir: &str, path: &str| (Root::Package(root.join(dir)), path.to_owned());
        assert_eq!(of("web/main.imgc", &[]), package("web", "main.imgc"));
        assert_eq!(of("web/lib/a.imgc", &open), package("web", "lib/a.imgc"));
        assert_eq!(of("web/lib/a.imgc", &[]), (Root::File(root.join("web/lib/a.imgc")), "a.imgc".to_owned()));
        assert_eq!(of("set/deep/c.imgc", &[]), package("set", "deep/c.imgc"));
        assert_eq!(of("loose/b.imgc", &open), (Root::File(root.join("loose/b.imgc")), "b.imgc".to_owned()));
    }
}
