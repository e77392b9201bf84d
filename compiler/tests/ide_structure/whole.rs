//! Nothing of a module with errors is lost but what nobody understands.

use imgc_compiler::ide::structure::{SymbolKind, folds, links, selections, symbols, tokens};

use crate::modules;
use crate::world::main;

#[test]
fn an_item_cut_short_leaves_the_others_as_they_are() {
    for (path, text) in modules().into_iter().filter(|(path, _)| path.to_string_lossy().contains("examples")) {
        let before = symbols(&main(&text), "main.imgc");
        for cut in &before {
            // The second half of an item is gone.
            let mut middle = cut.name_range.end + (cut.range.end - cut.name_range.end) / 2;
            while !text.is_char_boundary(middle) {
                middle += 1;
            }
            // A text of several lines that stays open takes all that follows, in any language.
            if text[..middle].matches("\"\"\"").count() % 2 == 1 {
                continue;
            }
            let broken = format!("{}\n{}", &text[..middle], &text[cut.range.end..]);
            let after = symbols(&main(&broken), "main.imgc");
            for other in before.iter().filter(|other| other.name != cut.name) {
                // A `let` is a statement too: what is open may hold it.
                let kept = other.kind == SymbolKind::Let || after.iter().any(|symbol| symbol.name == other.name);
                assert!(kept, "{}: `{}` was lost when `{}` was cut", path.display(), other.name, cut.name);
            }
        }
    }
}

#[test]
fn no_question_panics_on_any_prefix() {
    for (_, text) in modules().into_iter().step_by(9) {
        for cut in (0..text.len()).step_by(97) {
            let Some(prefix) = text.get(..cut) else { continue };
            let analysis = main(prefix);
            let path = "main.imgc";
            drop((symbols(&analysis, path), folds(&analysis, path), links(&analysis, path), tokens(&analysis, path)));
            let ranges = selections(&analysis, path, cut);
            assert_eq!(ranges.last(), Some(&(0..prefix.len())));
        }
    }
}
