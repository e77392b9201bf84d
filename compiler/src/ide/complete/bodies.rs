//! Items, statements, steps, recipes, fields and arguments.

use crate::ast::{self, Extern, ItemKind};
use crate::span::ModuleId;
use crate::types::Pattern;

use super::super::CompletionKind;
use super::super::describe::{self, Described};
use super::super::view::{View, known_items};
use super::super::walk::{Declared, Wanted};
use super::collect::{Collector, Rank};

/// What items begin with: word, snippet, what it is.
const ITEMS: [(&str, &str, &str); 11] = [
    ("param", "param ${1:name}: ${2:String}", "A value that is given from outside."),
    ("let", "let ${1:name} = ${0:value}", "A name for a value."),
    ("image", "image ${1:name} {\n  from = ${2:source}\n\n  $0\n}", "A machine image: a source and steps."),
    ("output", "output ${1:name} = ${0:artifact}", "What `apply` builds."),
    ("recipe", "recipe ${1:name}() on ${2:linux/*} {\n  $0\n}", "Steps that several images use."),
    ("test", "test ${1:name} of ${2:image} {\n  $0\n}", "Steps that run in a throwaway copy of an image."),
    ("fn", "fn ${1:name}(${2:a}: ${3:Int}) -> ${4:Int} = ${0:a}", "A function of its arguments."),
    ("record", "record ${1:Name} {\n  ${2:field}: ${3:String}\n}", "A type with fields."),
    ("enum", "enum ${1:Name} { ${2:first}, ${3:second} }", "A type with variants."),
    ("secret", "secret ${1:name}: String from env(\"${2:NAME}\")", "Something that nobody may see."),
    ("import", "import ${1:std}", "Another module, or what it exports."),
];

/// The words that items begin with.
pub(super) fn item_words(all: &mut Collector<'_, '_>) {
    for (word, snippet, docs) in ITEMS {
        let told = Described { code: String::new(), docs: docs.to_owned() };
        all.add(word, CompletionKind::Keyword, Rank::Fits, told, &format!("{word} "), Some(snippet.to_owned()));
    }
    all.plain("pub", CompletionKind::Keyword, Rank::Near, "Lets other modules use the item.");
    all.plain("edition", CompletionKind::Keyword, Rank::Near, "The edition of the language, in the first line.");
}

