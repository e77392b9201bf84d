//! All packages that are open, each as its newest snapshot. Owned by the one thread that applies changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use imgc_compiler::analysis::Memo;

use crate::client::Client;
use crate::disk::{self, Disk};
use crate::documents::{Document, Documents};
use crate::host::Host;
use crate::lines::Text;
use crate::root::Root;
use crate::snapshot::{Kept, Snapshot};
use crate::uri::{self, Name};

/// What is open, and what is known of it.
pub(crate) struct Workspace {
    client: Arc<Client>,
    host: Arc<dyn Host>,
    folders: Vec<PathBuf>,
    open: Documents,
    packages: BTreeMap<Root, Arc<Snapshot>>,
    /// The package that was asked about last: texts of the standard library are seen from there.
    last: Option<Root>,
}

/// The package that texts of the standard library are seen from when no other is open.
const NOWHERE: &str = "imgc-std:";

impl Workspace {
    /// The folders that the client has opened, as URIs.
    pub(crate) fn new(client: Arc<Client>, host: Arc<dyn Host>, folders: &[String]) -> Self {
        let (open, packages) = (Documents::default(), BTreeMap::new());
        let mut workspace = Self { client, host, folders: Vec::new(), open, packages, last: None };
        workspace.change_folders(folders, &[]);
        workspace
    }

    /// What a URI names; a file that holds a text of ours is that text.
    pub(crate) fn name(&self, uri: &str) -> Name {
        match uri::parse(uri) {
            Name::File(file) => match self.host.path_of(&file) {
                Some(path) => Name::Std(path),
                None => Name::File(file),
            },
            name @ (Name::Std(_) | Name::Buffer(_)) => name,
        }
    }

    /// An open text.
    pub(crate) fn document(&self, name: &Name) -> Option<&Arc<Document>> {
        self.open.get(name)
    }

