//! The checked program: names resolved, types gone, every conversion written out. `check` makes it, `evaluate` runs it.

use std::sync::Arc;

use crate::ast::BinaryOp;
use crate::evaluate::Value;
use crate::script::Context;
use crate::span::{Location, ModuleId};
use crate::types::{CheckedText, Coercion, ItemId, Pattern, PlatformIndex, Type};

/// A checked expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expr {
    pub(crate) kind: Kind,
    pub(crate) at: Location,
}

/// An item as one module sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) id: ItemId,
    /// The import item through which it was reached; none for the module's own and for the standard library's.
    pub(crate) via: Option<u32>,
}

/// What a checked expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It was wrong and has been reported.
    Error,
    Value(Value),
    Local(u32),
    Item(Ref),
    /// The platform of the image that the body belongs to.
    Platform,
    Text(Vec<Part>),
    /// The contexts of its holes, in order; none where an inserted script decides them.
    Script {
        shell: Arc<str>,
        parts: Vec<ScriptPart>,
        contexts: Option<Vec<Context>>,
    },
    List(Vec<(bool, Expr)>),
    Set(Vec<(bool, Expr)>),
    /// Later entries win.
    Record {
        spreads: Vec<Expr>,
        fields: Vec<(Arc<str>, Expr)>,
        of: Option<Ref>,
    },
    Map {
        spreads: Vec<Expr>,
        entries: Vec<(Expr, Expr)>,
    },
    ListFor {
        heads: Vec<Head>,
        condition: Option<Box<Expr>>,
        body: Box<Expr>,
        set: bool,
    },
    MapFor {
        heads: Vec<Head>,
        condition: Option<Box<Expr>>,
        key: Box<Expr>,
        value: Box<Expr>,
    },
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    Match {
        subject: Box<Expr>,
        arms: Vec<(Pat, Expr)>,
    },
    Variant {
        of: Ref,
        name: Arc<str>,
        payload: Vec<(Arc<str>, Expr)>,
    },
    /// A function, source or artifact; arguments by position of the parameter, none where it has its default.
    Call {
        of: Ref,
        args: Vec<Option<Expr>>,
    },
    Builtin {
        builtin: Builtin,
        base: Box<Expr>,
        args: Vec<Expr>,
        lambda: Option<Box<Lambda>>,
    },
    Field {
        base: Box<Expr>,
        name: Arc<str>,
    },
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    File(Arc<str>),
    Dir {
        path: Arc<str>,
        ignore: Box<Expr>,
    },
    Not(Box<Expr>),
    Neg(Box<Expr>),
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Whether a platform is in a pattern.
    InPattern {
        value: Box<Expr>,
        pattern: Pattern,
    },
    Coerce {
        value: Box<Expr>,
        to: Coercion,
    },
    /// A text that has to have a form.
    Checked {
        value: Box<Expr>,
        form: CheckedText,
    },
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Arc<str>),
    Hole(Expr),
}

/// A part of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScriptPart {
    Text(Arc<str>),
    /// A value that is escaped.
    Hole(Expr),
    /// A script, as it stands.
    Insert(Expr),
}

/// `x => e`: the slots of its params and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lambda {
    pub(crate) slots: Vec<u32>,
    pub(crate) body: Expr,
}

/// `for x in xs`, `for k, v in m`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) slots: Vec<u32>,
    pub(crate) over: Expr,
    /// Whether the first value can be part of an address.
    pub(crate) first_is_key: bool,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pat {
    Rest,
    None,
    Platform(Pattern),
    Variant { name: Arc<str>, bindings: Vec<(Arc<str>, u32)> },
    Literal(Value),
    Any(Vec<Pat>),
}

/// Members of built-in values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    Map,
    Filter,
    Fold,
    All,
    Any,
    SortBy,
    Sort,
    Reverse,
    Take,
    Join,
    Len,
    Keys,
    Values,
    Split,
    Replace,
    Trim,
    Lower,
    Upper,
    StartsWith,
    EndsWith,
    Contains,
    Matches,
    /// `version.matches(requirement)`
    Fulfils,
    /// Of two versions: below, at or above 0.
    Compare,
    SortVersions,
    Os,
    Arch,
    Distro,
    PlatformOf,
    FileName,
    FileText,
    DirFile,
    DirDir,
    DirFiles,
    /// Of an image: what a step of it leaves.
    BuildFile,
    BuildDir,
    /// Of images, artifacts and sources.
    Digest,
    Id,
    BuiltSize,
    /// `raw(s)`: a text that is a script as it stands.
    Raw,
}

