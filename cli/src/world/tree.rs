//! Reading a directory for `dir()`: names, modes, links and digests in a fixed order.

use std::path::{Path, PathBuf};

use imgc_compiler::world::WorldError;
use imgc_plan::{EntryKind, TreeEntry};
use rayon::prelude::*;

use super::ignore::Rules;
use super::{HashFile, reduced_mode, unreadable};
use crate::fast_path::Stamp;

/// What is in a directory.
pub(super) struct Tree {
    /// Sorted by path.
    pub(super) entries: Vec<TreeEntry>,
    /// Of everything that was looked at, as of before it was read.
    pub(super) stamps: Vec<(PathBuf, Stamp)>,
}

/// A walk in progress.
struct Walk<'a> {
    /// As the program names the directory, for messages.
    shown: &'a str,
    package: &'a Path,
    found: Vec<(String, PathBuf, std::fs::Metadata)>,
    stamps: Vec<(PathBuf, Stamp)>,
}

/// Reads the directory at `root`; links stay links, and one that leads out of `package` is an error.
pub(super) fn read(
    root: &Path,
    shown: &str,
    package: &Path,
    ignore: &[String],
    hash: &HashFile,
) -> Result<Tree, WorldError> {
    let rules = Rules::new(package, root, ignore).map_err(|reason| unreadable(shown, &reason))?;
    let mut walk = Walk { shown, package, found: Vec::new(), stamps: Vec::new() };
    walk.dir(root, "", &rules)?;
    let Walk { mut found, stamps, .. } = walk;
    found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let entries: Result<Vec<TreeEntry>, WorldError> =
        found.into_par_iter().map(|(path, real, meta)| entry(shown, package, path, &real, &meta, hash)).collect();
    Ok(Tree { entries: entries?, stamps })
}

impl Walk<'_> {
    fn dir(&mut self, dir: &Path, below: &str, rules: &Rules) -> Result<(), WorldError> {
        let at = if below.is_empty() { self.shown.to_owned() } else { format!("{}/{below}", self.shown) };
        let failed = |error: std::io::Error| super::world_error(&at, &error);
        let meta = std::fs::metadata(dir).map_err(failed)?;
        self.stamps.push((dir.to_path_buf(), Stamp::of(&meta)));
        if !meta.is_dir() {
            return Err(unreadable(&at, "it is not a directory"));
        }
        let rules = rules.below(dir).map_err(|reason| unreadable(&at, &reason))?;
        self.stamp_rules(dir);
        for found in std::fs::read_dir(dir).map_err(failed)? {
            let found = found.map_err(failed)?;
            let real = found.path();
            let meta = found.metadata().map_err(failed)?;
            if rules.leave_out(&real, meta.is_dir()) {
                continue;
            }
            let Some(name) = found.file_name().to_str().map(str::to_owned) else {
                return Err(unreadable(&at, &format!("the name {} is not UTF-8", found.file_name().display())));
            };
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if meta.is_dir() {
                self.dir(&real, &path, &rules)?;
            } else {
                self.stamps.push((real.clone(), Stamp::of(&meta)));
            }
            self.found.push((path, real, meta));
        }
        Ok(())
    }

    /// The rules in a directory and in those above it are inputs as well.
    fn stamp_rules(&mut self, dir: &Path) {
        for above in dir.ancestors().take_while(|above| above.starts_with(self.package)) {
            let file = above.join(super::ignore::IGNORE_FILE);
            let stamp = if file.is_symlink() { Stamp::Doubtful(true) } else { Stamp::of_link(&file) };
            self.stamps.push((file, stamp));
        }
    }
}

fn entry(
    shown: &str,
    package: &Path,
    path: String,
    real: &Path,
    meta: &std::fs::Metadata,
    hash: &HashFile,
) -> Result<TreeEntry, WorldError> {
    let at = format!("{shown}/{path}");
    let failed = |error: std::io::Error| super::world_error(&at, &error);
    if meta.is_dir() {
        return Ok(TreeEntry { path, kind: EntryKind::Dir, mode: 0o755 });
    }
    if meta.is_symlink() {
        let target = std::fs::read_link(real).map_err(failed)?;
        if leads_out(package, real, &target) {
            return Err(WorldError::Outside { path: at });
        }
        let Some(target) = target.to_str().map(str::to_owned) else {
            return Err(unreadable(&at, "the text of the link is not UTF-8"));
        };
        return Ok(TreeEntry { path, kind: EntryKind::Symlink { target }, mode: 0o777 });
    }
    if !meta.is_file() {
        return Err(unreadable(&at, "it is neither a file, a directory nor a link"));
    }
    let digest = hash(real, meta).map_err(failed)?;
    Ok(TreeEntry { path, kind: EntryKind::File { digest, size: meta.len() }, mode: reduced_mode(meta) })
}

/// Whether a link's text, read where the link stands, names something that is not in the package.
fn leads_out(package: &Path, link: &Path, target: &Path) -> bool {
    if target.is_absolute() {
        return true;
    }
    let Some(from) = link.parent().and_then(|dir| dir.strip_prefix(package).ok()) else { return true };
    super::leaves(&from.join(target))
}
