//! The stages in order: what `imgc check` and `imgc plan` ask for.

use imgc_plan::Plan;

use crate::diagnostic::Diagnostic;
use crate::sources::Sources;
use crate::span::Location;
use crate::world::World;

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
    /// The tests of the applied module, in source order; checked, but not run by anything yet.
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

/// Checks the module at `entry` (relative to the package) and all that it imports, without asking for any argument
/// or digest.
pub fn check(world: &dyn World, entry: &str) -> Checked {
    let _ = (world, entry);
    Checked::default()
}

/// Makes the plan of the module at `entry` with the arguments that the world holds.
pub fn plan(world: &dyn World, entry: &str) -> Planned {
    let _ = (world, entry);
    Planned { plan: None, diagnostics: Vec::new(), sources: Sources::default() }
}
