//! The abstract syntax tree: what a module says, with spans relative to items and nothing resolved yet.
//!
//! Broken source is normal input: whatever could not be understood is an `Error` variant, and the parser has said so.

use std::sync::Arc;

use crate::span::Span;

/// A parsed module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// In source order; equal items are equal wherever they stand.
    pub items: Vec<Arc<Item>>,
    /// The byte offset in the file of each item's first byte: documentation comments and attributes belong to it.
    pub starts: Vec<u32>,
}

/// A name where it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// As written; empty where it is missing.
    pub text: Arc<str>,
    /// Where.
    pub span: Span,
}

/// Names with dots between: `apt.install`. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    /// The names.
    pub names: Vec<Name>,
    /// The whole.
    pub span: Span,
}

/// A top-level item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The text of its `///` lines without the slashes and one blank, joined by line feeds; empty if none.
    pub docs: String,
    /// In source order.
    pub attributes: Vec<Attribute>,
    /// The `pub`, where there is one.
    pub public: Option<Span>,
    /// What it is.
    pub kind: ItemKind,
    /// From its keyword (or `pub`) to its end.
    pub span: Span,
}

/// `@deprecated("use x")`, `@allow(lint) reason "…"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Without the `@`.
    pub name: Name,
    /// What stands in the brackets.
    pub args: Vec<Expr>,
    /// After `reason`.
    pub reason: Option<Template>,
    /// The whole.
    pub span: Span,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// `edition 1`
    Edition {
        /// The number.
        number: i64,
        /// Where the number stands.
        span: Span,
    },
    /// `import …`
    Import(Import),
    /// `param n: T = default where p`
    Param(Param),
    /// `secret n: String from env("X") version "1"`
    Secret {
        /// Its name.
        name: Name,
        /// Its type.
        ty: Option<TypeExpr>,
        /// What stands after `from`.
        from: Expr,
        /// What stands after `version`.
        version: Option<Expr>,
    },
    /// `let n: T = expr`
    Let(Let),
    /// `fn n(a: T) -> T = expr`
    Fn {
        /// Its name.
        name: Name,
        /// In order.
        params: Vec<Param>,
        /// After `->`.
        result: Option<TypeExpr>,
        /// After `=`.
        body: Expr,
    },
    /// `record R { a: T = d where p }`
    Record {
        /// Its name.
        name: Name,
        /// In order.
        fields: Vec<Param>,
    },
    /// `enum E { a, b(n: Int) }`
    Enum {
        /// Its name.
        name: Name,
        /// In order.
        variants: Vec<Variant>,
    },
    /// `recipe n(a: T) on linux/* { … }`
    Recipe {
        /// Its name.
        name: Name,
        /// In order.
        params: Vec<Param>,
        /// After `on`; empty for every platform.
        on: Vec<Platform>,
        /// Between the braces.
        body: Vec<Statement>,
    },
    /// `image n for p in xs: T { … }`
    Image {
        /// Its name.
        name: Name,
        /// The `for`.
        each: Option<ForHead>,
        /// The annotation.
        ty: Option<TypeExpr>,
        /// Between the braces.
        body: Vec<Statement>,
    },
    /// `test n of image { … }`
    Test {
        /// Its name.
        name: Name,
        /// After `of`.
        of: Expr,
        /// Between the braces.
        body: Vec<Statement>,
    },
    /// `output n: T = expr`
    Output(Let),
    /// `extern step|source|artifact …`, in the standard library only.
    Extern(Extern),
    /// Something nobody understands.
    Error,
}

/// `import std.ssh`, `import "./a.imgc"(size: 8GiB) as a`, `import { x, y } from "./lib.imgc"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// What is imported.
    pub from: ImportFrom,
    /// Arguments for the module's params.
    pub args: Vec<Arg>,
    /// After `as`.
    pub alias: Option<Name>,
    /// Selected names, in braces.
    pub names: Option<Vec<Name>>,
}

/// What an import names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportFrom {
    /// `std.ssh`
    Std(Path),
    /// `"./base.imgc"`
    File(Template),
    /// It is missing.
    Error(Span),
}

/// A param of a module, function, recipe or extern, or a field of a record or step kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The `///` lines above it, as in [`Item::docs`].
    pub docs: String,
    /// Its name.
    pub name: Name,
    /// After the colon.
    pub ty: Option<TypeExpr>,
    /// After `=`.
    pub default: Option<Expr>,
    /// After `where`.
    pub predicate: Option<Expr>,
    /// The whole.
    pub span: Span,
}

