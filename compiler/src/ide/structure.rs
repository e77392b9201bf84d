//! What an editor asks about the shape of a module: outline, colours, folds, selections, links, layout, and imports that
//! follow a file that moves.
//!
//! Answers come from the lossless tree, so a file with errors loses nothing but the lines that nobody understands. Offsets
//! are bytes in the module's text.

mod colours;
mod folds;
mod layout;
mod links;
mod meaning;
mod moves;
mod node;
mod selections;
mod symbols;

pub use colours::{Modifiers, Token, TokenKind, tokens};
pub use folds::{Fold, FoldKind, folds};
pub use layout::{format_document, format_on_type, format_range};
pub use links::{LinkTo, links};
pub use moves::rename_files;
pub use selections::selections;
pub use symbols::{Symbol, SymbolKind, symbols, workspace_symbols};

use std::sync::Arc;

use crate::analysis::Analysis;
use crate::syntax::Tree;

/// The tree of a module, where there is one.
fn tree(analysis: &Analysis, path: &str) -> Option<Arc<Tree>> {
    analysis.syntax(path).cloned()
}
