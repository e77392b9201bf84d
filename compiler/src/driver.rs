//! The stages in order: what `imgc check` and `imgc plan` ask for.

#![expect(clippy::wildcard_enum_match_arm, reason = "most items are not what is asked for")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imgc_plan::Plan;

use crate::check::Extent;
use crate::core::{Item, Program};
use crate::diagnostic::{Diagnostic, Severity, evaluate as say};
use crate::evaluate::{self, Evaluated, Purpose};
use crate::modules::{self, Modules};
use crate::names::Names;
use crate::sources::{Source, Sources};
use crate::span::{Location, ModuleId, Span};
use crate::stdlib::Library;
use crate::world::World;
use crate::{ast, check as checking, lint, lower, names};

/// What checking a program found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// In order of module and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that their locations are in.
    pub sources: Sources,
    /// The params of the applied module, in source order.
    pub params: Vec<Described>,
    /// The outputs of the applied module, in source order.
    pub outputs: Vec<Described>,
    /// The images of the applied module, in source order.
    pub images: Vec<Described>,
    /// The tests of the applied module, in source order.
    pub tests: Vec<Described>,
}

/// An item as documentation and `--help-params` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// The text of its `///` lines; may be empty.
    pub docs: String,
    /// Its type, in users' words.
    pub ty: String,
    /// The source text of a param's default.
    pub default: Option<String>,
    /// The source text of a param's `where`.
    pub predicate: Option<String>,
    /// Where its name stands.
    pub at: Location,
}

/// What planning a program gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// None if there is any error.
    pub plan: Option<Plan>,
    /// In order of module and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that their locations are in.
    pub sources: Sources,
}

/// The applied module of one that is checked or planned: the first that is read.
const APPLIED: ModuleId = ModuleId(0);

/// The most diagnostics of one module; more of them help nobody.
const MAX_DIAGNOSTICS: usize = 100;

/// Checks the module at `entry` (relative to the package) and all that it imports, without asking for any argument
/// or digest.
pub fn check(world: &dyn World, entry: &str) -> Checked {
    let stages = stages(world, entry);
    let mut diagnostics = stages.diagnostics;
    // A module without outputs may be there to be imported; one without anything is a mistake.
    if stages.program.modules.first().is_some_and(|module| module.items.is_empty()) && !has_errors(&diagnostics) {
        diagnostics.push(say::no_outputs(entry));
    }
    if !has_errors(&diagnostics) {
        diagnostics
            .extend(evaluate::evaluate(&stages.program, &stages.modules, world, Purpose::Check, APPLIED).diagnostics);
    }
    if !has_errors(&diagnostics) {
        diagnostics.extend(lint::lint(&stages.modules, &stages.names));
    }
    let described = |wanted: fn(&Item) -> bool| describe(&stages.modules, &stages.program, wanted);
    Checked {
        params: described(|item| matches!(item, Item::Param(_))),
        outputs: described(|item| matches!(item, Item::Output { .. })),
        images: described(|item| matches!(item, Item::Image(_))),
        tests: described(|item| matches!(item, Item::Test { .. })),
        diagnostics: ordered(diagnostics),
        sources: stages.modules.sources,
    }
}

/// What is wrong with the standard library: nothing, in any imgc that was tested. A check of a program looks only at what
/// that program uses.
pub fn check_library(world: &dyn World) -> Checked {
    let modules = modules::load(world, &["main.imgc"], Library::Whole);
    let (names, _) = names::resolve(&modules);
    let found = checking::check(&modules, &names, world, Extent::Whole);
    Checked { diagnostics: found.diagnostics, sources: modules.sources, ..Checked::default() }
}

/// Makes the plan of the module at `entry` with the arguments that the world holds.
pub fn plan(world: &dyn World, entry: &str) -> Planned {
    let mut stages = stages(world, entry);
    let mut diagnostics = std::mem::take(&mut stages.diagnostics);
    let mut plan = None;
    if !has_errors(&diagnostics) {
        let mut made = plan_of((&stages.program, &stages.modules), world, APPLIED);
        diagnostics.append(&mut made.diagnostics);
        for given in made.given {
            stages.modules.sources.add(given);
        }
        plan = made.plan;
    }
    Planned { plan, diagnostics: ordered(diagnostics), sources: stages.modules.sources }
}

