//! The standard library: declared as the runtime reads it, with examples that compile and run, and documented.

mod agreement;
mod checks;
mod examples;
mod program;
mod programs;
mod reference;

mod run;
