//! What each word is, for colours: semantic tokens.
//!
//! Every word gets the colour that the module alone tells (its items, its imports, the prelude, what the body around
//! binds), and then that of its meaning, where the analysis knows it.

#![expect(clippy::wildcard_enum_match_arm, reason = "most kinds of nodes are not what is asked for")]

use std::collections::HashMap;
use std::ops::Range;

use super::meaning::{colour, refine};
use super::node::{At, Part, roots};
use super::tree;
use crate::analysis::Analysis;
use crate::names::{BUILTIN_FUNCTIONS, BUILTIN_TYPES};
use crate::syntax::{Kind, Tree, slice, tokens as split};
use crate::{names, stdlib};

/// What a token is; the names are those that the Language Server Protocol knows, where it knows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named after what they colour")]
pub enum TokenKind {
    Namespace,
    Type,
    Struct,
    Enum,
    EnumMember,
    /// An image.
    Class,
    /// A function or recipe, or what the runtime implements as one.
    Function,
    Method,
    /// The kind of a step.
    Macro,
    Parameter,
    Variable,
    Property,
    Keyword,
    Comment,
    String,
    /// `\n`, `\{` and `}` in a text.
    Escape,
    Number,
    Operator,
    Decorator,
}

impl TokenKind {
    /// All, in the order of a legend.
    pub const ALL: [Self; 19] = [
        Self::Namespace,
        Self::Type,
        Self::Struct,
        Self::Enum,
        Self::EnumMember,
        Self::Class,
        Self::Function,
        Self::Method,
        Self::Macro,
        Self::Parameter,
        Self::Variable,
        Self::Property,
        Self::Keyword,
        Self::Comment,
        Self::String,
        Self::Escape,
        Self::Number,
        Self::Operator,
        Self::Decorator,
    ];

    /// As editors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Type => "type",
            Self::Struct => "struct",
            Self::Enum => "enum",
            Self::EnumMember => "enumMember",
            Self::Class => "class",
            Self::Function => "function",
            Self::Method => "method",
            Self::Macro => "macro",
            Self::Parameter => "parameter",
            Self::Variable => "variable",
            Self::Property => "property",
            Self::Keyword => "keyword",
            Self::Comment => "comment",
            Self::String => "string",
            Self::Escape => "escapeSequence",
            Self::Number => "number",
            Self::Operator => "operator",
            Self::Decorator => "decorator",
        }
    }
}

/// What else is true of a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not, whatever the others are")]
pub struct Modifiers {
    /// It is where the name is bound.
    pub declaration: bool,
    /// It documents what stands below it.
    pub documentation: bool,
    /// The standard library has it.
    pub default_library: bool,
    /// `@deprecated` stands above it.
    pub deprecated: bool,
}

impl Modifiers {
    /// As editors call them, in the order of a legend; a set has bit 0 for the first.
    pub const NAMES: [&str; 4] = ["declaration", "documentation", "defaultLibrary", "deprecated"];

    /// As a set of bits in the order of [`Self::NAMES`].
    pub fn bits(self) -> u32 {
        let all = [self.declaration, self.documentation, self.default_library, self.deprecated];
        all.into_iter().zip(0_u32..).map(|(is, bit)| u32::from(is) << bit).sum()
    }
}

/// A coloured token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// In one line, never empty.
    pub range: Range<usize>,
    /// What it is.
    pub kind: TokenKind,
    /// What else is true of it.
    pub modifiers: Modifiers,
}

/// Every token of a module that has a colour, in order of place; they do not overlap.
pub fn tokens(analysis: &Analysis, path: &str) -> Vec<Token> {
    let Some(tree) = tree(analysis, path) else { return Vec::new() };
    let mut painter = Painter { text: &tree.text, items: items(&tree), locals: Vec::new(), tokens: Vec::new() };
    let mut end = 0;
    for root in roots(&tree) {
        painter.gap(end..root.start());
        painter.locals.clear();
        painter.node(root, None);
        end = root.end();
    }
    painter.gap(end..tree.text.len());
    let mut tokens = painter.tokens;
    tokens.sort_by_key(|token| (token.range.start, token.range.end));
    refine(analysis, path, &mut tokens);
    tokens
}

