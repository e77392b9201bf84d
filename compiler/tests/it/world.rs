//! A world in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use imgc_compiler::world::{Argument, ArgumentValue, Found, World, WorldError};
use imgc_plan::{Digest, DirRef, EntryKind, FileRef, TreeEntry};

/// Files by path, and arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct MapWorld {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Links that leave the package.
    pub(crate) outside: Vec<String>,
    pub(crate) args: BTreeMap<String, Argument>,
}

impl MapWorld {
    /// A package of one module.
    pub(crate) fn of(main: &str) -> Self {
        let mut world = Self::default();
        world.files.insert("main.imgc".to_owned(), main.as_bytes().to_vec());
        world
    }

    /// All files below a folder. A line `name = text` of its `args` file is an argument, `name = json text` one of
    /// `--vars`; a line of its `outside` file is a link that leaves the package.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut world = Self::default();
        world.add(folder, "");
        let mut lines = |name: &str| {
            let text = world.files.remove(name).unwrap_or_default();
            String::from_utf8(text).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (args, outside) = (lines("args"), lines("outside"));
        world.outside = outside;
        for line in args {
            let (name, value) = line.split_once(" = ").unwrap();
            world = match value.strip_prefix("json ") {
                Some(json) => world.data(name, serde_json::from_str(json).unwrap()),
                None => world.set(name, value),
            };
        }
        world
    }

    fn add(&mut self, folder: &Path, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{prefix}{name}");
            if entry.file_type().unwrap().is_dir() {
                self.add(&entry.path(), &format!("{path}/"));
            } else if !name.contains(".snap") {
                self.files.insert(path, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    /// With `--set name=value`.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        self.argument_of(name, ArgumentValue::Text(value.to_owned()), "--set")
    }

    /// With a value of a file.
    pub(crate) fn data(self, name: &str, value: serde_json::Value) -> Self {
        self.argument_of(name, ArgumentValue::Data(value), "--vars vars.toml")
    }

    fn argument_of(mut self, name: &str, value: ArgumentValue, origin: &str) -> Self {
        let argument = Argument { value, origin: origin.to_owned(), base: "/given".to_owned(), place: None };
        self.args.insert(name.to_owned(), argument);
        self
    }

    fn bytes(&self, path: &str) -> Result<&[u8], WorldError> {
        if self.outside.iter().any(|link| link == path) {
            return Err(WorldError::Outside { path: path.to_owned() });
        }
        // What `/given` holds stands in the case's folder `given`.
        self.files
            .get(path.trim_start_matches('/'))
            .map(Vec::as_slice)
            .ok_or_else(|| WorldError::Missing { path: path.to_owned() })
    }
}

impl World for MapWorld {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        let bytes = self.bytes(path)?;
        if bytes.len() > 1 << 20 {
            return Err(WorldError::TooLarge { path: path.to_owned() });
        }
        self.text(path)
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        if self.outside.iter().any(|link| link == path) {
            return Err(WorldError::Outside { path: path.to_owned() });
        }
        let path = path.trim_start_matches('/');
        let below = format!("{path}/");
        Ok(if self.files.contains_key(path) {
            Found::File
        } else if path.is_empty() || self.files.keys().any(|file| file.starts_with(&below)) {
            Found::Dir
        } else {
            Found::Missing
        })
    }

    fn list(&self, path: &str) -> Vec<(String, Found)> {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut found = BTreeMap::new();
        for rest in self.files.keys().filter_map(|file| file.strip_prefix(&below)) {
            let (name, kind) = rest.split_once('/').map_or((rest, Found::File), |(folder, _)| (folder, Found::Dir));
            found.insert(name.to_owned(), kind);
        }
        found.into_iter().collect()
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        let bytes = self.bytes(path)?;
        Ok(FileRef { path: path.to_owned(), digest: Digest::of(bytes), mode: 0o644, size: bytes.len() as u64 })
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        match std::str::from_utf8(self.bytes(path)?) {
            Ok(text) => Ok(Arc::from(text)),
            Err(error) => Err(WorldError::NotText { path: path.to_owned(), at: error.valid_up_to() }),
        }
    }

    fn dir(&self, path: &str, ignore: &[String]) -> Result<DirRef, WorldError> {
        let below = if path.is_empty() { String::new() } else { format!("{}/", path.trim_start_matches('/')) };
        let mut entries = Vec::new();
        for (file, bytes) in &self.files {
            if let Some(rest) = file.strip_prefix(&below)
                && !ignore.iter().any(|out| out == rest)
            {
                let kind = EntryKind::File { digest: Digest::of(bytes), size: bytes.len() as u64 };
                entries.push(TreeEntry { path: rest.to_owned(), kind, mode: 0o644 });
            }
        }
        let digest = DirRef::merkle(&entries);
        Ok(DirRef {
            path: path.to_owned(),
            digest,
            ignore: ignore.to_vec(),
            exact_modes: false,
            entries,
            places: std::collections::BTreeMap::new(),
        })
    }

    fn argument(&self, param: &str) -> Option<Argument> {
        self.args.get(param).cloned()
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        self.args.iter().map(|(name, argument)| (name.clone(), argument.origin.clone())).collect()
    }
}
