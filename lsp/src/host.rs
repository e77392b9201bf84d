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

    /// What the sources of a module (`main.imgc`) of the package at `root` are pinned to: the source's address in the
    /// module, such as `web/from`, and the digest.
    fn pins(&self, root: &Path, module: &str) -> Vec<(String, String)>;

    /// What the last plan of such a module says of its outputs and images: a name, and a few words.
    fn planned(&self, root: &Path, module: &str) -> Vec<(String, String)>;
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

    fn pins(&self, _: &Path, _: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn planned(&self, _: &Path, _: &str) -> Vec<(String, String)> {
        Vec::new()
    }
}
