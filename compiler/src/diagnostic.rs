//! Diagnostics: what the compiler tells people, as plain data.
//!
//! One constructor a code, in the module of the stage that finds it (`diagnostic/syntax.rs`, …): call sites pass what
//! they have, wording lives in one place. They become miette reports, LSP and JSON elsewhere.

use crate::span::Location;

pub(crate) mod evaluate;
pub(crate) mod lints;
pub(crate) mod names;
pub(crate) mod platform;
pub(crate) mod secrets;
pub(crate) mod syntax;
pub(crate) mod types;

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, but look at it.
    Warning,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// `IMG` and four digits; never reused.
    pub code: &'static str,
    /// How grave.
    pub severity: Severity,
    /// One sentence, lower case, no full stop, understandable alone.
    pub message: String,
    /// The smallest span that shows the fault, and why here.
    pub primary: Label,
    /// Where the expectation comes from; three at most.
    pub secondary: Vec<Label>,
    /// Further facts.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// Edits that mend it.
    pub fixes: Vec<Fix>,
    /// How an editor may show it.
    pub tags: Vec<Tag>,
    /// Where the compiler says it.
    pub raised: Raised,
}

/// The place in the compiler that says a diagnostic: by it tests know that each way to cause a code has a case. What is
/// said is the same from wherever it is, so all places are equal.
#[derive(Debug, Clone, Copy)]
pub struct Raised(pub &'static std::panic::Location<'static>);

impl PartialEq for Raised {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Raised {}

/// How an editor may show a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// What the primary label marks could be removed: faded.
    Unnecessary,
    /// What the primary label marks should not be used any more: struck through.
    Deprecated,
}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub at: Location,
    /// What; may be empty.
    pub text: String,
}

/// How sure a fix is, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Applicability {
    /// Means the same or is plainly what was meant: `check --fix` applies it.
    Safe,
    /// Probably.
    Maybe,
    /// Has a part to be filled in.
    Placeholder,
}

/// An edit that mends a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What it does: "write `5MiB`".
    pub title: String,
    /// How sure.
    pub applicability: Applicability,
    /// Each place and the text to put there; they do not overlap.
    pub edits: Vec<(Location, String)>,
}

impl Diagnostic {
    /// An error with its primary label.
    #[track_caller]
    pub fn error(code: &'static str, at: Location, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: Label { at, text: label.into() },
            secondary: Vec::new(),
            notes: Vec::new(),
            help: None,
            fixes: Vec::new(),
            tags: Vec::new(),
            raised: Raised(std::panic::Location::caller()),
        }
    }

    /// A warning with its primary label.
    #[track_caller]
    pub fn warning(code: &'static str, at: Location, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message, label) }
    }

    /// With a hint for editors.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    /// With a further place.
    #[must_use]
    pub fn label(mut self, at: Location, text: impl Into<String>) -> Self {
        self.secondary.push(Label { at, text: text.into() });
        self
    }

    /// With a further fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// With an edit that mends it.
    #[must_use]
    pub fn fix(
        mut self,
        title: impl Into<String>,
        applicability: Applicability,
        edits: Vec<(Location, String)>,
    ) -> Self {
        self.fixes.push(Fix { title: title.into(), applicability, edits });
        self
    }
}
