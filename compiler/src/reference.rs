//! What documentation tells of modules: items with their signatures, comments and examples, as data.
//!
//! Signatures are the source's own text, so that readers see what they would write; only what is inferred comes from
//! the checker. How it is laid out is the caller's business.

mod members;

use std::sync::Arc;

use serde::Serialize;

use crate::ast::{self, Extern, ItemKind};
use crate::core::{Item as Checked, Program};
use crate::diagnostic::Diagnostic;
use crate::driver;
use crate::modules::{self, Modules};
use crate::names::item_name;
use crate::sources::Sources;
use crate::span::{Location, ModuleId, Span};
use crate::world::{Argument, Found, World, WorldError};

pub use members::{Member, members};

/// The modules of a package, or of the standard library.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// The applied module first; those of the standard library as they are listed there.
    pub modules: Vec<Module>,
    /// What checking found; what is wrong may be missing above.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that their locations are in.
    pub sources: Sources,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Relative to the package; `std/apt.imgc` for the standard library.
    pub path: String,
    /// What stands before the names of items of the standard library; none for other modules.
    pub prefix: Option<String>,
    /// Whether `import std.name` has to stand before it is used.
    pub by_import: bool,
    /// The comment at the top of the file.
    pub docs: String,
    /// What others may use, in source order. Of the applied module also its images and tests.
    pub items: Vec<Item>,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is its own name")]
pub enum Kind {
    Step,
    Source,
    Artifact,
    Recipe,
    Fn,
    Record,
    Enum,
    Param,
    Secret,
    Let,
    Image,
    Test,
    Output,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its comment without the examples.
    pub docs: String,
    /// The examples of its comment.
    pub examples: Vec<Example>,
    /// What `@deprecated` says.
    pub deprecated: Option<String>,
    /// Params, or the fields of a record or step; of a param itself, it alone.
    pub params: Vec<Param>,
    /// Of an enum.
    pub variants: Vec<Variant>,
    /// Platforms where a recipe or step can run; empty for every platform.
    pub on: Vec<String>,
    /// Type of what a function, source or artifact gives, and of a value.
    pub ty: Option<String>,
    /// The record that describes a source's machines.
    pub machine: Option<String>,
    /// Of what the runtime implements.
    pub revision: Option<i64>,
    /// Line of its name, from 1.
    pub line: u32,
}

/// A param or field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// As it is written.
    pub ty: String,
    /// As it is written.
    pub default: Option<String>,
    /// What stands after `where`.
    pub predicate: Option<String>,
}

/// A variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// In brackets.
    pub payload: Vec<Param>,
}

/// A fenced block of a comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// What stands after the fence's first word: on which system it runs.
    pub on: String,
    /// The program, or statements of a body with the imports that they need.
    pub text: String,
}

/// The documentation of the module at `entry` and of what it imports from the package.
pub fn package(world: &dyn World, entry: &str) -> Reference {
    let (modules, program, diagnostics) = driver::checked_program(world, entry);
    let writer = Writer { modules: &modules, program: &program };
    let own = modules.all.iter().filter(|module| !module.is_std);
    let described = own.map(|module| writer.module(module)).collect();
    Reference { modules: described, diagnostics, sources: modules.sources }
}

/// The documentation of the standard library.
pub fn standard_library() -> Reference {
    let (modules, program, diagnostics) = driver::checked_program(&Nothing, "main.imgc");
    let writer = Writer { modules: &modules, program: &program };
    let described = modules.all.iter().filter(|module| module.is_std).map(|module| writer.module(module)).collect();
    Reference { modules: described, diagnostics, sources: modules.sources }
}

/// A world with one empty module.
struct Nothing;

impl World for Nothing {
    fn module(&self, _: &str) -> Result<Arc<str>, WorldError> {
        Ok(Arc::from(""))
    }

    fn find(&self, _: &str) -> Result<Found, WorldError> {
        Ok(Found::Missing)
    }

    fn file(&self, path: &str) -> Result<imgc_plan::FileRef, WorldError> {
        Err(WorldError::Missing { path: path.to_owned() })
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        Err(WorldError::Missing { path: path.to_owned() })
    }

