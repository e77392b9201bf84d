//! What an editor asks: questions to an analysis, answered in plain data with byte offsets into module texts.
//!
//! Pure as all of the compiler, and unaware of any protocol, position encoding or editor. A file with errors is normal
//! input: what is broken costs the answers at its own place only.

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::needless_for_each,
    clippy::match_same_arms,
    reason = "an answer is about a few kinds of items and types, and each line is one case; a line a part keeps walks readable"
)]

mod actions;
mod calls;
mod complete;
mod describe;
mod hints;
mod known;
mod names;
mod rename;
pub mod structure;
mod view;
mod walk;

use std::ops::Range;

use crate::analysis::Analysis;
use crate::world::World;

use view::View;

/// A range of a module's text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// As the world names the module: `lib/web.imgc`, `std/apt.imgc`.
    pub path: String,
    /// In bytes.
    pub range: Range<usize>,
}

/// A text to put in the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TextEdit {
    /// What is replaced, in bytes; empty where text is only put in.
    pub range: Range<usize>,
    /// What comes there.
    pub text: String,
}

/// What is changed in one module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileEdit {
    /// As the world names the module.
    pub path: String,
    /// In order of place; they do not overlap.
    pub edits: Vec<TextEdit>,
}

/// What is known about what stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hover {
    /// What it is about, in bytes.
    pub range: Range<usize>,
    /// In Markdown; the code block comes first.
    pub markdown: String,
}

/// One thing that could be written at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What a list shows, and what is compared with what has been typed.
    pub label: String,
    /// What it is.
    pub kind: CompletionKind,
    /// Its type or signature; may be empty.
    pub detail: String,
    /// In Markdown; may be empty.
    pub docs: String,
    /// What it replaces, in bytes: what has been typed of it.
    pub replace: Range<usize>,
    /// What comes there.
    pub text: String,
    /// The same with places to fill in, as LSP writes them: `${1:name}`, `$0`.
    pub snippet: Option<String>,
    /// Edits elsewhere in the same module that it needs: an import.
    pub more: Vec<TextEdit>,
    /// The order of a list: the most fitting first.
    pub sort: String,
    /// Whether it should not be used any more.
    pub deprecated: bool,
}

/// What a [`Completion`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its own name")]
pub enum CompletionKind {
    Param,
    Secret,
    Value,
    Function,
    Record,
    Enum,
    Variant,
    Recipe,
    Image,
    Test,
    Output,
    Step,
    Source,
    Artifact,
    Module,
    Field,
    Member,
    Local,
    Type,
    Keyword,
    Unit,
    Platform,
    Text,
    File,
    Folder,
}

/// What is being called at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// `users.add(name: String, groups: List<String> = [])`
    pub label: String,
    /// In Markdown; may be empty.
    pub docs: String,
    /// In order.
    pub parameters: Vec<Parameter>,
    /// The parameter that is being written, by position.
    pub active: Option<usize>,
}

/// A parameter of a [`Signature`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Where it stands in the label, in bytes.
    pub range: Range<usize>,
    /// In Markdown; may be empty.
    pub docs: String,
}

/// Where something leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// What leads there: the name that was asked about, in bytes.
    pub origin: Range<usize>,
    /// All of what it leads to.
    pub place: Place,
    /// The name of it, in bytes of the same module.
    pub name: Range<usize>,
}

/// How a name is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Its value is asked.
    Read,
    /// It is bound, or a field is set.
    Write,
}

/// A word that an editor shows though nobody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Where it is shown, in bytes.
    pub offset: usize,
    /// With its punctuation: `: Int`, `size:`.
    pub label: String,
    /// What it says.
    pub kind: HintKind,
}

/// What a [`Hint`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HintKind {
    /// The type that a name has without an annotation.
    Type,
    /// The parameter that an argument is for.
    Argument,
    /// The digest that a source is pinned to.
    Pin,
}

/// A change that an editor offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What it does: "write `5MiB`".
    pub title: String,
    /// Why it is offered.
    pub kind: ActionKind,
    /// What is changed; never empty.
    pub edits: Vec<FileEdit>,
    /// The diagnostic that it mends, by its position among those of the module.
    pub fixes: Option<usize>,
    /// Whether it is plainly what is meant.
    pub preferred: bool,
}

/// Why an [`Action`] is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// It mends a diagnostic.
    Fix,
    /// It mends every diagnostic that has a safe fix.
    FixAll,
    /// It gives a part a name.
    Extract,
    /// It puts a value in the place of its name.
    Inline,
    /// It writes the same differently.
    Rewrite,
    /// It sorts the imports.
    SortImports,
}

/// A recipe, or what uses recipes: an image, a test.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: CallerKind,
    /// All of it.
    pub place: Place,
    /// Its name, in bytes of the same module.
    pub name_range: Range<usize>,
}

