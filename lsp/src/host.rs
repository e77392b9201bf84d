//! What the server asks of the program that runs it: all that is known of a package beside its texts.

use std::path::{Path, PathBuf};

/// The program around the server. Each question is answered from files that are small and at hand, without a network.
pub trait Host: Send + Sync {
    /// The version of the program, as clients show it.
    fn version(&self) -> String;

    /// A read-only file that holds `text`, which we call `path` (`std/apt.imgc`): for clients that show files only.
    fn file_of(&self, path: &str, text: &str) -> Option<PathBuf>;

    /// What we call the text of such a file.
    fn path_of(&self, file: &Path) -> Option<String>;

    /// What the sources of the package at `root` are pinned to: what a program writes, such as `debian:13`, and the digest.
    fn pins(&self, root: &Path) -> Vec<(String, String)>;

    /// What the last plan of the package at `root` says of its outputs and images: an address, and a few words.
    fn planned(&self, root: &Path) -> Vec<(String, String)>;
}

/// A host that knows nothing: everything but what depends on it works.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Host for Alone {
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn file_of(&self, _: &str, _: &str) -> Option<PathBuf> {
        None
    }

    fn path_of(&self, _: &Path) -> Option<String> {
        None
    }

    fn pins(&self, _: &Path) -> Vec<(String, String)> {
        Vec::new()
    }

    fn planned(&self, _: &Path) -> Vec<(String, String)> {
        Vec::new()
    }
}
