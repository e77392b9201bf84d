//! The outline of a module, and items of all modules by name.

#![expect(clippy::wildcard_enum_match_arm, reason = "most kinds of nodes are not what is asked for")]

use std::ops::Range;

use super::node::{At, roots};
use super::tree;
use crate::analysis::Analysis;
use crate::ast::{Extern, ItemKind};
use crate::names;
use crate::span::Span;
use crate::syntax::Kind;

/// The most answers to a search in all modules: nobody reads more.
const MAX_FOUND: usize = 256;

/// The longest detail, in characters.
const MAX_DETAIL: usize = 60;

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named after the items and parts of the language")]
pub enum SymbolKind {
    Import,
    Param,
    Secret,
    Let,
    Function,
    Record,
    Enum,
    Recipe,
    Image,
    Test,
    Output,
    ExternStep,
    ExternSource,
    ExternArtifact,
    Field,
    Variant,
    Step,
    Use,
}

/// An entry of the outline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Never empty; a step's is its label, else its kind.
    pub name: String,
    /// What it is.
    pub kind: SymbolKind,
    /// A type, a signature or the kind of a step, on one line; may be empty.
    pub detail: String,
    /// All of it, documentation included.
    pub range: Range<usize>,
    /// Where the name stands; inside `range`.
    pub name_range: Range<usize>,
    /// In source order.
    pub children: Vec<Symbol>,
}

/// The outline of a module; items that nobody understands are left out.
pub fn symbols(analysis: &Analysis, path: &str) -> Vec<Symbol> {
    tree(analysis, path).map(|tree| roots(&tree).filter_map(item).collect()).unwrap_or_default()
}

/// The items of all modules of the package whose name has the letters of `query` in their order, the best first, each
/// with its module and without what is in it. An empty query finds all.
pub fn workspace_symbols(analysis: &Analysis, query: &str) -> Vec<(Symbol, String)> {
    let mut found = Vec::new();
    for path in analysis.paths().filter(|path| !analysis.is_std(path)) {
        let Some(module) = analysis.tree(path) else { continue };
        for (item, start) in module.items.iter().zip(&module.starts) {
            if let Some(name) = names::item_name(&item.kind)
                && let Some(kind) = ast_kind(&item.kind)
                && let Some(rank) = rank(&name.text, query)
            {
                let at = |span: Span| *start as usize + span.start as usize..*start as usize + span.end as usize;
                let range = *start as usize..at(item.span).end;
                let symbol = Symbol {
                    name: name.text.to_string(),
                    kind,
                    detail: String::new(),
                    range,
                    name_range: at(name.span),
                    children: Vec::new(),
                };
                found.push((rank, path.to_owned(), symbol));
            }
        }
    }
    found.sort_by(|a, b| (a.0, &a.1, a.2.range.start).cmp(&(b.0, &b.1, b.2.range.start)));
    found.truncate(MAX_FOUND);
    found.into_iter().map(|(_, path, symbol)| (symbol, path)).collect()
}

/// What an item is, where it has a name.
fn ast_kind(kind: &ItemKind) -> Option<SymbolKind> {
    Some(match kind {
        ItemKind::Param(_) => SymbolKind::Param,
        ItemKind::Secret { .. } => SymbolKind::Secret,
        ItemKind::Let(_) => SymbolKind::Let,
        ItemKind::Fn { .. } => SymbolKind::Function,
        ItemKind::Record { .. } => SymbolKind::Record,
        ItemKind::Enum { .. } => SymbolKind::Enum,
        ItemKind::Recipe { .. } => SymbolKind::Recipe,
        ItemKind::Image { .. } => SymbolKind::Image,
        ItemKind::Test { .. } => SymbolKind::Test,
        ItemKind::Output(_) => SymbolKind::Output,
        ItemKind::Extern(Extern::Step { .. }) => SymbolKind::ExternStep,
        ItemKind::Extern(Extern::Source { .. }) => SymbolKind::ExternSource,
        ItemKind::Extern(Extern::Artifact { .. }) => SymbolKind::ExternArtifact,
        ItemKind::Edition { .. } | ItemKind::Import(_) | ItemKind::Error => return None,
    })
}

/// How well a name fits: less is better, nothing where letters are missing.
fn rank(name: &str, query: &str) -> Option<(u8, usize)> {
    let (name, query) = (name.to_lowercase(), query.to_lowercase());
    let mut letters = name.chars();
    let all = query.chars().all(|wanted| letters.any(|letter| letter == wanted));
    let place = match name.find(&query) {
        _ if name == query => 0,
        Some(0) => 1,
        Some(_) => 2,
        None => 3,
    };
    all.then_some((place, name.len()))
}

fn item(root: At<'_>) -> Option<Symbol> {
    let inner = root.children().find(|child| symbol_kind(child.kind()).is_some())?;
    let kind = symbol_kind(inner.kind())?;
    let (name, name_range) = match kind {
        SymbolKind::Import => import_name(inner)?,
        _ => named(inner)?,
    };
    Some(Symbol { name, kind, detail: detail(inner), range: root.with_docs(), name_range, children: members(inner) })
}