    /// All packages.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.packages.values()
    }

    /// The package of a text, made if need be, and the text's path there.
    pub(crate) fn package_of(&mut self, name: &Name) -> Option<(Arc<Snapshot>, String)> {
        let (root, path) = match name {
            Name::Std(path) => (self.last.clone().unwrap_or_else(|| Root::Buffer(NOWHERE.to_owned())), path.clone()),
            Name::File(_) | Name::Buffer(_) => Root::of(name, &self.folders)?,
        };
        // A text that is neither open nor on the disk belongs nowhere.
        let there = match name {
            Name::File(file) => self.open.get(name).is_some() || file.is_file(),
            Name::Buffer(_) => self.open.get(name).is_some(),
            Name::Std(_) => true,
        };
        if !there {
            return None;
        }
        if !matches!(name, Name::Std(_)) {
            self.last = Some(root.clone());
        }
        let snapshot = match self.packages.get(&root) {
            Some(snapshot) => snapshot.clone(),
            None => self.renew(root, None),
        };
        Some((snapshot, path))
    }

    /// Makes a new snapshot of a package, and ends work on the old one.
    fn renew(&mut self, root: Root, kept: Option<Kept>) -> Arc<Snapshot> {
        let old = self.packages.get(&root);
        if let Some(old) = old {
            old.outdate();
        }
        let kept = kept.or_else(|| old.map(|old| old.kept())).unwrap_or_else(|| Kept {
            memo: Arc::new(Memo::default()),
            disk: Arc::new(Disk::default()),
            modules: Arc::default(),
        });
        let around = (self.client.clone(), self.host.clone());
        let snapshot = Arc::new(Snapshot::new(root.clone(), self.open.clone(), around, kept));
        self.packages.insert(root, snapshot.clone());
        snapshot
    }

    /// Opens a text, or replaces it; gives the packages that have changed.
    pub(crate) fn open(&mut self, name: &Name, document: Document) -> Vec<Arc<Snapshot>> {
        self.open.put(name.clone(), document);
        self.changed(name)
    }

    /// Changes an open text; nothing happens if it is not open.
    pub(crate) fn edit(&mut self, name: &Name, version: i32, text: Text) -> Vec<Arc<Snapshot>> {
        let Some(uri) = self.open.get(name).map(|document| document.uri.clone()) else { return Vec::new() };
        self.open.put(name.clone(), Document { uri, version, text });
        self.changed(name)
    }

    /// New snapshots of all that may read a text: its own package first, then files beside it that may import it.
    fn changed(&mut self, name: &Name) -> Vec<Arc<Snapshot>> {
        if matches!(name, Name::Std(_)) {
            return Vec::new();
        }
        let Some((own, _)) = Root::of(name, &self.folders) else { return Vec::new() };
        self.last = Some(own.clone());
        let others: Vec<_> =
            self.packages.keys().filter(|root| **root != own && root.path(name).is_some()).cloned().collect();
        std::iter::once(own).chain(others).map(|root| self.renew(root, None)).collect()
    }

    /// Closes a text; gives its package, which is gone if it was a text of its own.
    pub(crate) fn close(&mut self, name: &Name) -> Option<(Root, Option<Arc<Snapshot>>)> {
        if !self.open.remove(name) || matches!(name, Name::Std(_)) {
            return None;
        }
        let (root, _) = Root::of(name, &self.folders)?;
        if let (Root::Package(_), Some(old)) = (&root, self.packages.get(&root)) {
            // What the editor had in it may never have been written.
            if let Name::File(file) = name {
                let _ = old.kept().disk.forget(file);
            }
            let snapshot = self.renew(root.clone(), None);
            return Some((root, Some(snapshot)));
        }
        self.forget(&root);
        Some((root, None))
    }

    fn forget(&mut self, root: &Root) {
        if let Some(old) = self.packages.remove(root) {
            old.outdate();
        }
        if self.last.as_ref() == Some(root) {
            self.last = None;
        }
    }

    /// Opens and closes folders of the client, by URI. A folder that is a package is known from then on.
    pub(crate) fn change_folders(&mut self, added: &[String], removed: &[String]) {
        let folder = |uri: &String| match uri::parse(uri) {
            Name::File(folder) => Some(folder),
            Name::Std(_) | Name::Buffer(_) => None,
        };
        let removed: Vec<_> = removed.iter().filter_map(folder).collect();
        self.folders.retain(|folder| !removed.contains(folder));
        for folder in added.iter().filter_map(folder) {
            if !self.folders.contains(&folder) {
                self.folders.push(folder.clone());
            }
        }
        let known: Vec<_> = self.packages.keys().cloned().collect();
        for root in known {
            if !self.folders.iter().any(|folder| root.folder() == Some(folder)) && !self.has_open(&root) {
                self.forget(&root);
            }
        }
        for folder in self.folders.clone().iter().filter(|folder| disk::is_package(folder)) {
            let root = Root::Package(folder.clone());
            if !self.packages.contains_key(&root) {
                self.renew(root, None);
            }
        }
    }

    fn has_open(&self, root: &Root) -> bool {
        self.packages.get(root).is_some_and(|snapshot| snapshot.is_open())
    }

    /// Files that have changed on the disk; gives the packages that may differ now.
    pub(crate) fn touched(&mut self, files: &[(PathBuf, Touch)]) -> Vec<Arc<Snapshot>> {
        let mut changed = Vec::new();
        for root in self.packages.keys().cloned().collect::<Vec<_>>() {
            let (Some(folder), Some(snapshot)) = (root.folder(), self.packages.get(&root)) else { continue };
            let below: Vec<_> = files.iter().filter(|(file, _)| file.starts_with(folder)).collect();
            if below.is_empty() {
                continue;
            }
            let mut kept = snapshot.kept();
            for (file, _) in &below {
                let _ = kept.disk.forget(file);
            }
            if below.iter().any(|(file, touch)| *touch == Touch::Listed && disk::is_module(file)) {
                kept.modules = Arc::default();
            }
            changed.push(self.renew(root, Some(kept)));
        }
        changed
    }

    /// Makes a package anew from what is on the disk now.
    pub(crate) fn reread(&mut self, root: &Root) -> Option<Arc<Snapshot>> {
        let mut kept = self.packages.get(root)?.kept();
        kept.modules = Arc::default();
        Some(self.renew(root.clone(), Some(kept)))
    }
}

/// What has happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Other bytes are in it.
    Written,
    /// It has come or gone.
    Listed,
}
