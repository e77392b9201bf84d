//! The lossless syntax tree: every byte of a module, comments and blanks included, with nodes for what is missing or
//! not understood. Knows nothing of meaning; the formatter and the editor read it, the compiler reads [`crate::ast`].
//!
//! A tree is a list of pieces, one a top-level item, each a flat list of nodes in preorder with offsets relative to
//! the piece. What lies between nodes (punctuation, blanks, comments) is not stored: [`tokens`] splits it when asked.

use std::ops::Range;
use std::sync::Arc;

/// What a node is. Named after the rules of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named after the rules of the grammar")]
pub enum Kind {
    Item,
    Keyword,
    Name,
    Attribute,
    Edition,
    Import,
    ImportNames,
    Param,
    Secret,
    LetItem,
    Output,
    Function,
    Record,
    Enumeration,
    Recipe,
    Image,
    Test,
    ExternStep,
    ExternSource,
    ExternArtifact,
    Revision,
    OnClause,
    Member,
    Members,
    Params,
    Variant,
    Variants,
    Block,
    Field,
    FieldColon,
    Step,
    Fields,
    Use,
    LetStatement,
    IfStatement,
    ForStatement,
    ForHead,
    MatchStatement,
    BlockArms,
    BlockArm,
    Expr,
    Reference,
    Prefix,
    Operator,
    MemberAccess,
    Call,
    Index,
    Group,
    Argument,
    Named,
    NamedEqual,
    Lambda,
    List,
    ListFor,
    Clause,
    Condition,
    Spread,
    NamedRecord,
    Brace,
    MapFor,
    MapEntry,
    IfExpr,
    MatchExpr,
    ExprArms,
    ExprArm,
    Constant,
    Number,
    Platform,
    Pattern,
    Rest,
    Negative,
    VariantPattern,
    Bindings,
    Type,
    TypeOne,
    TypeGroup,
    TypeNamed,
    TypeArgs,
    AnyType,
    Path,
    Text,
    Chunk,
    Escape,
    BadEscape,
    BlockChunk,
    Hole,
    MissName,
    MissExpr,
    MissType,
    MissNote,
    MissValue,
    MissClose,
    MissBlock,
    MissWord,
    MissComma,
    MissArrow,
    MissText,
    MissItem,
    MissArgs,
    BadItem,
    BadLine,
    BadEntry,
    BadGroup,
}

impl Kind {
    /// Whether it stands where something is missing, or holds what nobody understands.
    pub fn is_error(self) -> bool {
        self.is_missing() || self.is_bad()
    }

    /// Whether it stands where something is missing; such a node is empty.
    pub fn is_missing(self) -> bool {
        matches!(
            self,
            Self::MissName
                | Self::MissExpr
                | Self::MissType
                | Self::MissNote
                | Self::MissValue
                | Self::MissClose
                | Self::MissBlock
                | Self::MissWord
                | Self::MissComma
                | Self::MissArrow
                | Self::MissText
                | Self::MissItem
                | Self::MissArgs
        )
    }

    /// Whether it holds what nobody understands.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::BadItem | Self::BadLine | Self::BadEntry | Self::BadGroup | Self::BadEscape)
    }

    /// Whether it is understood, but stands with a wrong sign: `a: 1` for `a = 1`.
    pub fn is_wrong(self) -> bool {
        matches!(self, Self::FieldColon | Self::NamedEqual | Self::NamedRecord)
    }

    /// Whether it is one token: all its text, with no node, blank or comment in it.
    pub fn is_token(self) -> bool {
        matches!(
            self,
            Self::Keyword
                | Self::Name
                | Self::Reference
                | Self::Prefix
                | Self::Operator
                | Self::Constant
                | Self::Number
                | Self::Platform
                | Self::Rest
                | Self::Negative
                | Self::AnyType
                | Self::Chunk
                | Self::Escape
                | Self::BadEscape
                | Self::BlockChunk
        )
    }
}

/// A node in its piece: offsets are relative to the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Of its first byte: never a blank or a comment.
    pub start: u32,
    /// After its last token.
    pub end: u32,
    /// The number of nodes in it, itself included.
    pub size: u32,
}

/// A top-level item, or a line at the top that nobody understands. Equal pieces have equal nodes wherever they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In preorder; the first is the root, [`Kind::Item`] or [`Kind::BadItem`].
    pub nodes: Vec<Node>,
    /// Whether a node in it is an error or wrong.
    pub broken: bool,
}

/// A lossless tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The whole text.
    pub text: Arc<str>,
    /// In source order.
    pub pieces: Vec<Arc<Piece>>,
    /// The byte offset of each piece: of its documentation comment if it has one, else of its first token.
    pub starts: Vec<u32>,
}

/// A place in a tree.
#[derive(Debug, Clone, Copy)]
pub struct NodeRef<'t> {
    /// The text of the module from the start of the piece on.
    text: &'t str,
    /// The node and what is in it.
    nodes: &'t [Node],
    /// The node.
    node: Node,
}

/// A node or a token between nodes.
#[derive(Debug, Clone, Copy)]
pub enum Element<'t> {
    /// A node.
    Node(NodeRef<'t>),
    /// A token.
    Token(Token<'t>),
}

/// What stands between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Blanks and line ends.
    Blank,
    /// `// …` and `/// …`, without the line end.
    Comment,
    /// Anything else.
    Mark,
}

