//! The texts of all modules of one compilation, and where in them a [`Location`] is.
//!
//! The only place that knows absolute offsets, lines and columns.

use std::ops::Range;
use std::sync::Arc;

use crate::span::{Location, ModuleId, Span};

/// The modules of one compilation, by [`ModuleId`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    modules: Vec<Source>,
}

/// One module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Relative to the package; `std/apt.imgc` for the standard library.
    pub path: Arc<str>,
    /// As it was read.
    pub text: Arc<str>,
    /// The offset of each item.
    starts: Arc<[u32]>,
    /// The offset of each line.
    lines: Arc<[u32]>,
    /// Of the last items, which the text has lost: how they were written, unless that still stands where they begin.
    lost: Arc<[Option<Arc<str>>]>,
}

/// A place as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of the module, as in [`Source::path`].
    pub path: Arc<str>,
    /// The module's whole text.
    pub text: Arc<str>,
    /// Byte offset in the text.
    pub start: usize,
    /// Byte offset after the last byte; in the text, and not before `start`.
    pub end: usize,
    /// Of `start`, from 1.
    pub line: u32,
    /// Of `start`, from 1, in characters.
    pub column: u32,
}

impl Source {
    /// A module whose items begin at `starts`.
    pub fn new(path: Arc<str>, text: Arc<str>, starts: &[u32]) -> Self {
        Self::with_lost(path, text, starts, Vec::new())
    }

    /// A module whose last items are not understood any more.
    pub(crate) fn with_lost(path: Arc<str>, text: Arc<str>, starts: &[u32], lost: Vec<Option<Arc<str>>>) -> Self {
        let breaks = text.bytes().zip(1_u32..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next);
        let lines = std::iter::once(0).chain(breaks).collect();
        Self { path, text, starts: starts.into(), lines, lost: lost.into() }
    }

    /// How an item was written that is not in the text any more.
    fn lost(&self, item: u32) -> Option<&Arc<str>> {
        let first = self.starts.len().checked_sub(self.lost.len())?;
        self.lost.get((item as usize).checked_sub(first)?)?.as_ref()
    }

    /// The bytes of a location.
    pub(crate) fn slice(&self, at: &Location) -> Option<&str> {
        if let Some(text) = self.lost(at.item) {
            return text.get(at.span.start as usize..at.span.end as usize);
        }
        let item = *self.starts.get(at.item as usize)? as usize;
        self.text.get(item + at.span.start as usize..item + at.span.end as usize)
    }

    /// Where a location is, as far as it fits the text; what is not there any more is an empty range where it was.
    pub(crate) fn range(&self, at: &Location) -> Range<usize> {
        let item = self.starts.get(at.item as usize).map_or(0, |start| *start as usize);
        let span = if self.lost(at.item).is_some() { Span::default() } else { at.span };
        let start = floor_char(&self.text, item + span.start as usize);
        start..floor_char(&self.text, item + span.end as usize).max(start)
    }
}

impl Sources {
    /// One module alone, which is [`ModuleId`] 0.
    pub fn of(source: Source) -> Self {
        Self { modules: vec![source] }
    }

    /// Adds a module and names it.
    pub(crate) fn add(&mut self, source: Source) -> ModuleId {
        self.modules.push(source);
        ModuleId(u32::try_from(self.modules.len() - 1).unwrap_or(u32::MAX))
    }

    /// Puts another text in the place of a module's.
    pub(crate) fn replace(&mut self, id: ModuleId, source: Source) {
        if let Some(place) = self.modules.get_mut(id.0 as usize) {
            *place = source;
        }
    }

    /// Every module, in the order in which they were met; the applied module first.
    pub fn modules(&self) -> &[Source] {
        &self.modules
    }

    /// Where a location is. One that fits nothing, as for a module that could not be read, is the start of its file.
    pub fn place(&self, at: &Location) -> Place {
        let Some(source) = self.modules.get(at.module.0 as usize) else {
            let nowhere: Arc<str> = Arc::from("");
            return Place { path: nowhere.clone(), text: nowhere, start: 0, end: 0, line: 1, column: 1 };
        };
        let Range { start, end } = source.range(at);
        let line = source.lines.partition_point(|begin| *begin as usize <= start);
        let begin = source.lines.get(line.saturating_sub(1)).map_or(0, |begin| *begin as usize);
        let column = source.text.get(begin..start).map_or(0, |before| before.chars().count());
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            path: source.path.clone(),
            text: source.text.clone(),
            start,
            end,
            line: number(line),
            column: number(column + 1),
        }
    }
}

/// The last character boundary at or before `at`.
fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
