//! Tests at the compiler's boundary: text and a world in, plan and diagnostics out.

mod corpus;
mod examples;
mod fixes;
mod formatting;
mod performance;
mod properties;
mod random;
mod render;
mod robust;
mod samples;
mod shell;
mod syntax;
mod world;