/// What the items of a module are called, and which of them are not to be used any more.
fn items(tree: &Tree) -> HashMap<&str, (TokenKind, Modifiers)> {
    let mut items = HashMap::new();
    for root in roots(tree) {
        let deprecated = root.children().any(|child| {
            child.kind() == Kind::Attribute && child.child(Kind::Name).is_some_and(|name| name.text() == "deprecated")
        });
        let modifiers = Modifiers { deprecated, ..Modifiers::default() };
        for inner in root.children() {
            if inner.kind() == Kind::Import {
                imports(inner, &mut items);
            } else if let Some(kind) = item_kind(inner.kind())
                && let Some(name) = inner.child(Kind::Name)
            {
                items.entry(name.text()).or_insert((kind, modifiers));
            }
        }
    }
    items
}

fn imports<'t>(import: At<'t>, items: &mut HashMap<&'t str, (TokenKind, Modifiers)>) {
    let default_library = import.child(Kind::Path).is_some();
    let modifiers = Modifiers { default_library, ..Modifiers::default() };
    if let Some(names) = import.child(Kind::ImportNames) {
        for name in names.children().filter(|child| child.kind() == Kind::Name) {
            let kind = if is_capital(name.text()) { TokenKind::Type } else { TokenKind::Function };
            items.insert(name.text(), (kind, modifiers));
        }
        return;
    }
    let bound = import.child(Kind::Name).map(At::text).or_else(|| {
        let written = import.child(Kind::Path).or_else(|| import.child(Kind::Text))?.text().trim_matches('"');
        written.trim_end_matches(".imgc").rsplit(['/', '.']).next()
    });
    items.extend(bound.map(|name| (name, (TokenKind::Namespace, modifiers))));
}

/// What the name of an item is.
fn item_kind(kind: Kind) -> Option<TokenKind> {
    const KINDS: [(Kind, TokenKind); 13] = [
        (Kind::Param, TokenKind::Parameter),
        (Kind::Secret, TokenKind::Variable),
        (Kind::LetItem, TokenKind::Variable),
        (Kind::Output, TokenKind::Variable),
        (Kind::Function, TokenKind::Function),
        (Kind::Recipe, TokenKind::Function),
        (Kind::Record, TokenKind::Struct),
        (Kind::Enumeration, TokenKind::Enum),
        (Kind::Image, TokenKind::Class),
        (Kind::Test, TokenKind::Class),
        (Kind::ExternStep, TokenKind::Macro),
        (Kind::ExternSource, TokenKind::Function),
        (Kind::ExternArtifact, TokenKind::Function),
    ];
    KINDS.iter().find(|(node, _)| *node == kind).map(|(_, kind)| *kind)
}

