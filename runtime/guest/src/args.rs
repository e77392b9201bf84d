//! The arguments of the steps, as plans carry them in plain form.

use std::collections::BTreeMap;

use imgc_backend::Text;
use imgc_plan::{DirRef, FileRef};
use serde::{Deserialize, Serialize};

/// `sh`: runs a POSIX shell script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShArgs {
    /// The whole script, with every value already escaped.
    pub script: String,
    /// On top of the image's environment.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Files with secrets, by their paths below `/run`.
    #[serde(default)]
    pub secret_files: BTreeMap<String, Text>,
    /// Who runs it: a name or number of the guest.
    #[serde(default = "root")]
    pub user: String,
    /// Absolute in the guest.
    #[serde(default = "slash")]
    pub workdir: String,
    /// In milliseconds, for one try.
    #[serde(default = "half_an_hour")]
    pub timeout: u64,
    /// How often it is tried again.
    #[serde(default)]
    pub retries: u32,
    /// What counts as success.
    #[serde(default = "zero")]
    pub exit_codes: Vec<i32>,
    /// What a lost connection means.
    #[serde(default)]
    pub disconnect: Disconnect,
    /// Whether the script may reach the network.
    #[serde(default = "yes")]
    pub network: bool,
    /// How results are reused; the engine's business.
    #[serde(default)]
    pub cache: Cache,
}

/// What a connection means that ends while a script runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disconnect {
    /// The step failed.
    #[default]
    Error,
    /// The script restarts the machine.
    Expected,
}

/// How the results of a step are reused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// As long as its fingerprint is the same.
    #[default]
    Auto,
    /// Never.
    Never,
    /// For so long.
    Ttl {
        /// In milliseconds.
        d: u64,
    },
    /// As long as this text is the same, too.
    Key {
        /// The text.
        k: String,
    },
}

/// `copy`: puts files of the package in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyArgs {
    /// What to copy; of a directory its contents.
    pub src: Source,
    /// Absolute in the guest. A file lands below it under its own name where it ends in `/`.
    pub dest: String,
    /// Of every file; directories get the `x` bits that fit. None: as the source has them.
    #[serde(default)]
    pub mode: Option<u32>,
    /// `user` or `user:group` of the guest.
    #[serde(default = "root_root")]
    pub owner: String,
}

/// What `copy` copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A directory; stands first, since its record has all fields of a file's but the size.
    Dir(DirRef),
    /// A file.
    File(FileRef),
}

/// `write`: puts a text in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteArgs {
    /// Absolute in the guest.
    pub dest: String,
    /// The whole content.
    pub text: String,
    /// Permission bits.
    #[serde(default = "readable")]
    pub mode: u32,
    /// `user` or `user:group` of the guest.
    #[serde(default = "root_root")]
    pub owner: String,
}

/// `restart`: starts the machine anew and waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartArgs {
    /// In milliseconds: until the machine answers again.
    #[serde(default = "ten_minutes")]
    pub timeout: u64,
}

/// `wait`: until something is so in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitArgs {
    /// What is waited for.
    pub until: For,
    /// In milliseconds.
    #[serde(default = "ten_minutes")]
    pub timeout: u64,
}

/// What [`WaitArgs`] wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum For {
    /// Something listens on a TCP port of the guest.
    Port {
        /// Its number.
        port: u16,
    },
    /// A file or directory is there.
    File {
        /// Absolute in the guest.
        path: String,
    },
    /// A script succeeds.
    Command {
        /// As `sh` takes it.
        script: String,
    },
}

fn root() -> String {
    "root".to_owned()
}

fn root_root() -> String {
    "root:root".to_owned()
}

fn slash() -> String {
    "/".to_owned()
}

fn half_an_hour() -> u64 {
    30 * 60 * 1000
}

fn ten_minutes() -> u64 {
    10 * 60 * 1000
}

fn zero() -> Vec<i32> {
    vec![0]
}

fn yes() -> bool {
    true
}

fn readable() -> u32 {
    0o644
}
