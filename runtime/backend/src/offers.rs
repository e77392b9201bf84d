//! What a backend says about itself before anything runs.

/// The static description of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers {
    /// The name that stands in plans: `rootfs`.
    pub backend: &'static str,
    /// Source kinds: `rootfs.debian`.
    pub sources: Vec<Kind>,
    /// Step kinds its machines can run.
    pub steps: Vec<Kind>,
    /// Artifact kinds it can make of its layers: `oci.archive`.
    pub artifacts: Vec<Kind>,
    /// Host tools, for `imgc doctor` and for refusals.
    pub needs: Vec<Need>,
    /// What a commit costs; the engine commits less often where it is dear.
    pub commit: CommitCost,
    /// What its layers say about their content.
    pub states: States,
    /// The fields of its machine records that change the bytes of layers (firmware, the disk's size) and so belong to
    /// fingerprints; the others (memory, CPUs) may change at any time.
    pub machine: Vec<&'static str>,
}

/// Which kind of [`imgc_plan::State`] a backend's layers have; artifacts always have their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// A digest of the content: below a miss a node may still be found.
    Content,
    /// The step that made it: below a miss everything runs.
    Made,
}

/// A kind and the revisions of it that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// As users write it.
    pub name: &'static str,
    /// What its extern declares in the standard library.
    pub revision: u32,
}

/// A host tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The program, such as `mmdebstrap`, looked up in `PATH`; or an absolute file.
    pub program: &'static str,
    /// What it is needed for: "source `rootfs.debian`".
    pub purpose: &'static str,
    /// Debian's package that has it.
    pub package: &'static str,
    /// Source and artifact kinds that cannot be built without it; empty where it is optional.
    pub kinds: &'static [&'static str],
}

/// What committing a layer costs, as a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitCost {
    /// Milliseconds: after every step.
    Free,
    /// Seconds.
    Cheap,
    /// Minutes, or money.
    Dear,
}

/// What a node takes while it runs; what the schedule counts against the limits of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Whole CPUs.
    pub cpus: u32,
    /// In bytes. A node with a machine holds it for as long as the machine is open.
    pub memory: u64,
    /// Machines that stay open from one step of an image to the next, such as virtual machines and instances.
    pub machines: u32,
    /// In bytes, in the store.
    pub disk: u64,
}

/// Why a backend will not do what a plan asks; a diagnostic at plan time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Whether the program or the environment has to change.
    pub fault: crate::Fault,
}