/// What a [`Caller`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its own name")]
pub enum CallerKind {
    Recipe,
    Image,
    Test,
}

/// Uses of one recipe in one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The other side: who uses it, or what is used.
    pub of: Caller,
    /// The recipe's name where it is used, in bytes of the module of the one that uses it.
    pub ranges: Vec<Range<usize>>,
}

/// A place above which an editor shows what the last plan says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lens {
    /// The item's name, in bytes.
    pub range: Range<usize>,
    /// The item in plans: nodes of an image `web` lie below `web`, an output is listed by its name.
    pub address: String,
}

/// Words that no name can be.
fn reserved_words() -> [&'static str; 12] {
    rename::RESERVED
}

/// What is known of the name at an offset of a module; `pins` gives what the source at an address is pinned to.
pub fn hover(analysis: &Analysis, path: &str, offset: usize, pins: &dyn Fn(&str) -> Option<String>) -> Option<Hover> {
    names::hover(&View::of(analysis), path, offset, pins)
}

/// What could be written at an offset of a module, the most fitting first.
pub fn completion(analysis: &Analysis, world: &dyn World, path: &str, offset: usize) -> Vec<Completion> {
    complete::completion(&View::of(analysis), world, path, offset)
}

/// What is being called at an offset of a module.
pub fn signature(analysis: &Analysis, path: &str, offset: usize) -> Option<Signature> {
    calls::signature(&View::of(analysis), path, offset)
}

/// Where the name at an offset is defined; the standard library is at `std/…`.
pub fn definition(analysis: &Analysis, path: &str, offset: usize) -> Vec<Target> {
    names::definition(&View::of(analysis), path, offset)
}

/// Where the name at an offset gets into its module: of what was imported, the import.
pub fn declaration(analysis: &Analysis, path: &str, offset: usize) -> Vec<Target> {
    names::declaration(&View::of(analysis), path, offset)
}

/// Where the records and enums in the type of what stands at an offset are defined.
pub fn type_definition(analysis: &Analysis, path: &str, offset: usize) -> Vec<Target> {
    names::type_definition(&View::of(analysis), path, offset)
}

/// Every use, in all modules, of what the name at an offset means.
pub fn references(analysis: &Analysis, path: &str, offset: usize, declaration: bool) -> Vec<Place> {
    names::references(&View::of(analysis), path, offset, declaration)
}

/// Every use, in the same module, of what the name at an offset means.
pub fn highlight(analysis: &Analysis, path: &str, offset: usize) -> Vec<(Range<usize>, Access)> {
    names::highlight(&View::of(analysis), path, offset)
}

/// The name at an offset and where it stands, if it can be changed.
///
/// # Errors
/// Why it cannot, for people.
pub fn prepare_rename(analysis: &Analysis, path: &str, offset: usize) -> Result<(Range<usize>, String), String> {
    rename::prepare(&View::of(analysis), path, offset)
}

/// The edits that give what stands at an offset another name in all modules.
///
/// # Errors
/// Why it cannot be done, for people: what the new name would break.
pub fn rename(analysis: &Analysis, path: &str, offset: usize, new: &str) -> Result<Vec<FileEdit>, String> {
    rename::rename(&View::of(analysis), path, offset, new)
}

/// What is shown beside a part of a module's text; `pins` gives what the source at an address is pinned to.
pub fn inlay_hints(
    analysis: &Analysis,
    path: &str,
    range: Range<usize>,
    pins: &dyn Fn(&str) -> Option<String>,
) -> Vec<Hint> {
    hints::inlay(&View::of(analysis), path, &range, pins)
}

/// The changes that could be made at a part of a module.
pub fn actions(analysis: &Analysis, path: &str, range: Range<usize>) -> Vec<Action> {
    actions::actions(&View::of(analysis), analysis.diagnostics(path), path, &range)
}

/// The recipe, image or test at an offset.
pub fn recipe_at(analysis: &Analysis, path: &str, offset: usize) -> Option<Caller> {
    calls::recipe_at(&View::of(analysis), path, offset)
}

/// The bodies that use a recipe; of an image, the images that continue it and its tests.
pub fn callers(analysis: &Analysis, of: &Caller) -> Vec<Call> {
    calls::callers(&View::of(analysis), of)
}

/// The recipes that a body uses, and the image that it begins with or tests.
pub fn callees(analysis: &Analysis, of: &Caller) -> Vec<Call> {
    calls::callees(&View::of(analysis), of)
}

/// The items of a module of which plans say something: images and outputs.
pub fn lenses(analysis: &Analysis, path: &str) -> Vec<Lens> {
    hints::lenses(&View::of(analysis), path)
}
