//! One package at one moment: what a request answers from. It never changes; an edit makes a new one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use imgc_compiler::analysis::{Analysis, Memo};
use imgc_compiler::ide::Place;

use crate::client::Client;
use crate::disk::{self, Disk};
use crate::documents::Documents;
use crate::host::Host;
use crate::lines::Text;
use crate::root::{self, Root};
use crate::uri::Name;
use crate::world::EditorWorld;
use crate::{lsp, uri};

/// The work was ended because nobody waits for it any more, or because its text has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

/// What stays of a package from one snapshot to the next.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) memo: Arc<Memo>,
    pub(crate) disk: Arc<Disk>,
    /// Every module on the disk; found when it is first asked for.
    pub(crate) modules: Arc<OnceLock<Vec<String>>>,
}

/// A package at one moment.
pub(crate) struct Snapshot {
    /// The package.
    pub(crate) root: Root,
    /// All open texts, also those of other packages.
    pub(crate) open: Documents,
    /// What the client can do.
    pub(crate) client: Arc<Client>,
    /// What the program around the server knows.
    pub(crate) host: Arc<dyn Host>,
    kept: Kept,
    outdated: AtomicBool,
    analysis: Mutex<Option<Analysis>>,
}

impl Snapshot {
    /// The package as it is now.
    pub(crate) fn new(root: Root, open: Documents, (client, host): (Arc<Client>, Arc<dyn Host>), kept: Kept) -> Self {
        let (outdated, analysis) = (AtomicBool::new(false), Mutex::new(None));
        Self { root, open, client, host, kept, outdated, analysis }
    }

    /// What the next snapshot goes on with.
    pub(crate) fn kept(&self) -> Kept {
        self.kept.clone()
    }

    /// Says that a newer one is there: work on this one ends soon.
    pub(crate) fn outdate(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Whether a newer one is there.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// What the compiler asks.
    pub(crate) fn world(&self) -> EditorWorld<'_> {
        EditorWorld { root: &self.root, open: &self.open, disk: &self.kept.disk }
    }

    /// Whether anything that was read of the disk is no longer so; it is forgotten.
    pub(crate) fn refresh_disk(&self) -> bool {
        self.kept.disk.refresh()
    }

    /// What the compiler knows of the package; found once for all that ask of this snapshot.
    ///
    /// # Errors
    /// The snapshot is outdated, or `cancelled` says so.
    pub(crate) fn analysis(&self, cancelled: &dyn Fn() -> bool) -> Result<Analysis, Stopped> {
        let mut found = self.analysis.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(analysis) = &*found {
            return Ok(analysis.clone());
        }
        let stop = || self.is_outdated() || cancelled();
        if stop() {
            return Err(Stopped);
        }
        let analysis = self.kept.memo.analyse(&self.world(), &self.entries(), &stop).map_err(|_| Stopped)?;
        *found = Some(analysis.clone());
        Ok(analysis)
    }

    /// The modules that are looked at: those of the package on the disk, and those that are open.
    pub(crate) fn entries(&self) -> Vec<String> {
        let mut entries: Vec<String> = match (&self.root, self.root.folder()) {
            (Root::Package(_), Some(folder)) => self.kept.modules.get_or_init(|| disk::modules(folder)).clone(),
            _ => self.root.only().into_iter().collect(),
        };
        entries.extend(self.open_modules().map(|(path, _)| path));
        // The applied module comes first, as for the command line.
        entries.sort_by(|a, b| (a != "main.imgc", a).cmp(&(b != "main.imgc", b)));
        entries.dedup();
        entries
    }

    /// Whether any of its texts is open.
    pub(crate) fn is_open(&self) -> bool {
        self.open_modules().next().is_some()
    }

    /// The open modules of this package, by path.
    pub(crate) fn open_modules(&self) -> impl Iterator<Item = (String, Name)> + '_ {
        let of_root = |name: &Name| match name {
            Name::Std(_) => None,
            Name::File(_) | Name::Buffer(_) => self.root.path(name),
        };
        let whole = matches!(self.root, Root::Package(_));
        let only = self.root.only();
        self.open
            .iter()
            .filter_map(move |(name, _)| Some((of_root(name)?, name.clone())))
            .filter(move |(path, _)| disk::is_module(Path::new(path)) && (whole || only.as_ref() == Some(path)))
    }

    /// The URI of a module, as the client wrote it where it is open.
    pub(crate) fn uri(&self, path: &str) -> lsp::Uri {
        if let Some(text) = imgc_compiler::standard_module(path) {
            return self.readable(path, text).into();
        }
        let name = self.root.name(path);
        self.open.get(&name).map_or_else(|| root::uri_of(&name), |document| document.uri.clone()).into()
    }

    /// The URI of the page about a code.
    pub(crate) fn page_uri(&self, page: imgc_compiler::pages::Page) -> lsp::Uri {
        self.readable(&format!("std/codes/{}.md", page.code), page.text).into()
    }

    /// A text of ours: by our scheme, or as a file for clients that only know files.
    fn readable(&self, path: &str, text: &str) -> String {
        let file = if self.client.std_documents { None } else { self.host.file_of(path, text) };
        file.map_or_else(|| uri::of_std(path), |file| uri::of_file(&file))
    }

    /// What the sources of a module are pinned to.
    pub(crate) fn pins(&self, path: &str) -> Vec<(String, String)> {
        self.root.folder().map(|folder| self.host.pins(folder, path)).unwrap_or_default()
    }

    /// What the last plan says of a module.
    pub(crate) fn planned(&self, path: &str) -> Vec<(String, String)> {
        self.root.folder().map(|folder| self.host.planned(folder, path)).unwrap_or_default()
    }

    /// The version of a module, where it is open.
    pub(crate) fn version(&self, path: &str) -> Option<i32> {
        self.open.get(&self.root.name(path)).map(|document| document.version)
    }

    /// The text of a module with its lines.
    pub(crate) fn text(&self, analysis: &Analysis, path: &str) -> Option<Text> {
        let text = analysis.text(path)?;
        let open = self.open.get(&self.root.name(path)).map(|document| &document.text);
        Some(match open {
            Some(open) if Arc::ptr_eq(open.text(), text) => open.clone(),
            _ => Text::new(text.clone()),
        })
    }

    /// A place as the client writes it; none for a module that is not known.
    pub(crate) fn location(&self, analysis: &Analysis, place: &Place) -> Option<lsp::Location> {
        let range = self.text(analysis, &place.path)?.range(&place.range, self.client.encoding);
        Some(lsp::Location { uri: self.uri(&place.path), range })
    }
}
