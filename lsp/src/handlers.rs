//! One handler for each ability: each asks the compiler one question and converts the answer.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use imgc_compiler::analysis::Analysis;
use lsp_server::ErrorCode;

use crate::client::Client;
use crate::lines::{Encoding, Text};
use crate::snapshot::{Snapshot, Stopped};
use crate::{lsp, uri};

pub(crate) mod actions;
pub(crate) mod calls;
pub(crate) mod completion;
pub(crate) mod diagnostics;
pub(crate) mod edits;
pub(crate) mod info;
pub(crate) mod layout;
pub(crate) mod lenses;
pub(crate) mod places;
pub(crate) mod rename;
pub(crate) mod standard;
pub(crate) mod symbols;
pub(crate) mod tokens;

/// What a request is answered from.
pub(crate) struct Ask {
    /// The package that it is about and the module's path there; none where it is about all.
    pub(crate) here: Option<(Arc<Snapshot>, String)>,
    /// All packages.
    pub(crate) all: Vec<Arc<Snapshot>>,
    /// Set when nobody waits for the answer any more.
    pub(crate) cancelled: Arc<AtomicBool>,
    /// What was said last of each module's tokens.
    pub(crate) tokens: Arc<tokens::Said>,
}

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Its snapshot is outdated, or it is cancelled.
    Stopped,
    /// What it names is not there, or is no value of its type.
    Invalid(String),
    /// It cannot be done, for this reason.
    Refused(String),
}

/// What a handler gives.
pub(crate) type Answer<T> = Result<T, Failure>;

impl Failure {
    /// The protocol's code.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Stopped => ErrorCode::ContentModified,
            Self::Invalid(_) => ErrorCode::InvalidParams,
            Self::Refused(_) => ErrorCode::RequestFailed,
        }
    }

    /// What people read.
    pub(crate) fn message(self) -> String {
        match self {
            Self::Stopped => "the text was changed meanwhile".to_owned(),
            Self::Invalid(message) | Self::Refused(message) => message,
        }
    }
}

impl From<Stopped> for Failure {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

/// The module that a request is about.
pub(crate) struct Module<'a> {
    /// Its package.
    pub(crate) snapshot: &'a Snapshot,
    /// Its path there.
    pub(crate) path: &'a str,
    /// All that is known.
    pub(crate) analysis: Analysis,
    /// Its text.
    pub(crate) text: Text,
}

impl Ask {
    /// Whether nobody waits for the answer.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// What the compiler knows of a package.
    pub(crate) fn analysis(&self, snapshot: &Snapshot) -> Answer<Analysis> {
        Ok(snapshot.analysis(&|| self.is_cancelled())?)
    }

    /// The module that the request names.
    pub(crate) fn module(&self) -> Answer<Module<'_>> {
        let (snapshot, path) =
            self.here.as_ref().ok_or_else(|| Failure::Invalid("the request names no text".to_owned()))?;
        let analysis = self.analysis(snapshot)?;
        let text = snapshot
            .text(&analysis, path)
            .ok_or_else(|| Failure::Invalid(format!("`{path}` is neither open nor a module that can be read")))?;
        Ok(Module { snapshot, path, analysis, text })
    }
}

impl Module<'_> {
    /// What the client can do.
    pub(crate) fn client(&self) -> &Client {
        &self.snapshot.client
    }

    /// How positions are counted.
    pub(crate) fn encoding(&self) -> Encoding {
        self.client().encoding
    }

    /// The byte offset of a position.
    pub(crate) fn offset(&self, position: lsp::Position) -> usize {
        self.text.offset(position, self.encoding())
    }

    /// The byte offsets of a range.
    pub(crate) fn span(&self, range: lsp::Range) -> Range<usize> {
        self.text.span(range, self.encoding())
    }

    /// The range of byte offsets of this module.
    pub(crate) fn range(&self, range: &Range<usize>) -> lsp::Range {
        self.text.range(range, self.encoding())
    }

    /// The range of byte offsets of any module.
    pub(crate) fn range_in(&self, path: &str, range: &Range<usize>) -> Option<lsp::Range> {
        if path == self.path {
            return Some(self.range(range));
        }
        Some(self.snapshot.text(&self.analysis, path)?.range(range, self.encoding()))
    }

    /// The URI of a file of the package, be it a module or not.
    pub(crate) fn file_uri(&self, path: &str) -> Option<lsp::Uri> {
        Some(uri::of_file(&self.snapshot.root.folder()?.join(path)).into())
    }
}
