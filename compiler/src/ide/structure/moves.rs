//! What has to be written anew when files and folders of a package get other names.

#![expect(clippy::wildcard_enum_match_arm, reason = "most kinds of nodes are not what is asked for")]

use super::links::path_literals;
use super::node::{At, plain_text, roots};
use super::tree;
use crate::analysis::Analysis;
use crate::ide::{FileEdit, TextEdit};
use crate::paths;
use crate::syntax::Kind;

/// The edits after which every import, `file()` and `dir()` means what it meant, when the files or folders of `moves`
/// (old path, new path) have their new names. Edits are in the modules as they are called before the move.
///
/// An import without an alias binds the name of its file; where that changes, the edit keeps the old name by `as`.
pub fn rename_files(analysis: &Analysis, moves: &[(String, String)]) -> Vec<FileEdit> {
    let mut files = Vec::new();
    for path in analysis.paths().filter(|path| !path.starts_with("std/")) {
        let Some(tree) = tree(analysis, path) else { continue };
        let module = Module { path, moved: moved(path, moves), moves };
        let mut edits = Vec::new();
        for root in roots(&tree) {
            root.each(&mut |node| match node.kind() {
                Kind::Import => module.import(node, &mut edits),
                Kind::Expr => module.literals(node, &mut edits),
                _ => {}
            });
        }
        if !edits.is_empty() {
            edits.sort_by_key(|edit| edit.range.start);
            files.push(FileEdit { path: path.to_owned(), edits });
        }
    }
    files
}

/// A module that may move, beside others that may.
struct Module<'a> {
    path: &'a str,
    moved: String,
    moves: &'a [(String, String)],
}

impl Module<'_> {
    fn import(&self, import: At<'_>, edits: &mut Vec<TextEdit>) {
        let Some((written, range)) = import.child(Kind::Text).and_then(plain_text) else { return };
        let Some(new) = self.rewritten(written) else { return };
        let (before, after) = (stem(written), stem(&new));
        let is_whole = import.child(Kind::Name).is_none() && import.child(Kind::ImportNames).is_none();
        let alias = (is_whole && before != after && !before.is_empty()).then(|| before.to_owned());
        edits.push(TextEdit { range, text: new });
        if let Some(alias) = alias {
            edits.push(TextEdit { range: import.end()..import.end(), text: format!(" as {alias}") });
        }
    }

    fn literals(&self, expr: At<'_>, edits: &mut Vec<TextEdit>) {
        for (literal, _) in path_literals(expr) {
            if let Some((written, range)) = plain_text(literal)
                && let Some(text) = self.rewritten(written)
            {
                edits.push(TextEdit { range, text });
            }
        }
    }

    /// What is to be written, where that is something else.
    fn rewritten(&self, written: &str) -> Option<String> {
        let old = paths::resolve(self.path, written).ok()?;
        let new = moved(&old, self.moves);
        if paths::resolve(&self.moved, written).is_ok_and(|found| found == new) {
            return None;
        }
        let slash = if written.ends_with('/') { "/" } else { "" };
        Some(format!("{}{slash}", relative(&self.moved, &new)))
    }
}

/// The path after the moves: its own, or that of a folder it lies in.
fn moved(path: &str, moves: &[(String, String)]) -> String {
    let fits = |(old, new): &(String, String)| {
        let rest = path.strip_prefix(old.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", new.trim_end_matches('/')))
    };
    // The innermost folder that moves decides.
    let best = moves.iter().filter(|(old, _)| !old.is_empty()).filter_map(|pair| Some((pair.0.len(), fits(pair)?)));
    best.max_by_key(|(length, _)| *length).map_or_else(|| path.to_owned(), |(_, path)| path)
}

/// How the module at `from` writes the path `to`.
fn relative(from: &str, to: &str) -> String {
    let folder: Vec<&str> = from.rsplit_once('/').map(|(folder, _)| folder.split('/').collect()).unwrap_or_default();
    let target: Vec<&str> = to.split('/').filter(|part| !part.is_empty()).collect();
    let shared = folder.iter().zip(&target).take_while(|(a, b)| a == b).count();
    let up = folder.len() - shared;
    let mut parts: Vec<&str> = if up == 0 { vec!["."] } else { vec![".."; up] };
    parts.extend(target.iter().skip(shared));
    parts.join("/")
}

/// The name that an import without alias binds.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".imgc").unwrap_or(name)
}
