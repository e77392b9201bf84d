//! Tests at the compiler's boundary: text and a world in, plan and diagnostics out.

mod corpus;
mod examples;
mod performance;
mod render;
mod world;