/// A plan, unless something was found to be wrong.
pub(crate) struct Made {
    pub(crate) plan: Option<Plan>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Texts that arguments were given by; their ids follow those of the modules.
    given: Vec<Source>,
}

/// Plans a module of a program in which the stages before have found no error.
pub(crate) fn plan_of((program, modules): (&Program, &Modules), world: &dyn World, applied: ModuleId) -> Made {
    let mut evaluated = evaluate::evaluate(program, modules, world, Purpose::Plan, applied);
    let mut diagnostics = std::mem::take(&mut evaluated.diagnostics);
    let given = std::mem::take(&mut evaluated.given);
    let items = program.modules.get(applied.0 as usize).map(|module| module.items.as_slice()).unwrap_or_default();
    if !items.iter().any(|item| matches!(**item, Item::Output { .. } | Item::Test { .. })) {
        let path = modules.all.get(applied.0 as usize).map_or("", |module| &*module.path);
        diagnostics.push(say::no_outputs(path));
    }
    if !has_errors(&diagnostics) {
        diagnostics.extend(unevaluated(items, &evaluated));
    }
    let mut plan = None;
    if !has_errors(&diagnostics) {
        let (lowered, more) = lower::lower((program, modules), applied, evaluated, world);
        diagnostics.extend(more);
        plan = Some(lowered).filter(|_| !has_errors(&diagnostics));
    }
    Made { plan, diagnostics, given }
}

/// Outputs that have no value though nothing is wrong: a bug of ours that must not pass as a smaller plan.
fn unevaluated(items: &[Arc<Item>], evaluated: &Evaluated) -> Vec<Diagnostic> {
    let outputs = items.iter().filter_map(|item| match &**item {
        Item::Output { value, .. } => Some(value.at),
        _ => None,
    });
    outputs.filter(|at| !evaluated.outputs.iter().any(|(_, _, known)| known == at)).map(say::internal).collect()
}

/// What does not depend on arguments.
struct Stages {
    modules: Modules,
    program: Program,
    names: Names,
    diagnostics: Vec<Diagnostic>,
}

/// Everything that is known of a program without its arguments, for documentation.
pub(crate) fn checked_program(world: &dyn World, entry: &str) -> (Modules, Program, Vec<Diagnostic>) {
    let stages = stages_with(world, entry, Library::Whole);
    (stages.modules, stages.program, ordered(stages.diagnostics))
}

fn stages(world: &dyn World, entry: &str) -> Stages {
    let stages = stages_with(world, entry, Library::Named);
    // Only words about names look around in what the program does not use.
    let is_of_names = stages.diagnostics.iter().any(|diagnostic| diagnostic.code.starts_with("IMG1"));
    if is_of_names { stages_with(world, entry, Library::Whole) } else { stages }
}

fn stages_with(world: &dyn World, entry: &str, library: Library) -> Stages {
    let mut modules = modules::load(world, &[entry], library);
    let mut diagnostics = std::mem::take(&mut modules.diagnostics);
    let (names, more) = names::resolve(&modules);
    diagnostics.extend(more);
    let found = checking::check(&modules, &names, world, Extent::Used);
    diagnostics.extend(found.diagnostics);
    let program = found.program;
    let diagnostics = without_consequences(diagnostics, &modules, &names);
    Stages { modules, program, names, diagnostics }
}

