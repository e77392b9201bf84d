//! The style as small edits.

use imgc_compiler::ide::structure::{format_document, format_on_type, format_range};
use imgc_compiler::{format, parse, span};

use crate::world::{main, many};
use crate::{at, edited, modules};

fn styled(text: &str) -> String {
    format::format(&parse::parse(text, span::ModuleId::default()))
}

#[test]
fn small_edits_give_what_the_formatter_writes() {
    let found: Vec<_> = modules().into_iter().step_by(4).collect();
    // More and fewer blanks than the style wants.
    let squeezed: Vec<String> = found
        .iter()
        .map(|(_, text)| text.replace("\n  ", "\n    ").replace(" = ", "=").replace(",\n", " ,\n"))
        .collect();
    let texts: Vec<&str> =
        found.iter().map(|(_, text)| text.as_str()).chain(squeezed.iter().map(String::as_str)).collect();
    let (analysis, paths) = many(&texts);
    for ((text, path), (file, _)) in texts.iter().zip(&paths).zip(found.iter().cycle()) {
        let edits = format_document(&analysis, path);
        assert_eq!(edited(text, &edits), styled(text), "{}", file.display());
    }
}

#[test]
fn a_selection_changes_nothing_outside_of_it() {
    let text = "image  web {\n from=1\n   sh \"x\"   {script=\"a\"}\n}\nlet   a=1\n";
    let range = at(text, "sh \"x\"   {script=\"a\"}");
    let result = edited(text, &format_range(&main(text), "main.imgc", range));
    assert_eq!(result, "image  web {\n from=1\n  sh \"x\" { script = \"a\" }\n}\nlet   a=1\n");
    assert_eq!(styled(&result), styled(text));
}

#[test]
fn a_closing_bracket_brings_its_item_into_the_style() {
    let text = "let  a=1\nimage web {\nfrom=1\nsh \"x\" {script=\"a\"}\n}\nlet  b=2\n";
    let edits = format_on_type(&main(text), "main.imgc", text.rfind('}').unwrap() + 1, '}');
    let expected = "let  a=1\nimage web {\n  from = 1\n  sh \"x\" { script = \"a\" }\n}\nlet  b=2\n";
    assert_eq!(edited(text, &edits), expected);
}

#[test]
fn in_an_item_that_is_not_whole_a_line_gets_its_indentation() {
    let text = "image web {\n  sh \"x\" {\n";
    let typed = |text: &str, typed: char| edited(text, &format_on_type(&main(text), "main.imgc", text.len(), typed));
    assert_eq!(typed(text, '\n'), "image web {\n  sh \"x\" {\n    ");
    assert_eq!(
        typed("image web {\n  sh \"x\" {\n    script = \"a\"\n    }", '}'),
        format!("{text}    script = \"a\"\n  }}")
    );
    assert_eq!(typed("let a = f({\n", '\n'), "let a = f({\n  ");
    assert_eq!(typed("let a = [1]\n", '\n'), "let a = [1]\n");
    assert_eq!(typed("let a = \"\"\"\n     x\n", '\n'), "let a = \"\"\"\n     x\n     ");
    assert_eq!(typed("let a = [1]\n", 'x'), "let a = [1]\n");
    let between = "image web {\n}\n";
    let edits = format_on_type(&main(between), "main.imgc", 12, '\n');
    assert_eq!(edited(between, &edits), between);
}
