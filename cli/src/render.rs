//! How things look to people.

pub(crate) mod diagnostic;
