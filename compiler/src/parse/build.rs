//! Lossless tree to abstract tree: items and bodies.

#![expect(clippy::wildcard_enum_match_arm, reason = "a place holds a few of the many kinds of nodes")]

use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::Arc;

use crate::ast::{
    Arm, Attribute, Expr, ExprKind, Extern, FieldInit, ForHead, Import, ImportFrom, Item, ItemKind, Let, Name, Param,
    Path, Platform, Statement, StatementKind, TypeExpr, Variant,
};
use crate::diagnostic::{Diagnostic, syntax};
use crate::span::{Location, ModuleId, Span};
use crate::syntax::{Children, Kind, NodeRef};

use super::MAX_DEPTH;
use super::grammar::docs_start;
use super::literal::{Number, number};

/// The children of a node, taken one after the other.
pub(super) type Parts<'t> = Peekable<Children<'t>>;

/// Builds the items of one module.
pub(super) struct Builder<'t> {
    /// The place of diagnostics: its span is replaced.
    pub(super) place: Location,
    /// What was found wrong.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// How deep the expression that is built lies in others.
    pub(super) depth: usize,
    names: HashMap<&'t str, Arc<str>>,
}

/// Where a node stands.
pub(super) fn span(node: NodeRef<'_>) -> Span {
    Span { start: node.start(), end: node.end() }
}

/// The next child if it is of one of these kinds.
pub(super) fn take<'t>(parts: &mut Parts<'t>, kinds: &[Kind]) -> Option<NodeRef<'t>> {
    parts.next_if(|child| kinds.contains(&child.kind()))
}

impl<'t> Builder<'t> {
    pub(super) fn new(module: ModuleId) -> Self {
        let place = Location { module, item: 0, span: Span::default() };
        Self { place, diagnostics: Vec::new(), depth: 0, names: HashMap::new() }
    }

