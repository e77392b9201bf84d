//! How things look to people, and to programs that read JSON.

pub(crate) mod diagnostic;
pub(crate) mod failure;
pub(crate) mod graph;
pub(crate) mod lock;
pub(crate) mod outlook;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod reference;
pub(crate) mod sarif;
pub(crate) mod snippet;
pub(crate) mod tests;
pub(crate) mod text;