fn symbol_kind(kind: Kind) -> Option<SymbolKind> {
    const KINDS: [(Kind, SymbolKind); 14] = [
        (Kind::Import, SymbolKind::Import),
        (Kind::Param, SymbolKind::Param),
        (Kind::Secret, SymbolKind::Secret),
        (Kind::LetItem, SymbolKind::Let),
        (Kind::Function, SymbolKind::Function),
        (Kind::Record, SymbolKind::Record),
        (Kind::Enumeration, SymbolKind::Enum),
        (Kind::Recipe, SymbolKind::Recipe),
        (Kind::Image, SymbolKind::Image),
        (Kind::Test, SymbolKind::Test),
        (Kind::Output, SymbolKind::Output),
        (Kind::ExternStep, SymbolKind::ExternStep),
        (Kind::ExternSource, SymbolKind::ExternSource),
        (Kind::ExternArtifact, SymbolKind::ExternArtifact),
    ];
    KINDS.iter().find(|(node, _)| *node == kind).map(|(_, kind)| *kind)
}

fn named(node: At<'_>) -> Option<(String, Range<usize>)> {
    let name = node.child(Kind::Name)?;
    Some((name.text().to_owned(), name.range()))
}

/// The alias, the path or the selected names' module.
fn import_name(import: At<'_>) -> Option<(String, Range<usize>)> {
    let name = import.child(Kind::Name).or_else(|| import.child(Kind::Path)).or_else(|| import.child(Kind::Text))?;
    let text = name.text().trim_matches('"');
    (!text.is_empty()).then(|| (text.to_owned(), name.range()))
}

/// What stands behind a name, on one line: a type, a signature, the source of an image.
fn detail(node: At<'_>) -> String {
    let texts = |kinds: &[Kind]| {
        let parts = node.children().filter(|child| kinds.contains(&child.kind())).map(At::text);
        parts.collect::<Vec<_>>().join(" ")
    };
    match node.kind() {
        Kind::Function | Kind::ExternSource | Kind::ExternArtifact => {
            let params = texts(&[Kind::Params]);
            let result = texts(&[Kind::Type]);
            one_line(&if result.is_empty() { params } else { format!("{params} -> {result}") })
        }
        Kind::Recipe | Kind::ExternStep => one_line(&texts(&[Kind::Params, Kind::OnClause])),
        Kind::Image => image_detail(node).map_or_else(|| one_line(&texts(&[Kind::Type])), |source| one_line(&source)),
        Kind::Test => one_line(&texts(&[Kind::Expr])),
        Kind::Import => String::new(),
        _ => one_line(&texts(&[Kind::Type])),
    }
}

/// What is called for an image's `from`.
fn image_detail(image: At<'_>) -> Option<String> {
    let fields = image.child(Kind::Block)?.children().filter(|child| child.kind() == Kind::Field);
    let from = fields.into_iter().find(|field| field.child(Kind::Name).is_some_and(|name| name.text() == "from"))?;
    let expr = from.child(Kind::Expr)?;
    let called = expr.children().take_while(|part| matches!(part.kind(), Kind::Reference | Kind::MemberAccess));
    let text: String = called.map(At::text).collect();
    (!text.is_empty()).then_some(text)
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= MAX_DETAIL {
        return line;
    }
    line.chars().take(MAX_DETAIL - 1).chain(['…']).collect()
}

/// What is listed below an item or a statement.
fn members(node: At<'_>) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    for child in node.children() {
        collect(child, &mut symbols);
    }
    symbols
}

fn collect(node: At<'_>, symbols: &mut Vec<Symbol>) {
    let symbol = match node.kind() {
        Kind::Member => part(node, SymbolKind::Field),
        Kind::Variant => part(node, SymbolKind::Variant),
        Kind::LetStatement => part(node, SymbolKind::Let),
        Kind::Step => step(node),
        Kind::Use => node.child(Kind::Path).map(|path| leaf(node, SymbolKind::Use, path.text(), path.range())),
        // What is chosen or repeated belongs to the body around it.
        Kind::Members
        | Kind::Variants
        | Kind::Block
        | Kind::IfStatement
        | Kind::ForStatement
        | Kind::MatchStatement
        | Kind::BlockArms
        | Kind::BlockArm => {
            for child in node.children() {
                stacker::maybe_grow(64 << 10, 1 << 20, || collect(child, symbols));
            }
            None
        }
        _ => None,
    };
    symbols.extend(symbol);
}

fn part(node: At<'_>, kind: SymbolKind) -> Option<Symbol> {
    let (name, name_range) = named(node)?;
    let detail = if kind == SymbolKind::Variant { String::new() } else { detail(node) };
    Some(Symbol { name, kind, detail, range: node.range(), name_range, children: Vec::new() })
}

fn step(node: At<'_>) -> Option<Symbol> {
    let kind = node.child(Kind::Path)?;
    let label = node.child(Kind::Text);
    let written = label.map(|label| label.text().trim_matches('"')).filter(|label| !label.is_empty());
    let mut symbol = match (label, written) {
        (Some(label), Some(written)) => leaf(node, SymbolKind::Step, written, label.range()),
        _ => leaf(node, SymbolKind::Step, kind.text(), kind.range()),
    };
    kind.text().clone_into(&mut symbol.detail);
    Some(symbol)
}

fn leaf(node: At<'_>, kind: SymbolKind, name: &str, name_range: Range<usize>) -> Symbol {
    let detail = String::new();
    Symbol { name: name.to_owned(), kind, detail, range: node.range(), name_range, children: Vec::new() }
}