fn is_capital(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Walks a module and collects its tokens.
struct Painter<'t> {
    text: &'t str,
    items: HashMap<&'t str, (TokenKind, Modifiers)>,
    /// What the nodes around bind, the innermost last.
    locals: Vec<(&'t str, TokenKind)>,
    tokens: Vec<Token>,
}

impl<'t> Painter<'t> {
    fn push(&mut self, range: Range<usize>, kind: TokenKind, modifiers: Modifiers) {
        let mut start = range.start;
        for line in slice(self.text, range).split_inclusive('\n') {
            let length = line.trim_end_matches(['\n', '\r']).len();
            // Indentation needs no colour.
            let blank = line.len() - line.trim_start().len();
            if blank < length {
                let begin = if line.starts_with([' ', '\t']) && start != 0 { start + blank } else { start };
                self.tokens.push(Token { range: begin..start + length, kind, modifiers });
            }
            start += line.len();
        }
    }

    /// Comments outside of all items.
    fn gap(&mut self, range: Range<usize>) {
        for token in split(slice(self.text, range.clone()), 0) {
            let start = range.start + token.start as usize;
            self.mark(start..start + token.text.len(), token.text, None);
        }
    }

    /// A token between nodes.
    fn mark(&mut self, range: Range<usize>, text: &str, parent: Option<Kind>) {
        let plain = Modifiers::default();
        if text.starts_with("//") {
            let documentation = text.starts_with("///") && !text.starts_with("////");
            self.push(range, TokenKind::Comment, Modifiers { documentation, ..plain });
        } else if text.starts_with('"') {
            self.push(range, TokenKind::String, plain);
        } else if parent == Some(Kind::Hole) && matches!(text, "\\{" | "}") {
            self.push(range, TokenKind::Escape, plain);
        } else if parent == Some(Kind::Attribute) && text == "@" {
            self.push(range, TokenKind::Decorator, plain);
        } else if matches!(text, "=" | "=>" | "->" | "|" | "?" | "..." | "..") {
            self.push(range, TokenKind::Operator, plain);
        }
    }

    fn node(&mut self, node: At<'t>, parent: Option<At<'t>>) {
        let plain = Modifiers::default();
        let known = self.locals.len();
        match node.kind() {
            Kind::Keyword | Kind::Constant | Kind::Rest => self.push(node.range(), TokenKind::Keyword, plain),
            Kind::Name => self.name(node, parent),
            Kind::Reference => self.reference(node),
            Kind::Operator if node.text() == "in" => self.push(node.range(), TokenKind::Keyword, plain),
            Kind::Prefix | Kind::Operator => self.push(node.range(), TokenKind::Operator, plain),
            Kind::Number | Kind::Negative => self.push(node.range(), TokenKind::Number, plain),
            Kind::Platform | Kind::AnyType => self.push(node.range(), TokenKind::EnumMember, plain),
            Kind::Chunk | Kind::BlockChunk => self.push(node.range(), TokenKind::String, plain),
            Kind::Escape | Kind::BadEscape => self.push(node.range(), TokenKind::Escape, plain),
            Kind::Path => self.path(node, parent.map(At::kind)),
            Kind::Expr => self.expr(node),
            _ => {
                self.bind(node);
                stacker::maybe_grow(64 << 10, 1 << 20, || self.parts(node));
                let keeps = matches!(node.kind(), Kind::LetStatement | Kind::ForHead | Kind::Clause | Kind::Params);
                if !keeps {
                    self.locals.truncate(known);
                }
            }
        }
    }

    fn parts(&mut self, node: At<'t>) {
        for part in node.elements() {
            match part {
                Part::Node(inner) => self.node(inner, Some(node)),
                Part::Token { range, text } => self.mark(range, text, Some(node.kind())),
            }
        }
    }

    /// The names that a node binds for what comes after them.
    fn bind(&mut self, node: At<'t>) {
        let kind = match node.kind() {
            Kind::LetStatement | Kind::ForHead | Kind::Clause | Kind::Bindings => TokenKind::Variable,
            Kind::Lambda => TokenKind::Parameter,
            Kind::Params => {
                let names = node.children().filter_map(|member| member.child(Kind::Name));
                self.locals.extend(names.map(|name| (name.text(), TokenKind::Parameter)));
                return;
            }
            _ => return,
        };
        let names = node.children().filter(|child| child.kind() == Kind::Name);
        self.locals.extend(names.map(|name| (name.text(), kind)));
    }

    /// A name that is bound or set.
    fn name(&mut self, node: At<'t>, parent: Option<At<'t>>) {
        let Some(parent) = parent else { return };
        let declaration = Modifiers { declaration: true, ..Modifiers::default() };
        let deprecated = self.items.get(node.text()).is_some_and(|(_, modifiers)| modifiers.deprecated);
        let (kind, modifiers) = match parent.kind() {
            Kind::Attribute => (TokenKind::Decorator, Modifiers::default()),
            Kind::Import => (TokenKind::Namespace, declaration),
            Kind::ImportNames => self.items.get(node.text()).copied().unwrap_or((TokenKind::Variable, declaration)),
            Kind::Member if self.locals.iter().any(|(name, _)| *name == node.text()) => {
                (TokenKind::Parameter, declaration)
            }
            Kind::Member => (TokenKind::Property, declaration),
            Kind::Variant => (TokenKind::EnumMember, declaration),
            Kind::LetStatement | Kind::ForHead | Kind::Clause | Kind::Bindings => (TokenKind::Variable, declaration),
            Kind::Lambda => (TokenKind::Parameter, declaration),
            Kind::Named | Kind::NamedEqual => (TokenKind::Parameter, Modifiers::default()),
            Kind::Field | Kind::FieldColon => (TokenKind::Property, Modifiers::default()),
            other => (item_kind(other).unwrap_or(TokenKind::Property), Modifiers { deprecated, ..declaration }),
        };
        self.push(node.range(), kind, modifiers);
    }

    fn reference(&mut self, node: At<'t>) {
        let (kind, modifiers) = self.meaning(node.text());
        self.push(node.range(), kind, modifiers);
    }

    /// What a bare name is.
    fn meaning(&self, name: &str) -> (TokenKind, Modifiers) {
        let library = Modifiers { default_library: true, ..Modifiers::default() };
        if let Some((_, kind)) = self.locals.iter().rev().find(|(local, _)| *local == name) {
            return (*kind, Modifiers::default());
        }
        if let Some(known) = self.items.get(name) {
            return *known;
        }
        if BUILTIN_FUNCTIONS.contains(&name) {
            return (TokenKind::Function, library);
        }
        if BUILTIN_TYPES.contains(&name) {
            return (TokenKind::Type, library);
        }
        if name == "platform" {
            return (TokenKind::Variable, library);
        }
        if let Some(kind) = prelude_item(name) {
            return (kind, library);
        }
        if stdlib::modules().any(|module| module.name == name) && !stdlib::is_by_import(name) {
            return (TokenKind::Namespace, library);
        }
        // A bare variant is found through the type that its place asks for.
        let kind = if is_capital(name) { TokenKind::Type } else { TokenKind::EnumMember };
        (kind, Modifiers::default())
    }

    /// Names with dots between: of a step kind, a recipe, a type, a variant, a module.
    fn path(&mut self, path: At<'t>, parent: Option<Kind>) {
        let names: Vec<At<'t>> = path.children().filter(|child| child.kind() == Kind::Name).collect();
        for (name, position) in names.iter().zip(1..) {
            let known = self.meaning(name.text());
            let (kind, modifiers) = match parent {
                _ if position < names.len() => match known.0 {
                    TokenKind::EnumMember => (TokenKind::Namespace, Modifiers::default()),
                    _ => known,
                },
                Some(Kind::Step) => (TokenKind::Macro, known.1),
                Some(Kind::Use) => (TokenKind::Function, Modifiers { default_library: false, ..known.1 }),
                Some(Kind::Import) => (TokenKind::Namespace, known.1),
                Some(Kind::VariantPattern) => (TokenKind::EnumMember, Modifiers::default()),
                Some(Kind::TypeNamed) if position == 1 && !matches!(known.0, TokenKind::EnumMember) => known,
                _ => (TokenKind::Type, Modifiers::default()),
            };
            self.push(name.range(), kind, modifiers);
        }
    }

    /// A list of operands and operators: whether a member is called is seen from what follows it.
    fn expr(&mut self, expr: At<'t>) {
        let known = self.locals.len();
        let nodes: Vec<At<'t>> = expr.children().collect();
        let mut after_module = false;
        for (node, position) in nodes.iter().zip(1..) {
            let is_called = nodes.get(position).is_some_and(|next| next.kind() == Kind::Call);
            match node.kind() {
                Kind::MemberAccess => {
                    let kind = match (is_called, after_module) {
                        (true, true) => TokenKind::Function,
                        (true, false) => TokenKind::Method,
                        (false, _) => TokenKind::Property,
                    };
                    if let Some(name) = node.child(Kind::Name) {
                        let modifiers = Modifiers { default_library: after_module, ..Modifiers::default() };
                        self.push(name.range(), kind, modifiers);
                    }
                    after_module = false;
                }
                Kind::Reference => {
                    after_module = self.meaning(node.text()).0 == TokenKind::Namespace;
                    self.node(*node, Some(expr));
                }
                _ => {
                    after_module = false;
                    self.node(*node, Some(expr));
                }
            }
        }
        for part in expr.elements() {
            if let Part::Token { range, text } = part {
                self.mark(range, text, Some(Kind::Expr));
            }
        }
        self.locals.truncate(known);
    }
}

/// What an item of the prelude is.
fn prelude_item(name: &str) -> Option<TokenKind> {
    let prelude = stdlib::modules().find(|module| module.name == stdlib::PRELUDE)?;
    let item = prelude
        .tree
        .items
        .iter()
        .find(|item| names::item_name(&item.kind).is_some_and(|found| &*found.text == name))?;
    Some(colour(&item.kind))
}
