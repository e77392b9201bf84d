//! What the names of a module mean to the analysis, for their colours.

use std::collections::HashMap;

use super::colours::{Modifiers, Token, TokenKind};
use crate::analysis::Analysis;
use crate::ast::{Extern, ItemKind};
use crate::check::Target;
use crate::types::ItemId;

/// Gives each token whose name was understood the colour of what it means. Where an item was not checked, or a name was
/// not found, the colour that the module alone tells stays.
pub(super) fn refine(analysis: &Analysis, path: &str, tokens: &mut [Token]) {
    let Some(module) = analysis.module_id(path) else { return };
    let starts = analysis.tree(path).map(|tree| tree.starts.as_slice()).unwrap_or_default();
    let mut known = HashMap::new();
    for (start, item) in starts.iter().zip(0..) {
        let Some(index) = analysis.index(ItemId { module, item }) else { continue };
        let base = *start as usize;
        let uses =
            index.uses.iter().map(|(span, target)| ((base + span.start as usize, base + span.end as usize), target));
        known.extend(uses);
    }
    for token in tokens.iter_mut().filter(|token| is_name(token.kind) && !token.modifiers.declaration) {
        let found = known.get(&(token.range.start, token.range.end)).and_then(|target| meaning(analysis, target));
        if let Some((kind, modifiers)) = found {
            (token.kind, token.modifiers) = (kind, modifiers);
        }
    }
}

/// Whether it is the colour of a name.
fn is_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Namespace
        | TokenKind::Type
        | TokenKind::Struct
        | TokenKind::Enum
        | TokenKind::EnumMember
        | TokenKind::Class
        | TokenKind::Function
        | TokenKind::Method
        | TokenKind::Macro
        | TokenKind::Parameter
        | TokenKind::Variable
        | TokenKind::Property => true,
        TokenKind::Keyword
        | TokenKind::Comment
        | TokenKind::String
        | TokenKind::Escape
        | TokenKind::Number
        | TokenKind::Operator
        | TokenKind::Decorator => false,
    }
}

/// Nothing where the tree knows as much: of locals and members.
fn meaning(analysis: &Analysis, target: &Target) -> Option<(TokenKind, Modifiers)> {
    let library = Modifiers { default_library: true, ..Modifiers::default() };
    Some(match target {
        Target::Item(id) => item(analysis, *id)?,
        Target::Module(id) => {
            let default_library = analysis.modules().all.get(id.0 as usize)?.is_std;
            (TokenKind::Namespace, Modifiers { default_library, ..Modifiers::default() })
        }
        Target::Variant { of, .. } => (TokenKind::EnumMember, item(analysis, *of)?.1),
        Target::Function(_) => (TokenKind::Function, library),
        Target::BuiltInType(_) => (TokenKind::Type, library),
        Target::Platform => (TokenKind::Variable, library),
        Target::Local(_) | Target::Member { .. } | Target::Loose(_) | Target::BuiltInMember(_) => return None,
    })
}

/// The colour of an item.
pub(super) fn item(analysis: &Analysis, id: ItemId) -> Option<(TokenKind, Modifiers)> {
    let module = analysis.modules().all.get(id.module.0 as usize)?;
    let item = module.tree.items.get(id.item as usize)?;
    let deprecated = item.attributes.iter().any(|attribute| &*attribute.name.text == "deprecated");
    let modifiers = Modifiers { default_library: module.is_std, deprecated, ..Modifiers::default() };
    Some((colour(&item.kind), modifiers))
}

/// The colour of the name of an item.
pub(super) fn colour(kind: &ItemKind) -> TokenKind {
    match kind {
        ItemKind::Param(_) => TokenKind::Parameter,
        ItemKind::Record { .. } => TokenKind::Struct,
        ItemKind::Enum { .. } => TokenKind::Enum,
        ItemKind::Image { .. } | ItemKind::Test { .. } => TokenKind::Class,
        ItemKind::Extern(Extern::Step { .. }) => TokenKind::Macro,
        ItemKind::Fn { .. } | ItemKind::Recipe { .. } | ItemKind::Extern(_) => TokenKind::Function,
        ItemKind::Secret { .. }
        | ItemKind::Let(_)
        | ItemKind::Output(_)
        | ItemKind::Edition { .. }
        | ItemKind::Import(_)
        | ItemKind::Error => TokenKind::Variable,
    }
}
