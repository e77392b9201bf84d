//! The one door through which the outside enters the compiler.

use std::sync::Arc;

pub use imgc_plan::{DirRef, FileRef};

/// What the compiler asks of the outside. The command line hands in a disk, the editor unsaved buffers, tests a map.
///
/// Paths are relative to the package with `/` between parts and no `.` or `..` left in them, or absolute where an
/// argument from outside named them.
pub trait World {
    /// The text of a module.
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError>;

    /// What stands at a path; cheap, for `check`. Links are followed inside the package.
    fn find(&self, path: &str) -> Result<Found, WorldError>;

    /// What stands directly in a directory, by name; cheap, for completion. Nothing where it cannot be read.
    fn list(&self, _path: &str) -> Vec<(String, Found)> {
        Vec::new()
    }

    /// A file with its digest. Only asked when a plan is made.
    fn file(&self, path: &str) -> Result<FileRef, WorldError>;

    /// The text of a file, for `.text`.
    fn text(&self, path: &str) -> Result<Arc<str>, WorldError>;

    /// A directory with the digests of all that is in it, less `.git`, `out/`, `imgc.lock`, what `.imgcignore` says
    /// and what `ignore` says. Only asked when a plan is made.
    fn dir(&self, path: &str, ignore: &[String]) -> Result<DirRef, WorldError>;

    /// The argument for a param of the applied module, if one was given; `--set` wins over `--vars` over
    /// `IMGC_VAR_name`.
    fn argument(&self, param: &str) -> Option<Argument>;

    /// The names of all arguments given by `--set` or `--vars`, so that unknown ones can be refused.
    fn argument_names(&self) -> Vec<(String, String)>;
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Neither: a socket, a device.
    Other,
    /// Nothing.
    Missing,
}

/// An argument for a param.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// What was given.
    pub value: ArgumentValue,
    /// `--set`, `--vars prod.toml`, `IMGC_VAR_n`: for messages.
    pub origin: String,
    /// The directory that relative `File` and `Dir` arguments are below, absolute.
    pub base: String,
    /// Where it was written, so that a message can point at it.
    pub place: Option<ArgumentPlace>,
}

/// Where an argument was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentPlace {
    /// The file of values as it was named, else what stands for one: `--set`, `environment`.
    pub path: String,
    /// All of the file, else the argument as it would be typed.
    pub text: String,
    /// Byte offset of the value in the text.
    pub start: usize,
    /// Byte offset after it.
    pub end: usize,
}

/// The form an argument came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentValue {
    /// Text to be read by the param's type: `8GiB`, `true`, `["a", "b"]`.
    Text(String),
    /// A value of a TOML or JSON file.
    Data(serde_json::Value),
}

/// Why something cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// Nothing is there.
    #[error("`{path}` does not exist")]
    Missing {
        /// As it was asked.
        path: String,
    },
    /// A link leads out of the package.
    #[error("`{path}` leads out of the package")]
    Outside {
        /// As it was asked.
        path: String,
    },
    /// A module is larger than 1 MiB.
    #[error("`{path}` is larger than the limit of 1 MiB")]
    TooLarge {
        /// As it was asked.
        path: String,
    },
    /// A module is not UTF-8.
    #[error("`{path}` is not UTF-8: byte {at} is invalid")]
    NotText {
        /// As it was asked.
        path: String,
        /// Offset of the first bad byte.
        at: usize,
    },
    /// The system said no.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// As it was asked.
        path: String,
        /// What the system said.
        reason: String,
    },
}
