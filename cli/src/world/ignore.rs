//! What a `dir()` leaves out.

use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::lockfile::LOCK;

/// The file whose patterns are left out, in the directory where it stands and below.
pub(crate) const IGNORE_FILE: &str = ".imgcignore";

/// The rules that hold in one directory: those of the directories above it too, the nearest last.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    package: PathBuf,
    said: Option<Gitignore>,
    files: Vec<Gitignore>,
}

impl Rules {
    /// The rules in `dir`: the `ignore:` patterns count from it, `.imgcignore` files are read from the package down.
    ///
    /// # Errors
    /// A pattern that cannot be read, in words.
    pub(super) fn new(package: &Path, dir: &Path, patterns: &[String]) -> Result<Self, String> {
        let mut builder = GitignoreBuilder::new(dir);
        for pattern in patterns {
            builder
                .add_line(None, pattern)
                .map_err(|error| format!("the pattern `{pattern}` does not hold: {error}"))?;
        }
        let said = builder.build().map_err(|error| error.to_string())?;
        let mut rules = Self { package: package.to_path_buf(), said: Some(said), files: Vec::new() };
        let mut above: Vec<&Path> = dir.ancestors().skip(1).take_while(|above| above.starts_with(package)).collect();
        above.reverse();
        for above in above {
            rules = rules.below(above)?;
        }
        Ok(rules)
    }

    /// The rules in `dir`, whose parent these belong to.
    pub(super) fn below(&self, dir: &Path) -> Result<Self, String> {
        let mut rules = self.clone();
        let file = dir.join(IGNORE_FILE);
        if file.is_file() {
            let mut builder = GitignoreBuilder::new(dir);
            if let Some(error) = builder.add(&file) {
                return Err(format!("`{}` does not hold: {error}", file.display()));
            }
            rules.files.push(builder.build().map_err(|error| error.to_string())?);
        }
        Ok(rules)
    }

    /// Whether something is left out.
    pub(super) fn leave_out(&self, path: &Path, is_dir: bool) -> bool {
        let name = path.file_name().unwrap_or_default();
        let at_top = path.parent() == Some(&self.package);
        if name == ".git" || (at_top && (name == LOCK || (name == "out" && is_dir))) {
            return true;
        }
        for rules in self.said.iter().chain(self.files.iter().rev()) {
            match rules.matched(path, is_dir) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }
}
