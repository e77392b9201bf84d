//! Positions: relative to their item, so that an edit elsewhere in the file changes nothing that was derived from it.

/// A byte range relative to the first byte of its item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Of the first byte.
    pub start: u32,
    /// After the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of this one to the end of the other.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The empty range at the end of this one: where something is missing.
    #[must_use]
    pub fn after(self) -> Self {
        Self { start: self.end, end: self.end }
    }
}

/// A module of one compilation, by the order in which modules were met; the applied module is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);

/// A place in the source text. It becomes line and column only where it is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The module.
    pub module: ModuleId,
    /// The position of the item in [`crate::ast::Module::items`].
    pub item: u32,
    /// Relative to the item.
    pub span: Span,
}

impl Location {
    /// Another range of the same item.
    #[must_use]
    pub fn with(self, span: Span) -> Self {
        Self { span, ..self }
    }
}
