//! Nothing of a module with errors is lost but what nobody understands.

use imgc_compiler::ide::structure::{Symbol, SymbolKind, folds, links, selections, symbols, tokens};

use crate::modules;
use crate::world::{main, many};

#[test]
fn an_item_cut_short_leaves_the_others_as_they_are() {
    for (path, text) in modules().into_iter().filter(|(path, _)| path.to_string_lossy().contains("examples")) {
        let before = symbols(&main(&text), "main.imgc");
        let broken: Vec<(&Symbol, String)> =
            before.iter().filter_map(|cut| Some((cut, cut_short(&text, cut)?))).collect();
        let texts: Vec<&str> = broken.iter().map(|(_, text)| text.as_str()).collect();
        let (analysis, paths) = many(&texts);
        for ((cut, _), module) in broken.iter().zip(&paths) {
            let after = symbols(&analysis, module);
            for other in before.iter().filter(|other| other.name != cut.name) {
                // A `let` is a statement too: what is open may hold it.
                let kept = other.kind == SymbolKind::Let || after.iter().any(|symbol| symbol.name == other.name);
                assert!(kept, "{}: `{}` was lost when `{}` was cut", path.display(), other.name, cut.name);
            }
        }
    }
}

/// The text without the second half of an item; nothing where that leaves a text of several lines open, which takes all
/// that follows in any language.
fn cut_short(text: &str, cut: &Symbol) -> Option<String> {
    let middle = cut.name_range.end + (cut.range.end - cut.name_range.end) / 2;
    let kept = text.get(..middle)?;
    let is_open = kept.matches("\"\"\"").count() % 2 == 1;
    (!is_open).then(|| format!("{kept}\n{}", &text[cut.range.end..]))
}

#[test]
fn no_question_panics_on_any_prefix() {
    let found = modules();
    let prefixes = found.iter().step_by(9).flat_map(|(_, text)| (0..text.len()).step_by(97).map(|cut| text.get(..cut)));
    let texts: Vec<&str> = prefixes.flatten().collect();
    let (analysis, paths) = many(&texts);
    for (text, path) in texts.iter().zip(&paths) {
        drop((symbols(&analysis, path), folds(&analysis, path), links(&analysis, path), tokens(&analysis, path)));
        let ranges = selections(&analysis, path, text.len());
        assert_eq!(ranges.last(), Some(&(0..text.len())));
    }
}
