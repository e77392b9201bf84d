//! Why a node has to run: the first cause, found by comparing the spec it had with the spec it has.
//!
//! It knows the fields that [`imgc_plan::spec`] writes down, and nothing of what any kind does with them.

mod difference;
mod full;
mod text;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use imgc_plan::{Address, Plan, Spec};
use serde::Serialize;

use crate::remember::Remembered;

pub(crate) use difference::Sides;
pub use full::{Explanation, full};

/// Why a node runs. Its text is made in one place, by `Display`; as JSON it has a field `cause` with the variant's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// Nothing was ever built under this address.
    New,
    /// Nothing was built under this address, but the same thing was under another one, with other parents.
    Renamed {
        /// The address it had.
        from: Address,
    },
    /// An argument differs.
    Argument {
        /// Its name, with the fields and keys in it: `env.PATH`.
        argument: String,
        /// How.
        change: Change,
    },
    /// A file of the package differs.
    File {
        /// The argument that names it.
        argument: String,
        /// Relative to the package.
        path: String,
        /// How.
        change: FileChange,
    },
    /// Files of a directory differ.
    Tree {
        /// The argument that names the directory.
        argument: String,
        /// Each entry, relative to the package, and how; at most ten, by path.
        changes: Vec<TreeChange>,
        /// How many more there are.
        more: usize,
    },
    /// A node that it is made from left something else.
    Parent {
        /// That node.
        address: Address,
    },
    /// It is made from another node than before.
    Moved {
        /// The node it was made from.
        from: Address,
        /// The node it is made from now.
        to: Address,
    },
    /// Its source is locked to something else.
    Lock {
        /// The name of the source.
        name: String,
        /// What was pinned and now is; at most ten.
        changes: Vec<Pinned>,
        /// How many more there are.
        more: usize,
    },
    /// The package archives that its network may reach are locked to something else.
    Archives,
    /// The source at its root has another epoch.
    Epoch {
        /// Seconds since 1970.
        before: String,
        /// Seconds since 1970.
        after: String,
    },
    /// This imgc does its kind in another way.
    Revision {
        /// The kind.
        kind: String,
        /// The revision that ran.
        before: String,
        /// The revision there is.
        after: String,
    },
    /// A secret has another name or version.
    Secret {
        /// Its name.
        secret: String,
        /// The version that was used; empty where there was none.
        before: String,
        /// The version there is.
        after: String,
    },
    /// Something else about it differs: `platform`, `network`, `backend`, `kind`, `machine.firmware`.
    Property {
        /// What.
        property: String,
        /// What it was; none where there was none.
        before: Option<String>,
        /// What it is.
        after: Option<String>,
    },
    /// This imgc computes fingerprints in another way.
    Encoding,
    /// Its policy is `never`.
    Never,
    /// Its policy is `ttl`, and its time has passed.
    Expired,
    /// It stands on a node that runs anew, and its result is tied to that run.
    Anew {
        /// That node.
        address: Address,
    },
    /// Nothing differs; the result is no longer in the store.
    Evicted,
    /// Nothing differs; its layer was never kept, since that cost more than it was worth.
    NotKept,
    /// `--rerun` asks for it.
    Rerun,
    /// `--no-cache` asks for it.
    NoCache,
}

/// How an argument differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A script.
    Script {
        /// The first line that differs, from 1.
        line: usize,
        /// How many lines differ.
        lines: usize,
    },
    /// A list.
    List {
        /// Items that it has now and had not.
        added: Vec<String>,
        /// Items that it had.
        removed: Vec<String>,
    },
    /// Any other value, as text.
    Value {
        /// None where it was not given.
        before: Option<String>,
        /// None where it is not given.
        after: Option<String>,
    },
}

/// How a file differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum FileChange {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its content.
    Content {
        /// How many lines, where that is known.
        lines: Option<usize>,
    },
    /// Its permissions.
    Mode {
        /// In octal.
        before: String,
        /// In octal.
        after: String,
    },
    /// Where a link points to.
    Target {
        /// The link's text now.
        after: String,
    },
    /// What it is: `file`, `dir`, `symlink`.
    Kind {
        /// What it is now.
        after: String,
    },
}

/// An entry of a directory that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TreeChange {
    /// Relative to the package.
    pub path: String,
    /// How.
    #[serde(flatten)]
    pub change: FileChange,
}

/// A pin of a source that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// `digest`, `packages`.
    pub pin: String,
    /// None where there was none.
    pub before: Option<String>,
    /// None where there is none.
    pub after: Option<String>,
}

/// What explanations are made from.
pub(crate) struct Explainer<'a> {
    plan: &'a Plan,
    package: &'a Path,
    renames: Renames<'a>,
}

impl<'a> Explainer<'a> {
    /// `package` is the directory that paths of files count from.
    pub(crate) fn new(plan: &'a Plan, package: &'a Path, remembered: &'a HashMap<Address, Remembered>) -> Self {
        Self { plan, package, renames: Renames::new(plan, remembered) }
    }

    /// The cause for a node whose fingerprint is not in the index, given what was kept under its address.
    pub(crate) fn cause(&self, id: imgc_plan::NodeId, new: &Spec, old: Option<&Remembered>) -> Cause {
        let Some(remembered) = old else {
            return match self.renames.from(new) {
                Some(from) => Cause::Renamed { from: from.clone() },
                None => Cause::New,
            };
        };
        let first = self.differences(id, new, remembered).into_iter().next();
        first.unwrap_or(if remembered.history.dropped { Cause::NotKept } else { Cause::Evicted })
    }

    /// Everything that differs, the first cause first.
    pub(crate) fn differences(&self, id: imgc_plan::NodeId, new: &Spec, old: &Remembered) -> Vec<Cause> {
        let Some((spec, lines)) = old.spec() else { return vec![Cause::Encoding] };
        Sides { plan: self.plan, package: self.package, node: self.plan.node(id), old: &spec, new, lines: &lines }
            .causes()
    }
}

/// Finds the address at which a spec with the same arguments stood before.
struct Renames<'a> {
    by_fields: HashMap<Vec<(String, String)>, &'a Address>,
}

impl<'a> Renames<'a> {
    /// Of all that is remembered, what stands at no address of the plan.
    fn new(plan: &Plan, remembered: &'a HashMap<Address, Remembered>) -> Self {
        if remembered.is_empty() {
            return Self { by_fields: HashMap::new() };
        }
        let used: HashSet<&Address> = plan.nodes.iter().map(|node| &node.address).collect();
        let mut gone: Vec<_> = remembered.iter().filter(|(address, _)| !used.contains(address)).collect();
        gone.sort_by_key(|(address, _)| *address);
        let own_fields = |(address, old): (&'a Address, &Remembered)| Some((own(&old.spec()?.0), address));
        let by_fields = gone.into_iter().rev().filter_map(own_fields).collect();
        Self { by_fields }
    }

    fn from(&self, new: &Spec) -> Option<&'a Address> {
        self.by_fields.get(&own(new)).copied()
    }
}

/// The fields that are the node's own: what its parents left does not count.
fn own(spec: &Spec) -> Vec<(String, String)> {
    spec.fields.iter().filter(|(path, _)| !path.starts_with("parent.")).cloned().collect()
}