/// A param of anything, or a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Param {
    pub(crate) name: Arc<str>,
    pub(crate) docs: String,
    pub(crate) ty: Type,
    /// Runs in a frame of the params before it.
    pub(crate) default: Option<Expr>,
    /// Runs in a frame of the params up to it.
    pub(crate) predicate: Option<Expr>,
    pub(crate) at: Location,
}

impl Param {
    /// Whether it may be left out.
    pub(crate) fn is_optional(&self) -> bool {
        self.default.is_some() || matches!(self.ty, Type::Optional(_))
    }
}

/// A checked item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Wrong, or nothing to evaluate: `edition`, a broken import.
    Nothing,
    Import {
        module: ModuleId,
        args: Vec<(u32, Expr)>,
    },
    Param(Param),
    Secret {
        ty: Type,
        origin: Origin,
        /// What stands in the brackets of the origin.
        value: Expr,
        version: Option<Expr>,
    },
    Let {
        value: Expr,
        ty: Type,
    },
    Output {
        value: Expr,
        ty: Type,
    },
    Fn {
        params: Vec<Param>,
        result: Type,
        body: Expr,
    },
    Record {
        params: Vec<Param>,
        ty: Type,
    },
    Enum {
        variants: Vec<(Arc<str>, Vec<Param>)>,
        ty: Type,
    },
    Recipe {
        params: Vec<Param>,
        on: Vec<Pattern>,
        body: Vec<Statement>,
    },
    Image(Image),
    Test {
        of: Expr,
        body: Vec<Statement>,
        at: Location,
    },
    Step {
        revision: u32,
        on: Vec<Pattern>,
        fields: Vec<Param>,
    },
    Source(Signature),
    Artifact(Signature),
}

/// Where a secret comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Env,
    File,
    Command,
}

/// A source or an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    /// As users write it: `rootfs.debian`.
    pub(crate) kind: Arc<str>,
    pub(crate) revision: u32,
    pub(crate) params: Vec<Param>,
    pub(crate) result: Type,
    pub(crate) machine: Option<Type>,
}

impl Signature {
    /// Where the platform of the result comes from.
    pub(crate) fn platform(&self) -> Option<&PlatformIndex> {
        self.result.platform()
    }
}

/// A checked image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) name: Arc<str>,
    pub(crate) each: Option<Head>,
    pub(crate) from: Expr,
    /// What the source's machine record is made of; none where it has none, and of images that continue another.
    pub(crate) machine: Option<Expr>,
    pub(crate) body: Vec<Statement>,
    pub(crate) ty: Type,
    pub(crate) at: Location,
}

/// A checked statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    Step(Step),
    Use { recipe: Ref, name: Arc<str>, args: Vec<Option<Expr>>, at: Location },
    Let { slot: u32, value: Expr },
    If { condition: Expr, then: Vec<Statement>, otherwise: Vec<Statement> },
    For { head: Head, body: Vec<Statement>, at: Location },
    Match { subject: Expr, arms: Vec<(Pat, Vec<Statement>)>, at: Location },
}

/// A checked step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: Ref,
    pub(crate) name: Arc<str>,
    pub(crate) label: Option<Expr>,
    pub(crate) label_at: Location,
    pub(crate) fields: Vec<(Arc<str>, Expr)>,
    pub(crate) at: Location,
}

/// A checked module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Module {
    /// By position in the syntax tree.
    pub(crate) items: Vec<Arc<Item>>,
    /// Names of the items, for addresses.
    pub(crate) names: Vec<Arc<str>>,
    /// Positions, every item after those it refers to.
    pub(crate) order: Vec<u32>,
}

/// The whole checked program, by module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) modules: Vec<Module>,
}

impl Program {
    /// An item; none where its module could not be read.
    pub(crate) fn item(&self, id: ItemId) -> Option<&Arc<Item>> {
        self.modules.get(id.module.0 as usize)?.items.get(id.item as usize)
    }
}