/// A token between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'t> {
    /// What it is.
    pub kind: TokenKind,
    /// Its text; never empty.
    pub text: &'t str,
    /// Where it begins, relative to the piece (or to the text that was split).
    pub start: u32,
}

impl Tree {
    /// The root of each piece.
    pub fn roots(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.pieces.iter().zip(&self.starts).filter_map(|(piece, start)| {
            let text = self.text.get(*start as usize..)?;
            Some(NodeRef { text, nodes: &piece.nodes, node: *piece.nodes.first()? })
        })
    }

    /// Every token of the text in order: the text round trip is their concatenation.
    pub fn leaves(&self) -> Vec<&str> {
        let mut leaves = Vec::new();
        let mut end = 0;
        for (piece, base) in self.pieces.iter().zip(&self.starts) {
            let base = *base as usize;
            for node in &piece.nodes {
                let start = base + node.start as usize;
                leaves.extend(tokens(slice(&self.text, end..start), 0).map(|token| token.text));
                end = end.max(start);
                if node.kind.is_token() {
                    end = base + node.end as usize;
                    leaves.push(slice(&self.text, start..end));
                }
            }
            let last = base + piece.nodes.first().map_or(0, |root| root.end) as usize;
            leaves.extend(tokens(slice(&self.text, end..last), 0).map(|token| token.text));
            end = end.max(last);
        }
        leaves.extend(tokens(slice(&self.text, end..self.text.len()), 0).map(|token| token.text));
        leaves
    }

    /// Whether a node of the tree is an error.
    pub fn broken(&self) -> bool {
        self.pieces.iter().any(|piece| piece.broken)
    }
}

impl<'t> NodeRef<'t> {
    /// What it is.
    pub fn kind(self) -> Kind {
        self.node.kind
    }

    /// Its first byte, relative to the piece.
    pub fn start(self) -> u32 {
        self.node.start
    }

    /// After its last byte, relative to the piece.
    pub fn end(self) -> u32 {
        self.node.end
    }

    /// Its text, without blanks or comments around it.
    pub fn text(self) -> &'t str {
        slice(self.text, self.node.start as usize..self.node.end as usize)
    }

    /// The text between two offsets relative to the piece.
    pub fn slice(self, range: Range<u32>) -> &'t str {
        slice(self.text, range.start as usize..range.end as usize)
    }

    /// The nodes directly in it.
    pub fn children(self) -> Children<'t> {
        Children { text: self.text, rest: self.nodes.get(1..).unwrap_or_default() }
    }

    /// The first node of a kind directly in it.
    pub fn child(self, kind: Kind) -> Option<NodeRef<'t>> {
        self.children().find(|child| child.kind() == kind)
    }

    /// Whether it or a node in it is an error.
    pub fn broken(self) -> bool {
        self.nodes.iter().any(|node| node.kind.is_error() || node.kind.is_wrong())
    }

    /// The nodes directly in it and the tokens between them.
    pub fn elements(self) -> Vec<Element<'t>> {
        let mut elements = Vec::new();
        let mut end = self.node.start;
        for child in self.children() {
            elements.extend(tokens(self.slice(end..child.start()), end).map(Element::Token));
            end = child.end();
            elements.push(Element::Node(child));
        }
        elements.extend(tokens(self.slice(end..self.node.end), end).map(Element::Token));
        elements
    }
}

/// The nodes directly in a node.
#[derive(Debug, Clone)]
pub struct Children<'t> {
    text: &'t str,
    rest: &'t [Node],
}

impl<'t> Iterator for Children<'t> {
    type Item = NodeRef<'t>;

    fn next(&mut self) -> Option<NodeRef<'t>> {
        let node = *self.rest.first()?;
        let (nodes, rest) = self.rest.split_at_checked(node.size as usize)?;
        self.rest = rest;
        Some(NodeRef { text: self.text, nodes, node })
    }
}

/// Splits a text that holds no string literal into blanks, comments and marks. `start` is added to every offset.
pub fn tokens(text: &str, start: u32) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    let mut start = start;
    std::iter::from_fn(move || {
        let (kind, length) = first_token(rest)?;
        let (text, tail) = rest.split_at_checked(length)?;
        let token = Token { kind, text, start };
        rest = tail;
        start += u32::try_from(length).unwrap_or(u32::MAX);
        Some(token)
    })
}

/// The kind and length of the token that a text begins with.
fn first_token(text: &str) -> Option<(TokenKind, usize)> {
    const MARKS: [&str; 5] = ["\"\"\"", "...", "=>", "->", "\\{"];
    let first = text.chars().next()?;
    if is_blank(first) {
        return Some((TokenKind::Blank, text.find(|c| !is_blank(c)).unwrap_or(text.len())));
    }
    if text.starts_with("//") {
        return Some((TokenKind::Comment, text.find('\n').unwrap_or(text.len())));
    }
    if is_word(first) {
        return Some((TokenKind::Mark, text.find(|c| !is_word(c)).unwrap_or(text.len())));
    }
    let known = MARKS.iter().find(|mark| text.starts_with(**mark)).map(|mark| mark.len());
    Some((TokenKind::Mark, known.unwrap_or(first.len_utf8())))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

/// A slice that is empty rather than out of range.
pub(crate) fn slice(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}
