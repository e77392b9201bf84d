//! Code actions.

use std::ops::Range;

use crate::diagnostic::Diagnostic;

use super::Action;
use super::view::View;

/// The changes that could be made at a part of a module.
pub(super) fn actions(_: &View<'_>, _: &[Diagnostic], _: &str, _: &Range<usize>) -> Vec<Action> {
    Vec::new()
}