    fn dir(&self, path: &str, _: &[String]) -> Result<imgc_plan::DirRef, WorldError> {
        Err(WorldError::Missing { path: path.to_owned() })
    }

    fn argument(&self, _: &str) -> Option<Argument> {
        None
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

struct Writer<'a> {
    modules: &'a Modules,
    program: &'a Program,
}

impl Writer<'_> {
    fn module(&self, module: &modules::Module) -> Module {
        let source = self.modules.sources.modules().get(module.id.0 as usize);
        let is_applied = module.id == ModuleId::default();
        let items = module.tree.items.iter().zip(0_u32..);
        let items =
            items.filter(|(item, _)| is_open(item, is_applied)).filter_map(|(item, n)| self.item(module, item, n));
        let stem = module.path.strip_prefix("std/").and_then(|path| path.strip_suffix(".imgc"));
        Module {
            path: module.path.to_string(),
            prefix: stem.map(|stem| if stem == crate::stdlib::PRELUDE { String::new() } else { format!("{stem}.") }),
            by_import: stem.is_some_and(crate::stdlib::is_by_import),
            docs: source.map(|source| top_comment(&source.text)).unwrap_or_default(),
            items: items.collect(),
        }
    }

    fn item(&self, module: &modules::Module, item: &ast::Item, number: u32) -> Option<Item> {
        let name = item_name(&item.kind)?;
        let place = Within { sources: &self.modules.sources, at: modules::at(module.id, number, name.span) };
        let (docs, examples) = split_examples(&item.docs);
        let deprecated = item.attributes.iter().find(|attribute| &*attribute.name.text == "deprecated");
        let inferred = self.program.modules.get(module.id.0 as usize).and_then(|m| m.items.get(number as usize));
        let mut described = Item {
            kind: Kind::Let,
            name: name.text.to_string(),
            docs,
            examples,
            deprecated: deprecated.map(|attribute| {
                attribute.args.iter().map(|arg| place.text(arg.span).trim_matches('"').to_owned()).collect()
            }),
            params: Vec::new(),
            variants: Vec::new(),
            on: Vec::new(),
            ty: inferred.and_then(|item| inferred_type(item)),
            machine: None,
            revision: None,
            line: self.modules.sources.place(&place.at).line,
        };
        place.fill(&mut described, &item.kind)?;
        Some(described)
    }
}

/// Whether people read about an item: it can be used from elsewhere, or it is what the applied module is for.
fn is_open(item: &ast::Item, is_applied: bool) -> bool {
    let for_all = matches!(item.kind, ItemKind::Param(_) | ItemKind::Output(_) | ItemKind::Extern(_));
    let of_applied = matches!(item.kind, ItemKind::Image { .. } | ItemKind::Test { .. } | ItemKind::Secret { .. });
    item.public.is_some() || for_all || is_applied && of_applied
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only values have a type that nobody wrote")]
fn inferred_type(item: &Checked) -> Option<String> {
    match item {
        Checked::Let { ty, .. } | Checked::Output { ty, .. } => Some(ty.to_string()),
        Checked::Image(image) => Some(image.ty.to_string()),
        _ => None,
    }
}

/// One item's text.
struct Within<'a> {
    sources: &'a Sources,
    at: Location,
}