/// `let n: T = expr`, also of outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Let {
    /// Its name.
    pub name: Name,
    /// After the colon.
    pub ty: Option<TypeExpr>,
    /// After `=`.
    pub value: Expr,
}

/// A variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The `///` lines above it.
    pub docs: String,
    /// Its name.
    pub name: Name,
    /// In brackets; empty for a plain variant.
    pub payload: Vec<Param>,
    /// The whole.
    pub span: Span,
}

/// A declaration of something the runtime implements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extern {
    /// `extern step sh revision 1 on linux/* { fields }`
    Step {
        /// Its name: the step kind.
        name: Name,
        /// After `revision`.
        revision: i64,
        /// After `on`; empty for every platform.
        on: Vec<Platform>,
        /// In order.
        fields: Vec<Param>,
    },
    /// `extern source debian(…) -> Source<…> machine M`
    Source {
        /// Its name.
        name: Name,
        /// After `revision`; 1 where it is left out.
        revision: i64,
        /// In order.
        params: Vec<Param>,
        /// After `->`.
        result: Option<TypeExpr>,
        /// After `machine`.
        machine: Option<TypeExpr>,
    },
    /// `extern artifact image(…) -> Artifact<…>`
    Artifact {
        /// Its name.
        name: Name,
        /// After `revision`; 1 where it is left out.
        revision: i64,
        /// In order.
        params: Vec<Param>,
        /// After `->`.
        result: Option<TypeExpr>,
    },
}

/// A statement of a body: image, recipe, test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is.
    pub kind: StatementKind,
    /// The whole.
    pub span: Span,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementKind {
    /// `kind "label" { field = expr }`
    Step {
        /// The step kind.
        kind: Path,
        /// Its label.
        label: Option<Template>,
        /// In order.
        fields: Vec<FieldInit>,
    },
    /// `from = …`, `machine = …` of an image.
    Field(FieldInit),
    /// `use recipe(args)`
    Use {
        /// The recipe.
        recipe: Path,
        /// In order.
        args: Vec<Arg>,
    },
    /// `let n = expr`
    Let(Let),
    /// `if c { … } else { … }`; `else if` is an `if` alone in `otherwise`.
    If {
        /// The condition.
        condition: Expr,
        /// Where it holds.
        then: Vec<Statement>,
        /// Where it does not.
        otherwise: Vec<Statement>,
    },
    /// `for x in xs { … }`
    For {
        /// The head.
        head: ForHead,
        /// Between the braces.
        body: Vec<Statement>,
    },
    /// `match x { p => { … } }`
    Match {
        /// What is matched.
        subject: Expr,
        /// In order.
        arms: Vec<Arm<Vec<Statement>>>,
    },
    /// Something nobody understands.
    Error,
}

/// `name = expr` in a step, image or record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInit {
    /// The field.
    pub name: Name,
    /// Its value.
    pub value: Expr,
}

/// `for x in xs`, `for k, v in m`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForHead {
    /// One or two names.
    pub names: Vec<Name>,
    /// What is run over.
    pub over: Box<Expr>,
}

/// One arm of a `match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm<T> {
    /// Before `=>`.
    pub pattern: Pattern,
    /// After it.
    pub body: T,
    /// The whole.
    pub span: Span,
}

/// A pattern of a `match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What it is.
    pub kind: PatternKind,
    /// Where.
    pub span: Span,
}

/// What a pattern is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternKind {
    /// `_`
    Rest,
    /// `none`
    None,
    /// `linux/*`
    Platform(Platform),
    /// `stable`, `edge(build)`, `Channel.stable`
    Variant {
        /// The variant, perhaps behind its enum.
        path: Path,
        /// Names that its payload gets.
        bindings: Vec<Name>,
    },
    /// A literal.
    Literal(Box<Expr>),
    /// `a | b`
    Any(Vec<Pattern>),
    /// Something nobody understands.
    Error,
}

