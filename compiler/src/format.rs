//! The formatter: one style, no options. Comments stay; items that were not understood stay as they were.

use crate::parse::Parsed;

/// The text of a module as it should be written.
pub fn format(parsed: &Parsed) -> String {
    parsed.tree.text.to_string()
}
