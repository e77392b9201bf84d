//! What holds in an image after an example ran in it.

/// Run with the example's name in `EXAMPLE`; an example without a case fails.
pub(crate) const SCRIPT: &str = include_str!("checks.sh");