/// Statements of a body.
pub(super) fn statements(all: &mut Collector<'_, '_>, fields: &[&'static str], platforms: Option<&[Pattern]>) {
    for field in fields {
        let docs = if *field == "from" {
            "What the image begins with: a source, or an image that it continues."
        } else {
            "The machine that the image is built on."
        };
        let told = Described { code: String::new(), docs: docs.to_owned() };
        let snippet = if *field == "from" { "from = $0" } else { "machine = {\n  $0\n}" };
        all.add(field, CompletionKind::Field, Rank::Asked, told, &format!("{field} = "), Some(snippet.to_owned()));
    }
    steps(all, platforms);
    let words = [
        ("use", "use $0", "Runs the steps of a recipe."),
        ("let", "let ${1:name} = ${0:value}", "A name for a value."),
        ("if", "if ${1:condition} {\n  $0\n}", "Steps under a condition."),
        ("for", "for ${1:x} in ${2:xs} {\n  $0\n}", "Steps for each value of a list or map."),
        ("match", "match ${1:platform} {\n  ${2:linux/*} => {\n    $0\n  }\n}", "Steps by what a value is."),
    ];
    for (word, snippet, docs) in words {
        let told = Described { code: String::new(), docs: docs.to_owned() };
        all.add(word, CompletionKind::Keyword, Rank::Near, told, &format!("{word} "), Some(snippet.to_owned()));
    }
    recipes(all, platforms, "use ");
}

/// Step kinds that run on all of the platforms.
fn steps(all: &mut Collector<'_, '_>, platforms: Option<&[Pattern]>) {
    for step in all.reachable(|kind| matches!(kind, ItemKind::Extern(Extern::Step { .. }))) {
        let on = all.view.syntax(step.id).map(|item| &item.kind);
        if let Some(ItemKind::Extern(Extern::Step { on, .. })) = on
            && is_legal(on, platforms)
        {
            let rank = if step.more.is_empty() { Rank::Fits } else { Rank::Import };
            all.item(step.id, &step.name, rank, step.more);
        }
    }
}

/// Whether something runs on all of the platforms of a body.
fn is_legal(on: &[ast::Platform], platforms: Option<&[Pattern]>) -> bool {
    let on: Vec<Pattern> = on.iter().map(Pattern::written).collect();
    on.is_empty() || platforms.unwrap_or_default().iter().all(|platform| platform.is_covered(&on))
}

/// Recipes that run on all of the platforms, with a word before each.
pub(super) fn recipes(all: &mut Collector<'_, '_>, platforms: Option<&[Pattern]>, word: &str) {
    for recipe in all.reachable(|kind| matches!(kind, ItemKind::Recipe { .. })) {
        let Some(ItemKind::Recipe { on, .. }) = all.view.syntax(recipe.id).map(|item| &item.kind) else { continue };
        if !is_legal(on, platforms) {
            continue;
        }
        let rank = match (recipe.more.is_empty(), word.is_empty()) {
            (true, true) => Rank::Fits,
            (true, false) => Rank::Leads,
            (false, _) => Rank::Import,
        };
        all.item(recipe.id, &format!("{word}{}", recipe.name), rank, recipe.more);
    }
}

/// What a module offers to others.
pub(super) fn exported(all: &mut Collector<'_, '_>, module: ModuleId, wanted: Wanted, platforms: Option<&[Pattern]>) {
    let view = all.view;
    let Some(module) = view.module(module) else { return };
    for (id, item) in known_items(module) {
        let Some(name) = view.name_of(id) else { continue };
        let (fits, legal) = match (&item.kind, wanted) {
            (ItemKind::Recipe { on, .. }, Wanted::Recipe) => (true, is_legal(on, platforms)),
            (ItemKind::Extern(Extern::Step { on, .. }), Wanted::Step) => (true, is_legal(on, platforms)),
            (ItemKind::Recipe { .. } | ItemKind::Extern(Extern::Step { .. }), Wanted::Value | Wanted::Type) => {
                (false, false)
            }
            (ItemKind::Record { .. } | ItemKind::Enum { .. }, Wanted::Type) => (true, true),
            (ItemKind::Enum { .. }, Wanted::Value) => (false, true),
            (ItemKind::Record { .. }, Wanted::Value) => (false, false),
            (_, Wanted::Value | Wanted::Any) => (true, true),
            (_, Wanted::Step | Wanted::Recipe | Wanted::Type) => (false, false),
        };
        if View::is_open(item) && legal {
            let rank = if fits { Rank::Fits } else { Rank::Other };
            if wanted == Wanted::Any {
                let told = describe::item(view, id).unwrap_or_default();
                all.add(&name.text, super::collect::kind_of(&item.kind), rank, told, &name.text, None);
            } else {
                all.item(id, &name.text, rank, Vec::new());
            }
        }
    }
}

/// Fields that were not given yet.
pub(super) fn fields(all: &mut Collector<'_, '_>, declared: &[Declared]) {
    for field in declared {
        let told = field.target.as_ref().and_then(|target| describe::target(all.view, target, field.ty.as_ref()));
        let told = told.unwrap_or_else(|| Described {
            code: field.ty.as_ref().map(ToString::to_string).unwrap_or_default(),
            docs: String::new(),
        });
        let rank = if field.is_required { Rank::Asked } else { Rank::Fits };
        let text = format!("{} = ", field.name);
        let is_given = all.text().get(all.replace.end..).is_some_and(|rest| rest.trim_start().starts_with('='));
        let (text, snippet) =
            if is_given { (field.name.to_string(), None) } else { (text.clone(), Some(format!("{text}$0"))) };
        all.add(&field.name, CompletionKind::Field, rank, told, &text, snippet);
    }
}

/// Arguments that were not given yet, by name.
pub(super) fn arguments(all: &mut Collector<'_, '_>, declared: &[Declared]) {
    for field in declared {
        let told = field.target.as_ref().and_then(|target| describe::target(all.view, target, field.ty.as_ref()));
        let (label, rank) = (format!("{}:", field.name), if field.is_required { Rank::Asked } else { Rank::Near });
        let text = format!("{label} ");
        all.add(&label, CompletionKind::Field, rank, told.unwrap_or_default(), &text, Some(format!("{text}$0")));
    }
}
