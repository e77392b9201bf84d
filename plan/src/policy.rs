//! Cache policies: for how long the result of a step may be used again.

use std::time::Duration;

use crate::node::{Node, Work};
use crate::value::Value;

/// What a step's `cache` argument says. It is in no fingerprint, but for the text of [`CachePolicy::Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachePolicy<'a> {
    /// As long as its fingerprint is the same.
    Auto,
    /// Never: the step runs in each apply.
    Never,
    /// For so long after it ran.
    Ttl(Duration),
    /// As long as its fingerprint, which holds this text, is the same.
    Key(&'a str),
}

impl<'a> CachePolicy<'a> {
    /// The name of the argument.
    pub const ARGUMENT: &'static str = "cache";

    /// The policy of a node; [`CachePolicy::Auto`] for all but steps, and where nothing is said.
    pub fn of(node: &'a Node) -> Self {
        match (&node.work, node.args.get(Self::ARGUMENT)) {
            (Work::Step(_), Some(value)) => Self::read(value).unwrap_or(Self::Auto),
            (Work::Step(_) | Work::Source(_) | Work::Artifact(_), _) => Self::Auto,
        }
    }

    /// The policy that a value is; none where it is not one.
    pub fn read(value: &'a Value) -> Option<Self> {
        let Value::Variant { name, payload } = value else { return None };
        match (&**name, payload.values().next()) {
            ("auto", _) => Some(Self::Auto),
            ("never", _) => Some(Self::Never),
            ("ttl", Some(Value::Duration(milliseconds))) => Some(Self::Ttl(Duration::from_millis(*milliseconds))),
            ("key", Some(Value::Text(text))) => Some(Self::Key(text)),
            (_, _) => None,
        }
    }
}
