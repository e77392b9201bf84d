//! Text to lossless tree by pest. The one module that sees pest: its pairs become [`Node`]s here.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use pest::iterators::Pairs;
use pest::{Parser, Token};

use crate::syntax::{Kind, Node, Piece, TokenKind, Tree, slice, tokens};

/// The generated parser.
mod generated {
    /// Derived from the grammar file.
    #[derive(pest_derive::Parser)]
    #[grammar = "../grammar/imgc.pest"]
    pub(super) struct Grammar;
}

use generated::{Grammar, Rule};

/// Parser calls that a byte of input may cost. Measured: the worst of the growth tests needs less than half.
const CALLS_A_BYTE: usize = 400;

/// How deep nodes may lie in one another; brackets alone are stopped before.
const MAX_DEPTH: usize = 2048;

/// The tree of a text, or nothing where it is too deep or pest met one of its limits. `marked` is the text with the
/// marks that the grammar needs (see `recover`).
pub(super) fn tree(text: &str, marked: &str) -> Option<Tree> {
    raise_call_limit(text.len());
    let pairs = Grammar::parse(Rule::file, marked).ok()?;
    Converter::new(text).build(pairs)
}

/// pest's limit is one for the process, so it only ever grows: a short text must not cut off a long one that another
/// thread parses.
fn raise_call_limit(length: usize) {
    static LIMIT: Mutex<usize> = Mutex::new(0);
    let mut limit = LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = length.saturating_mul(CALLS_A_BYTE).saturating_add(100_000);
    if wanted > *limit {
        *limit = wanted;
        pest::set_call_limit(NonZeroUsize::new(wanted));
    }
}

/// Turns pest's events into pieces.
struct Converter<'t> {
    text: &'t str,
    /// After the last token that was met, in the whole text.
    end: usize,
    /// Where the piece begins in the whole text.
    base: usize,
    nodes: Vec<Node>,
    /// The open nodes, by position in `nodes`.
    open: Vec<usize>,
    broken: bool,
    pieces: Vec<Arc<Piece>>,
    starts: Vec<u32>,
}

impl<'t> Converter<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            end: 0,
            base: 0,
            nodes: Vec::new(),
            open: Vec::new(),
            broken: false,
            pieces: Vec::new(),
            starts: Vec::new(),
        }
    }

    fn build(mut self, pairs: Pairs<'_, Rule>) -> Option<Tree> {
        for token in pairs.tokens() {
            match token {
                Token::Start { rule, pos } => {
                    if let Some(kind) = kind(rule) {
                        self.start(kind, pos.pos());
                    }
                    if self.open.len() > MAX_DEPTH {
                        return None;
                    }
                }
                Token::End { rule, pos } => {
                    if let Some(kind) = kind(rule) {
                        self.finish(kind, pos.pos());
                    }
                }
            }
        }
        Some(Tree { text: Arc::from(self.text), pieces: self.pieces, starts: self.starts })
    }

    fn start(&mut self, kind: Kind, at: usize) {
        if self.open.is_empty() {
            self.base = docs_start(self.text, self.end, at);
        }
        self.pass(at);
        let start = self.relative(if kind.is_missing() { self.end } else { at });
        self.broken |= kind.is_error() || kind.is_wrong();
        self.open.push(self.nodes.len());
        self.nodes.push(Node { kind, start, end: start, size: 1 });
    }

    fn finish(&mut self, kind: Kind, at: usize) {
        if kind.is_token() || kind.is_bad() {
            self.end = at;
        }
        self.pass(at);
        let (end, count) = (self.relative(self.end), self.nodes.len());
        let Some(index) = self.open.pop() else { return };
        if let Some(node) = self.nodes.get_mut(index) {
            node.end = end.max(node.start);
            node.size = u32::try_from(count - index).unwrap_or(u32::MAX);
        }
        if self.open.is_empty() {
            let nodes = std::mem::take(&mut self.nodes);
            self.pieces.push(Arc::new(Piece { nodes, broken: std::mem::take(&mut self.broken) }));
            self.starts.push(u32::try_from(self.base).unwrap_or(u32::MAX));
        }
    }

    /// Moves behind the last token before `at`: rules that end in something optional take the blanks after them.
    fn pass(&mut self, at: usize) {
        if self.end >= at {
            return;
        }
        let gap = slice(self.text, self.end..at);
        let last = tokens(gap, 0).filter(|token| token.kind == TokenKind::Mark).last();
        if let Some(token) = last {
            self.end += token.start as usize + token.text.len();
        }
    }

    fn relative(&self, at: usize) -> u32 {
        u32::try_from(at.saturating_sub(self.base)).unwrap_or(u32::MAX)
    }
}