/// A platform or platform pattern: `linux(debian)/*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `linux`; `*` for any.
    pub os: Arc<str>,
    /// In round brackets.
    pub distro: Option<Arc<str>>,
    /// `amd64`; `*` for any.
    pub arch: Arc<str>,
    /// Where.
    pub span: Span,
}

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExprKind {
    /// `none`
    None,
    /// `true`, `false`
    Bool(bool),
    /// `42`, `0o644`
    Int(i64),
    /// `4GiB`, in bytes
    Size(u64),
    /// `1h30m`, in milliseconds
    Duration(u64),
    /// `linux/amd64`, `linux/*`
    Platform(Platform),
    /// `"…"`, `"""…"""`
    Text(Template),
    /// `[a, ...bs]`
    List(Vec<Element>),
    /// `{ ...base, a = 1 }`; `{}` too, which may also be an empty map
    Record {
        /// Spreads, all before the fields.
        spreads: Vec<Expr>,
        /// In order.
        fields: Vec<FieldInit>,
    },
    /// `{ ...m, "k" => v }`
    Map {
        /// Spreads, all before the entries.
        spreads: Vec<Expr>,
        /// In order.
        entries: Vec<(Expr, Expr)>,
    },
    /// `[for x in xs for y in ys if c: e]`
    ListFor {
        /// One or more.
        heads: Vec<ForHead>,
        /// After `if`.
        condition: Option<Box<Expr>>,
        /// After the colon.
        body: Box<Expr>,
    },
    /// `{ for k, v in m if c: k => v }`
    MapFor {
        /// One or more.
        heads: Vec<ForHead>,
        /// After `if`.
        condition: Option<Box<Expr>>,
        /// Before `=>`.
        key: Box<Expr>,
        /// After `=>`.
        value: Box<Expr>,
    },
    /// `if c then a else b`
    If {
        /// The condition.
        condition: Box<Expr>,
        /// Where it holds.
        then: Box<Expr>,
        /// Where it does not.
        otherwise: Box<Expr>,
    },
    /// `match x { p => e, … }`
    Match {
        /// What is matched.
        subject: Box<Expr>,
        /// In order.
        arms: Vec<Arm<Expr>>,
    },
    /// A bare name.
    Name(Name),
    /// `f(a, n: b)`, `x.f(a)`
    Call {
        /// What is called.
        callee: Box<Expr>,
        /// In order.
        args: Vec<Arg>,
    },
    /// `x.name`
    Member {
        /// Before the dot.
        base: Box<Expr>,
        /// After it.
        name: Name,
    },
    /// `x[i]`
    Index {
        /// Before the bracket.
        base: Box<Expr>,
        /// In it.
        index: Box<Expr>,
    },
    /// `!x`, `-x`
    Unary {
        /// The operator.
        op: UnaryOp,
        /// Its operand.
        operand: Box<Expr>,
    },
    /// `a + b`
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Where the operator stands.
        op_span: Span,
        /// Before it.
        left: Box<Expr>,
        /// After it.
        right: Box<Expr>,
    },
    /// Something that is missing or that nobody understands; the parser has said so.
    Error,
}

/// An element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Whether `...` stands before it.
    pub spread: bool,
    /// The value.
    pub value: Expr,
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// Before the colon.
    pub name: Option<Name>,
    /// The value.
    pub value: ArgValue,
    /// The whole.
    pub span: Span,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgValue {
    /// Any expression.
    Expr(Expr),
    /// `x => e`, `(a, x) => e`
    Lambda {
        /// One or more.
        params: Vec<Name>,
        /// After `=>`.
        body: Expr,
    },
}

/// Operators with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `!`
    Not,
    /// `-`
    Neg,
}

/// Operators with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its own name")]
pub enum BinaryOp {
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    Coalesce,
    Range,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// A string literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Text and holes in turn; adjacent texts are joined, except where a `"""` literal had indentation removed.
    pub parts: Vec<TemplatePart>,
    /// Whether it is a `"""` literal.
    pub block: bool,
    /// With its quotes.
    pub span: Span,
}

/// A part of a string literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text, escapes resolved and indentation removed.
    Text {
        /// What it says.
        text: String,
        /// Where it is written.
        span: Span,
    },
    /// `\{expr}`
    Hole {
        /// The expression.
        value: Expr,
        /// With `\{` and `}`.
        span: Span,
    },
}

/// A type where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeExpr {
    /// What it is.
    pub kind: TypeKind,
    /// Where.
    pub span: Span,
}

/// What a type expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// `Int`, `List<T>`, `Image<p, rootfs>`, `base.Service`; an index path such as `of.platform` has no arguments.
    Named {
        /// Its name.
        path: Path,
        /// Between `<` and `>`.
        args: Vec<TypeExpr>,
    },
    /// `linux/*`
    Platform(Platform),
    /// `"stable"`
    Literal(Template),
    /// `T?`
    Optional(Box<TypeExpr>),
    /// `A | B`
    Union(Vec<TypeExpr>),
    /// `*`, as an index.
    Any,
    /// Something nobody understands.
    Error,
}