impl Within<'_> {
    /// The source text of a part, on one line.
    fn text(&self, span: Span) -> String {
        let place = self.sources.place(&Location { span, ..self.at });
        let text = place.text.get(place.start..place.end).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        lines.collect::<Vec<_>>().join(" ")
    }

    /// None for what has no documentation.
    fn fill(&self, item: &mut Item, kind: &ItemKind) -> Option<()> {
        match kind {
            ItemKind::Edition { .. } | ItemKind::Import(_) | ItemKind::Error => return None,
            ItemKind::Param(param) => {
                item.kind = Kind::Param;
                item.params = self.params(std::slice::from_ref(param));
            }
            ItemKind::Secret { ty, .. } => {
                item.kind = Kind::Secret;
                item.ty = ty.as_ref().map(|ty| format!("Secret<{}>", self.text(ty.span)));
            }
            ItemKind::Let(_) => item.kind = Kind::Let,
            ItemKind::Output(_) => item.kind = Kind::Output,
            ItemKind::Image { .. } => item.kind = Kind::Image,
            ItemKind::Test { of, .. } => {
                item.kind = Kind::Test;
                item.ty = Some(format!("of {}", self.text(of.span)));
            }
            ItemKind::Fn { params, result, .. } => {
                item.kind = Kind::Fn;
                item.params = self.params(params);
                item.ty = result.as_ref().map(|ty| self.text(ty.span));
            }
            ItemKind::Record { fields, .. } => {
                item.kind = Kind::Record;
                item.params = self.params(fields);
            }
            ItemKind::Enum { variants, .. } => {
                item.kind = Kind::Enum;
                item.variants = variants.iter().map(|variant| self.variant(variant)).collect();
            }
            ItemKind::Recipe { params, on, .. } => {
                item.kind = Kind::Recipe;
                item.params = self.params(params);
                item.on = on.iter().map(|platform| self.text(platform.span)).collect();
            }
            ItemKind::Extern(external) => self.external(item, external),
        }
        Some(())
    }

    fn external(&self, item: &mut Item, external: &Extern) {
        match external {
            Extern::Step { revision, on, fields, .. } => {
                (item.kind, item.revision) = (Kind::Step, Some(*revision));
                item.params = self.params(fields);
                item.on = on.iter().map(|platform| self.text(platform.span)).collect();
            }
            Extern::Source { revision, params, result, machine, .. } => {
                (item.kind, item.revision) = (Kind::Source, Some(*revision));
                item.params = self.params(params);
                item.ty = result.as_ref().map(|ty| self.text(ty.span));
                item.machine = machine.as_ref().map(|ty| self.text(ty.span));
            }
            Extern::Artifact { revision, params, result, .. } => {
                (item.kind, item.revision) = (Kind::Artifact, Some(*revision));
                item.params = self.params(params);
                item.ty = result.as_ref().map(|ty| self.text(ty.span));
            }
        }
    }

    fn params(&self, params: &[ast::Param]) -> Vec<Param> {
        let described = params.iter().map(|param| Param {
            name: param.name.text.to_string(),
            docs: param.docs.clone(),
            ty: param.ty.as_ref().map(|ty| self.text(ty.span)).unwrap_or_default(),
            default: param.default.as_ref().map(|value| self.text(value.span)),
            predicate: param.predicate.as_ref().map(|value| self.text(value.span)),
        });
        described.collect()
    }

    fn variant(&self, variant: &ast::Variant) -> Variant {
        Variant {
            name: variant.name.text.to_string(),
            docs: variant.docs.clone(),
            payload: self.params(&variant.payload),
        }
    }
}

/// The comment that a file begins with, if a blank line ends it: else it belongs to the first item.
pub(crate) fn top_comment(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("//") {
            Some(rest) if !rest.starts_with('/') => lines.push(rest.strip_prefix(' ').unwrap_or(rest)),
            None if line.trim().is_empty() => break,
            Some(_) | None => return String::new(),
        }
    }
    lines.join("\n")
}

/// A comment's text, and the blocks between fences that open with `imgc`.
fn split_examples(docs: &str) -> (String, Vec<Example>) {
    let (mut text, mut examples) = (Vec::new(), Vec::new());
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in docs.lines() {
        open = match (open, line.strip_prefix("```")) {
            (None, Some(info)) if info.split(' ').next() == Some("imgc") => {
                Some((info.strip_prefix("imgc").unwrap_or_default().trim().to_owned(), Vec::new()))
            }
            (None, _) => {
                text.push(line);
                None
            }
            (Some((on, lines)), Some("")) => {
                examples.push(Example { on, text: lines.join("\n") });
                None
            }
            (Some((on, mut lines)), _) => {
                lines.push(line);
                Some((on, lines))
            }
        };
    }
    (text.join("\n").trim().to_owned(), examples)
}
