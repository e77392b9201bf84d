//! Where things are inside a store's directory.

use std::path::{Path, PathBuf};

use imgc_plan::{Digest, Fingerprint};

/// The paths of one store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    /// Folders and their modes. Trees hold set-uid programs of any age, which are nothing for other users of the host.
    /// Scratch can be passed through: package managers there drop to users of their own.
    pub(crate) const FOLDERS: [(&str, u32); 6] = [
        ("objects", 0o700),
        ("trees", 0o700),
        ("entries", 0o700),
        ("scratch", 0o711),
        ("locks", 0o700),
        ("quarantine", 0o700),
    ];

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn version(&self) -> PathBuf {
        self.root.join("version")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.sqlite")
    }

    pub(crate) fn object(&self, digest: &Digest) -> PathBuf {
        self.sharded("objects", &digest.to_string(), "")
    }

    pub(crate) fn object_sidecar(&self, digest: &Digest) -> PathBuf {
        self.sharded("objects", &digest.to_string(), ".json")
    }

    /// The folder that holds `tree/` and its manifest.
    pub(crate) fn tree(&self, digest: &Digest) -> PathBuf {
        self.sharded("trees", &digest.to_string(), "")
    }

    pub(crate) fn entry_sidecar(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.sharded("entries", &fingerprint.to_string(), ".json")
    }

    fn sharded(&self, folder: &str, name: &str, extension: &str) -> PathBuf {
        let shard = name.get(..2).unwrap_or("00");
        self.root.join(folder).join(shard).join(format!("{name}{extension}"))
    }

    /// The paths two levels below `folder`, where sharded things are, sorted. What cannot be read is left out.
    pub(crate) fn all(&self, folder: &str) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> =
            children(&self.root.join(folder)).iter().flat_map(|shard| children(shard)).collect();
        found.sort();
        found
    }
}

/// What is directly in `dir`; nothing where it cannot be read.
pub(crate) fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(read) = std::fs::read_dir(dir) else { return Vec::new() };
    read.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

/// The digest that a file of the store is named by.
pub(crate) fn named<T: std::str::FromStr>(path: &Path) -> Option<T> {
    path.file_stem()?.to_str()?.parse().ok()
}