/// Leaves out what follows from errors of syntax, so that one cause gives one error: what comes behind one on its line,
/// and names that only an item could have defined which nobody understands.
pub(crate) fn without_consequences(
    mut diagnostics: Vec<Diagnostic>,
    modules: &Modules,
    names: &Names,
) -> Vec<Diagnostic> {
    let is_unselected = |d: &Diagnostic| {
        let source = modules.sources.modules().get(d.primary.at.module.0 as usize);
        let word = source.and_then(|source| source.slice(&d.primary.at)).unwrap_or_default();
        // Of a path its first name decides.
        names.is_unselected(d.primary.at.module, word.split('.').next().unwrap_or_default())
    };
    diagnostics.retain(|d| !matches!(d.code, "IMG1004" | "IMG1016") || !is_unselected(d));
    let is_syntax = |diagnostic: &Diagnostic| diagnostic.code.starts_with("IMG0");
    // From the first error of a line to the end of that line.
    let mut broken: BTreeMap<(ModuleId, u32), usize> = BTreeMap::new();
    let mut lost: BTreeSet<(ModuleId, String)> = BTreeSet::new();
    // What a text without an end has swallowed is no code: the items that such a text stands in, and where.
    let endless = diagnostics.iter().filter(|d| d.code == "IMG0008");
    let begin = |d: &Diagnostic| d.secondary.iter().map(|label| label.at.span.start).min();
    let endless: BTreeMap<_, _> =
        endless.filter_map(|d| Some(((d.primary.at.module, d.primary.at.item), begin(d)?))).collect();
    for at in diagnostics.iter().filter(|d| is_syntax(d)).map(|d| d.primary.at) {
        let place = modules.sources.place(&at);
        let first = broken.entry((at.module, place.line)).or_insert(place.start);
        *first = place.start.min(*first);
        let item = modules.sources.place(&at.with(Span::default())).start;
        let text = place.text.get(item..).unwrap_or_default();
        // The name of an item stands near its begin.
        let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        lost.extend(words.take(4).map(|word| (at.module, word.to_owned())));
    }
    if broken.is_empty() {
        return diagnostics;
    }
    let follows = |d: &Diagnostic| {
        let (module, place) = (d.primary.at.module, modules.sources.place(&d.primary.at));
        let behind = broken.get(&(module, place.line)).is_some_and(|first| *first < place.start);
        let word = place.text.get(place.start..place.end).unwrap_or_default();
        let at = d.primary.at;
        let swallowed = endless.get(&(at.module, at.item)).is_some_and(|start| *start < at.span.start);
        behind || swallowed || (d.code == "IMG1004" && lost.contains(&(module, word.to_owned())))
    };
    diagnostics.into_iter().filter(|d| is_syntax(d) || !follows(d)).collect()
}

pub(crate) fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// By module and place, each once, and no more of a module than anyone reads.
pub(crate) fn ordered(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let key = |d: &Diagnostic| (d.primary.at.module, d.primary.at.item, d.primary.at.span.start, d.code);
    diagnostics.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message)));
    diagnostics.dedup();
    let mut shown: Vec<Diagnostic> = Vec::new();
    let mut rest = diagnostics.into_iter().peekable();
    while let Some(first) = rest.next() {
        let module = first.primary.at.module;
        let mut of_module = vec![first];
        while let Some(next) = rest.next_if(|next| next.primary.at.module == module) {
            of_module.push(next);
        }
        let hidden = of_module.split_off(of_module.len().min(MAX_DIAGNOSTICS));
        if let (Some(_), Some(last)) = (hidden.first(), of_module.last()) {
            let severity = if has_errors(&hidden) { Severity::Error } else { Severity::Warning };
            of_module.push(say::too_many(last.primary.at, hidden.len(), severity));
        }
        shown.append(&mut of_module);
    }
    shown
}

/// Items of the applied module, in source order.
fn describe(modules: &Modules, program: &Program, wanted: fn(&Item) -> bool) -> Vec<Described> {
    let (Some(module), Some(checked), Some(source)) =
        (modules.all.first(), program.modules.first(), modules.sources.modules().first())
    else {
        return Vec::new();
    };
    let items = module.tree.items.iter().zip(&checked.items).zip(0_u32..);
    let described = items.filter(|((_, item), _)| wanted(item)).filter_map(|((syntax, item), number)| {
        let name = names::item_name(&syntax.kind)?;
        let text = |expr: &ast::Expr| {
            let place = modules.sources.place(&modules::at(module.id, number, expr.span));
            source.text.get(place.start..place.end).map(str::to_owned)
        };
        let (default, predicate) = match &syntax.kind {
            ast::ItemKind::Param(param) => {
                (param.default.as_ref().and_then(text), param.predicate.as_ref().and_then(text))
            }
            _ => (None, None),
        };
        let ty = match &**item {
            Item::Param(param) => param.ty.to_string(),
            Item::Output { ty, .. } => ty.to_string(),
            Item::Image(image) => image.ty.to_string(),
            _ => String::new(),
        };
        let at = modules::at(module.id, number, name.span);
        Some(Described { name: name.text.to_string(), docs: syntax.docs.clone(), ty, default, predicate, at })
    });
    described.collect()
}