/// Where the `///` lines directly above `at` begin; `at` itself if there are none. Nothing but blanks and comments
/// stands between `from` and `at`.
pub(super) fn docs_start(text: &str, from: usize, at: usize) -> usize {
    let mut start = at;
    let mut offset = at;
    for line in slice(text, from..at).split_inclusive('\n').rev() {
        offset -= line.len();
        let trimmed = line.trim_start();
        if !line.ends_with('\n') && trimmed.is_empty() {
            continue;
        }
        // A comment behind a token of its line belongs to that token.
        let behind_token = offset == from && from > 0;
        if behind_token || !trimmed.starts_with("///") || trimmed.starts_with("////") {
            break;
        }
        start = offset + line.len() - trimmed.len();
    }
    start
}

/// The kind of node that a rule makes; nothing for rules that make none.
#[expect(clippy::too_many_lines, reason = "one flat match")]
fn kind(rule: Rule) -> Option<Kind> {
    Some(match rule {
        Rule::name | Rule::record_name => Kind::Name,
        Rule::kw_param
        | Rule::kw_image
        | Rule::kw_output
        | Rule::kw_recipe
        | Rule::kw_record
        | Rule::kw_secret
        | Rule::kw_test
        | Rule::kw_fn
        | Rule::kw_enum
        | Rule::kw_import
        | Rule::kw_edition
        | Rule::kw_extern
        | Rule::kw_pub
        | Rule::kw_let
        | Rule::kw_if
        | Rule::kw_then
        | Rule::kw_else
        | Rule::kw_for
        | Rule::kw_in
        | Rule::kw_match
        | Rule::kw_use
        | Rule::kw_where
        | Rule::kw_from
        | Rule::kw_on
        | Rule::kw_of
        | Rule::kw_as
        | Rule::kw_version
        | Rule::kw_reason
        | Rule::kw_revision
        | Rule::kw_machine
        | Rule::kw_step
        | Rule::kw_source
        | Rule::kw_artifact => Kind::Keyword,
        Rule::miss_name => Kind::MissName,
        Rule::miss_expr => Kind::MissExpr,
        Rule::miss_type => Kind::MissType,
        Rule::miss_note => Kind::MissNote,
        Rule::miss_value => Kind::MissValue,
        Rule::miss_close => Kind::MissClose,
        Rule::miss_block => Kind::MissBlock,
        Rule::miss_word => Kind::MissWord,
        Rule::miss_comma => Kind::MissComma,
        Rule::miss_arrow => Kind::MissArrow,
        Rule::miss_text => Kind::MissText,
        Rule::miss_item => Kind::MissItem,
        Rule::miss_args => Kind::MissArgs,
        Rule::item => Kind::Item,
        Rule::attribute => Kind::Attribute,
        Rule::edition => Kind::Edition,
        Rule::import => Kind::Import,
        Rule::import_names => Kind::ImportNames,
        Rule::param => Kind::Param,
        Rule::secret => Kind::Secret,
        Rule::let_item => Kind::LetItem,
        Rule::output => Kind::Output,
        Rule::function => Kind::Function,
        Rule::record => Kind::Record,
        Rule::enumeration => Kind::Enumeration,
        Rule::recipe => Kind::Recipe,
        Rule::image => Kind::Image,
        Rule::test => Kind::Test,
        Rule::extern_step => Kind::ExternStep,
        Rule::extern_source => Kind::ExternSource,
        Rule::extern_artifact => Kind::ExternArtifact,
        Rule::revision => Kind::Revision,
        Rule::on_clause => Kind::OnClause,
        Rule::member => Kind::Member,
        Rule::members => Kind::Members,
        Rule::params => Kind::Params,
        Rule::variant => Kind::Variant,
        Rule::variants => Kind::Variants,
        Rule::block | Rule::lost_block => Kind::Block,
        Rule::field => Kind::Field,
        Rule::field_colon => Kind::FieldColon,
        Rule::step => Kind::Step,
        Rule::fields | Rule::lost_fields => Kind::Fields,
        Rule::use_statement => Kind::Use,
        Rule::let_statement => Kind::LetStatement,
        Rule::if_statement => Kind::IfStatement,
        Rule::for_statement => Kind::ForStatement,
        Rule::for_head => Kind::ForHead,
        Rule::match_statement => Kind::MatchStatement,
        Rule::block_arms => Kind::BlockArms,
        Rule::block_arm => Kind::BlockArm,
        Rule::expr | Rule::head_expr | Rule::asked | Rule::head_asked => Kind::Expr,
        Rule::reference => Kind::Reference,
        Rule::prefix => Kind::Prefix,
        Rule::operator | Rule::one_equal => Kind::Operator,
        Rule::member_access => Kind::MemberAccess,
        Rule::call => Kind::Call,
        Rule::index => Kind::Index,
        Rule::group => Kind::Group,
        Rule::argument => Kind::Argument,
        Rule::named => Kind::Named,
        Rule::named_equal => Kind::NamedEqual,
        Rule::lambda => Kind::Lambda,
        Rule::list => Kind::List,
        Rule::list_for => Kind::ListFor,
        Rule::clause => Kind::Clause,
        Rule::condition => Kind::Condition,
        Rule::spread => Kind::Spread,
        Rule::named_record => Kind::NamedRecord,
        Rule::brace => Kind::Brace,
        Rule::map_for => Kind::MapFor,
        Rule::map_entry => Kind::MapEntry,
        Rule::if_expr | Rule::head_if => Kind::IfExpr,
        Rule::match_expr => Kind::MatchExpr,
        Rule::expr_arms => Kind::ExprArms,
        Rule::expr_arm => Kind::ExprArm,
        Rule::constant => Kind::Constant,
        Rule::number => Kind::Number,
        Rule::platform | Rule::pattern_platform => Kind::Platform,
        Rule::pattern => Kind::Pattern,
        Rule::rest => Kind::Rest,
        Rule::negative => Kind::Negative,
        Rule::variant_pattern => Kind::VariantPattern,
        Rule::bindings => Kind::Bindings,
        Rule::ty => Kind::Type,
        Rule::type_one => Kind::TypeOne,
        Rule::type_group => Kind::TypeGroup,
        Rule::type_named => Kind::TypeNamed,
        Rule::type_args => Kind::TypeArgs,
        Rule::any_type => Kind::AnyType,
        Rule::path => Kind::Path,
        Rule::text => Kind::Text,
        Rule::chunk | Rule::cut_chunk => Kind::Chunk,
        Rule::escape => Kind::Escape,
        Rule::bad_escape => Kind::BadEscape,
        Rule::block_chunk => Kind::BlockChunk,
        Rule::hole => Kind::Hole,
        Rule::bad_item => Kind::BadItem,
        Rule::bad_line => Kind::BadLine,
        Rule::bad_entry => Kind::BadEntry,
        Rule::bad_group => Kind::BadGroup,
        Rule::WHITESPACE
        | Rule::COMMENT
        | Rule::file
        | Rule::mark_item
        | Rule::mark_line
        | Rule::line_end
        | Rule::cut
        | Rule::quote
        | Rule::blank
        | Rule::alpha
        | Rule::word_char
        | Rule::word
        | Rule::reserved
        | Rule::item_word
        | Rule::item_start
        | Rule::top_start
        | Rule::item_kind
        | Rule::value
        | Rule::annotation
        | Rule::declared
        | Rule::assign
        | Rule::not_assign
        | Rule::closer
        | Rule::comma
        | Rule::statement
        | Rule::step_start
        | Rule::operand
        | Rule::head_operand
        | Rule::primary
        | Rule::head_primary
        | Rule::postfix
        | Rule::lambda_names
        | Rule::clauses
        | Rule::apart
        | Rule::unit
        | Rule::platform_rest
        | Rule::pattern_one
        | Rule::type_atom
        | Rule::line_text
        | Rule::hex
        | Rule::block_text
        | Rule::cut_text
        | Rule::cut_block_text
        | Rule::bad_path
        | Rule::bad_piece
        | Rule::bad_gap
        | Rule::own_expr
        | Rule::own_name
        | Rule::EOI => return None,
    })
}
