//! The compiler: text to plan, as pure functions from data to data plus diagnostics.
//!
//! `parse → resolve → check → evaluate → lower`. It touches no file, clock, environment or network: everything from
//! outside enters through [`World`]. Stages never fail; they return what they could make and what they have to say.

pub mod ast;
pub mod diagnostic;
pub mod driver;
pub mod format;
pub mod parse;
pub mod script;
pub mod sources;
pub mod span;
pub mod syntax;
pub mod world;

pub use diagnostic::{Diagnostic, Fix, Label, Severity};
pub use driver::{Checked, Described, Planned, check, plan};
pub use sources::{Place, Source, Sources};
pub use span::{Location, ModuleId, Span};
pub use world::World;