    pub(super) fn at(&self, span: Span) -> Location {
        self.place.with(span)
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// A piece of the tree as an item.
    pub(super) fn item(&mut self, root: NodeRef<'t>) -> Item {
        let docs = docs(root.slice(0..root.start()));
        let mut attributes = Vec::new();
        let mut public = None;
        let mut kind = ItemKind::Error;
        let mut start = None;
        for child in root.children() {
            if child.kind() == Kind::Attribute {
                attributes.push(self.attribute(child));
                continue;
            }
            start.get_or_insert(child.start());
            if child.kind() == Kind::Keyword {
                public = Some(span(child));
            } else {
                kind = self.item_kind(child);
            }
        }
        let span = Span { start: start.unwrap_or(root.start()), end: root.end() };
        Item { docs, attributes, public, kind, span }
    }

    fn attribute(&mut self, node: NodeRef<'t>) -> Attribute {
        let mut parts = node.children().peekable();
        let name = self.next_name(&mut parts, node);
        let args = take(&mut parts, &[Kind::Call]).map(|call| self.args(call)).unwrap_or_default();
        let args = args.into_iter().filter_map(|arg| match arg.value {
            crate::ast::ArgValue::Expr(value) => Some(value),
            crate::ast::ArgValue::Lambda { .. } => None,
        });
        let args = args.collect();
        let reason = node.child(Kind::Text).map(|text| self.template(text));
        Attribute { name, args, reason, span: span(node) }
    }

    fn item_kind(&mut self, node: NodeRef<'t>) -> ItemKind {
        let mut parts = node.children().peekable();
        take(&mut parts, &[Kind::Keyword]);
        match node.kind() {
            Kind::Edition => self.edition(parts),
            Kind::Import => ItemKind::Import(self.import(node)),
            Kind::Param => ItemKind::Param(self.declared(&mut parts, node, String::new())),
            Kind::Secret => self.secret(parts, node),
            Kind::LetItem => ItemKind::Let(self.binding(parts, node)),
            Kind::Output => ItemKind::Output(self.binding(parts, node)),
            Kind::Function => {
                let name = self.next_name(&mut parts, node);
                let params = self.params(&mut parts);
                let result = self.next_type(&mut parts);
                ItemKind::Fn { name, params, result, body: self.next_expr(&mut parts, node) }
            }
            Kind::Record => {
                ItemKind::Record { name: self.next_name(&mut parts, node), fields: self.members(&mut parts) }
            }
            Kind::Enumeration => {
                ItemKind::Enum { name: self.next_name(&mut parts, node), variants: self.variants(&mut parts) }
            }
            Kind::Recipe => {
                let name = self.next_name(&mut parts, node);
                let params = self.params(&mut parts);
                let on = self.on(&mut parts);
                ItemKind::Recipe { name, params, on, body: self.next_block(&mut parts) }
            }
            Kind::Image => {
                let name = self.next_name(&mut parts, node);
                let each = take(&mut parts, &[Kind::ForHead]).map(|head| self.for_head(head));
                let ty = self.next_type(&mut parts);
                ItemKind::Image { name, each, ty, body: self.next_block(&mut parts) }
            }
            Kind::Test => {
                let name = self.next_name(&mut parts, node);
                take(&mut parts, &[Kind::Keyword, Kind::MissWord]);
                let of = self.next_expr(&mut parts, node);
                ItemKind::Test { name, of, body: self.next_block(&mut parts) }
            }
            Kind::ExternStep | Kind::ExternSource | Kind::ExternArtifact => self.declaration(parts, node),
            _ => ItemKind::Error,
        }
    }

    fn edition(&mut self, mut parts: Parts<'t>) -> ItemKind {
        let Some(node) = parts.next() else { return ItemKind::Error };
        ItemKind::Edition { number: self.integer(node), span: span(node) }
    }

    /// A number that must be a plain integer.
    fn integer(&mut self, node: NodeRef<'t>) -> i64 {
        if let Ok(Number::Int(value)) = number(node.text()) {
            return value;
        }
        if node.kind() == Kind::Number {
            self.report(syntax::not_a_plain_number(self.at(span(node)), node.text()));
        }
        1
    }

    fn import(&mut self, node: NodeRef<'t>) -> Import {
        let mut import =
            Import { from: ImportFrom::Error(span(node).after()), args: Vec::new(), alias: None, names: None };
        for child in node.children() {
            match child.kind() {
                Kind::ImportNames => {
                    let names = child.children().filter(|child| child.kind() == Kind::Name);
                    import.names = Some(names.map(|name| self.name(name)).collect());
                }
                Kind::Path => import.from = ImportFrom::Std(self.path(child)),
                Kind::Text => import.from = ImportFrom::File(self.template(child)),
                Kind::MissText => import.from = ImportFrom::Error(span(child)),
                Kind::Call => import.args = self.args(child),
                Kind::Name => import.alias = Some(self.name(child)),
                _ => {}
            }
        }
        import
    }

    fn secret(&mut self, mut parts: Parts<'t>, node: NodeRef<'t>) -> ItemKind {
        let name = self.next_name(&mut parts, node);
        let ty = self.next_type(&mut parts);
        take(&mut parts, &[Kind::Keyword, Kind::MissWord]);
        let from = self.next_expr(&mut parts, node);
        let version = take(&mut parts, &[Kind::Keyword]).map(|_| self.next_expr(&mut parts, node));
        ItemKind::Secret { name, ty, from, version }
    }

    /// `name: T = value`, after the keyword.
    fn binding(&mut self, mut parts: Parts<'t>, node: NodeRef<'t>) -> Let {
        let name = self.next_name(&mut parts, node);
        let ty = self.next_type(&mut parts);
        Let { name, ty, value: self.next_expr(&mut parts, node) }
    }

    fn declaration(&mut self, mut parts: Parts<'t>, node: NodeRef<'t>) -> ItemKind {
        take(&mut parts, &[Kind::Keyword]);
        let name = self.next_name(&mut parts, node);
        let revision = take(&mut parts, &[Kind::Revision]).and_then(|revision| revision.children().nth(1));
        let revision = revision.map_or(1, |number| self.integer(number));
        if node.kind() == Kind::ExternStep {
            let on = self.on(&mut parts);
            return ItemKind::Extern(Extern::Step { name, revision, on, fields: self.members(&mut parts) });
        }
        let params = self.params(&mut parts);
        let result = self.next_type(&mut parts);
        ItemKind::Extern(if node.kind() == Kind::ExternSource {
            let machine = take(&mut parts, &[Kind::Keyword]).and_then(|_| self.next_type(&mut parts));
            Extern::Source { name, revision, params, result, machine }
        } else {
            Extern::Artifact { name, revision, params, result }
        })
    }

    /// `n: T = default where predicate`; params of items, members of records and parameters.
    fn declared(&mut self, parts: &mut Parts<'t>, node: NodeRef<'t>, docs: String) -> Param {
        let name = self.next_name(parts, node);
        let ty = self.next_type(parts);
        let default = take(parts, &[Kind::Expr, Kind::MissExpr]).map(|expr| self.expr(expr));
        let predicate = take(parts, &[Kind::Keyword]).map(|_| self.next_expr(parts, node));
        Param { docs, name, ty, default, predicate, span: span(node) }
    }

    /// The members of the list that comes next, if one comes.
    fn members(&mut self, parts: &mut Parts<'t>) -> Vec<Param> {
        let Some(list) = take(parts, &[Kind::Members, Kind::Params, Kind::MissBlock, Kind::MissArgs]) else {
            return Vec::new();
        };
        let mut members = Vec::new();
        let mut end = list.start();
        for child in list.children() {
            if child.kind() == Kind::Member {
                let docs = inner_docs(list.slice(end..child.start()));
                members.push(self.declared(&mut child.children().peekable(), child, docs));
            }
            end = child.end();
        }
        members
    }

    fn params(&mut self, parts: &mut Parts<'t>) -> Vec<Param> {
        self.members(parts)
    }

    fn variants(&mut self, parts: &mut Parts<'t>) -> Vec<Variant> {
        let Some(list) = take(parts, &[Kind::Variants]) else { return Vec::new() };
        let mut variants = Vec::new();
        let mut end = list.start();
        for child in list.children() {
            if child.kind() == Kind::Variant {
                let docs = inner_docs(list.slice(end..child.start()));
                let mut parts = child.children().peekable();
                let name = self.next_name(&mut parts, child);
                variants.push(Variant { docs, name, payload: self.members(&mut parts), span: span(child) });
            }
            end = child.end();
        }
        variants
    }

    fn on(&mut self, parts: &mut Parts<'t>) -> Vec<Platform> {
        let Some(clause) = take(parts, &[Kind::OnClause]) else { return Vec::new() };
        clause.children().filter(|child| child.kind() == Kind::Platform).map(|child| self.platform(child)).collect()
    }

    fn next_block(&mut self, parts: &mut Parts<'t>) -> Vec<Statement> {
        take(parts, &[Kind::Block, Kind::MissBlock]).map(|block| self.block(block)).unwrap_or_default()
    }

    fn block(&mut self, node: NodeRef<'t>) -> Vec<Statement> {
        let statements = node.children().filter(|child| child.kind() != Kind::MissClose);
        statements.map(|child| self.statement(child)).collect()
    }

    fn statement(&mut self, node: NodeRef<'t>) -> Statement {
        self.depth += 1;
        let kind = if self.depth > MAX_DEPTH {
            self.report(syntax::too_deep(self.at(span(node))));
            StatementKind::Error
        } else {
            self.statement_kind(node)
        };
        self.depth -= 1;
        Statement { kind, span: span(node) }
    }

    fn statement_kind(&mut self, node: NodeRef<'t>) -> StatementKind {
        let mut parts = node.children().peekable();
        match node.kind() {
            Kind::Field | Kind::FieldColon => StatementKind::Field(self.field(node)),
            Kind::Step => self.step(node),
            Kind::Use => {
                take(&mut parts, &[Kind::Keyword]);
                let recipe = match parts.next() {
                    Some(path) if path.kind() == Kind::Path => self.path(path),
                    missing => self.missing_path(missing.map_or(span(node).after(), span)),
                };
                let args = take(&mut parts, &[Kind::Call]).map(|call| self.args(call)).unwrap_or_default();
                StatementKind::Use { recipe, args }
            }
            Kind::LetStatement => {
                take(&mut parts, &[Kind::Keyword]);
                StatementKind::Let(self.binding(parts, node))
            }
            Kind::IfStatement => {
                take(&mut parts, &[Kind::Keyword]);
                let condition = self.next_expr(&mut parts, node);
                let then = self.next_block(&mut parts);
                take(&mut parts, &[Kind::Keyword]);
                let otherwise = match parts.next() {
                    Some(next) if next.kind() == Kind::IfStatement => vec![self.statement(next)],
                    Some(next) => self.block(next),
                    None => Vec::new(),
                };
                StatementKind::If { condition, then, otherwise }
            }
            Kind::ForStatement => match parts.next() {
                Some(head) => StatementKind::For { head: self.for_head(head), body: self.next_block(&mut parts) },
                None => StatementKind::Error,
            },
            Kind::MatchStatement => {
                take(&mut parts, &[Kind::Keyword]);
                let subject = self.next_expr(&mut parts, node);
                StatementKind::Match { subject, arms: self.block_arms(&mut parts) }
            }
            _ => StatementKind::Error,
        }
    }

    fn step(&mut self, node: NodeRef<'t>) -> StatementKind {
        let mut parts = node.children().peekable();
        let Some(path) = take(&mut parts, &[Kind::Path]) else { return StatementKind::Error };
        let kind = self.path(path);
        let label = take(&mut parts, &[Kind::Text]).map(|text| self.template(text));
        let body = parts.next();
        // It is told how a command is written; that nothing has its name follows from that.
        if body.is_some_and(|body| body.kind().is_missing()) && super::report::is_command(node) {
            return StatementKind::Error;
        }
        // Where the whole body is missing, nothing is said of what is not in it.
        let nothing = |span: Span| FieldInit {
            name: Name { text: Arc::from(""), span },
            value: Expr { kind: ExprKind::Error, span },
        };
        let lost = body.filter(|body| body.kind().is_missing()).map(|body| nothing(span(body)));
        let body = body.map(NodeRef::children).into_iter().flatten();
        let fields = body.filter(|child| matches!(child.kind(), Kind::Field | Kind::FieldColon));
        let mut fields: Vec<_> = fields.collect();
        // Lines of a `<<EOF` are no fields, and those behind it are not known.
        let is_cut = |field: &NodeRef<'_>| node.slice(field.end()..node.end()).trim_start().starts_with("<<");
        let cut = fields.iter().position(is_cut);
        fields.truncate(cut.map_or(fields.len(), |cut| cut + 1));
        let lost = lost.or_else(|| cut.map(|_| nothing(span(node))));
        let fields = fields.into_iter().map(|field| self.field(field)).chain(lost).collect();
        StatementKind::Step { kind, label, fields }
    }

    fn block_arms(&mut self, parts: &mut Parts<'t>) -> Vec<Arm<Vec<Statement>>> {
        let arms = parts.next().map(NodeRef::children).into_iter().flatten();
        arms.filter(|arm| arm.kind() == Kind::BlockArm)
            .filter_map(|arm| {
                let mut parts = arm.children().peekable();
                let pattern = self.pattern(parts.next()?);
                take(&mut parts, &[Kind::MissArrow]);
                Some(Arm { pattern, body: self.next_block(&mut parts), span: span(arm) })
            })
            .collect()
    }

    pub(super) fn field(&mut self, node: NodeRef<'t>) -> FieldInit {
        let mut parts = node.children().peekable();
        let name = self.next_name(&mut parts, node);
        FieldInit { name, value: self.next_expr(&mut parts, node) }
    }

    /// `for x in xs`, in statements, images and comprehensions.
    pub(super) fn for_head(&mut self, node: NodeRef<'t>) -> ForHead {
        let mut names = Vec::new();
        let mut over = None;
        for child in node.children() {
            match child.kind() {
                Kind::Name => names.push(self.name(child)),
                Kind::MissName => names.push(self.missing_name(span(child))),
                Kind::Expr | Kind::MissExpr => over = Some(self.expr(child)),
                _ => {}
            }
        }
        let over = over.unwrap_or(Expr { kind: ExprKind::Error, span: span(node).after() });
        ForHead { names, over: Box::new(over) }
    }

    pub(super) fn name(&mut self, node: NodeRef<'t>) -> Name {
        let text = self.names.entry(node.text()).or_insert_with_key(|text| Arc::from(*text));
        Name { text: Arc::clone(text), span: span(node) }
    }

    pub(super) fn missing_name(&mut self, span: Span) -> Name {
        Name { text: Arc::clone(self.names.entry("").or_insert_with(|| Arc::from(""))), span }
    }

    fn missing_path(&mut self, span: Span) -> Path {
        Path { names: vec![self.missing_name(span)], span }
    }

    /// The name that comes next; an empty one where it is missing.
    pub(super) fn next_name(&mut self, parts: &mut Parts<'t>, parent: NodeRef<'t>) -> Name {
        match take(parts, &[Kind::Name, Kind::Reference, Kind::MissName]) {
            Some(node) => self.name(node),
            None => self.missing_name(span(parent).after()),
        }
    }

    /// The type that comes next, if one comes.
    fn next_type(&mut self, parts: &mut Parts<'t>) -> Option<TypeExpr> {
        let node = take(parts, &[Kind::Type, Kind::MissType, Kind::MissNote, Kind::MissArrow])?;
        (node.kind() != Kind::MissNote && node.kind() != Kind::MissArrow).then(|| self.ty(node))
    }

    /// The expression that comes next; an error where it is missing.
    pub(super) fn next_expr(&mut self, parts: &mut Parts<'t>, parent: NodeRef<'t>) -> Expr {
        match take(parts, &[Kind::Expr, Kind::MissExpr, Kind::MissValue]) {
            Some(node) => self.expr(node),
            None => Expr { kind: ExprKind::Error, span: span(parent).after() },
        }
    }

    pub(super) fn path(&mut self, node: NodeRef<'t>) -> Path {
        Path { names: node.children().map(|name| self.name(name)).collect(), span: span(node) }
    }
}

/// The text of `///` lines without the slashes and one blank.
fn docs(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let Some(line) = line.trim_start().strip_prefix("///") else { continue };
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(line.strip_prefix(' ').unwrap_or(line).trim_end());
    }
    lines
}

/// The documentation in what stands between a token and a member.
fn inner_docs(gap: &str) -> String {
    if !gap.contains("///") {
        return String::new();
    }
    // The first line belongs to the token before it; a byte in front keeps it from being the first of the file.
    let gap = format!("{{{gap}");
    docs(gap.get(docs_start(&gap, 1, gap.len())..).unwrap_or_default())
}
