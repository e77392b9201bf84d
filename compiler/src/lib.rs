//! The compiler: text to plan, as pure functions from data to data plus diagnostics.
//!
//! `parse → resolve → check → evaluate → lower`. It touches no file, clock, environment or network: everything from
//! outside enters through [`World`]. Stages never fail; they return what they could make and what they have to say.

pub mod analysis;
pub mod ast;
mod check;
mod core;
pub mod diagnostic;
pub mod driver;
mod evaluate;
pub mod fix;
pub mod format;
pub mod ide;
mod lint;
mod lower;
mod modules;
mod names;
pub mod pages;
pub mod parse;
mod paths;
pub mod reference;
pub mod script;
pub mod sources;
pub mod span;
mod spelling;
mod stdlib;
pub mod syntax;
mod types;
pub mod world;

pub use diagnostic::{Diagnostic, Fix, Label, Severity, Tag};
pub use driver::{Checked, Described, Planned, check, check_library, plan};
pub use sources::{Place, Source, Sources};
pub use span::{Location, ModuleId, Span};
pub use stdlib::standard_module;
pub use world::World;
