//! The grammar for editors beside the compiler's: the same items at the same places in every correct module of this
//! repository; queries that compile and hit; a committed parser that is the grammar's.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and its helpers count as part of it"
)]

use std::ops::Range;
use std::path::{Path, PathBuf};

use imgc_compiler::parse;
use imgc_compiler::span::ModuleId;
use imgc_compiler::syntax::{Kind, NodeRef, Tree as Lossless};
use tree_sitter::{Node, Parser, Query, QueryCursor, StreamingIterator, Tree};

/// An item as both grammars know it.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    kind: String,
    name: Option<String>,
    range: Range<usize>,
    /// What its body or its braces hold: the kind and the range of each part.
    parts: Vec<(String, Range<usize>)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every module of the repository in which the compiler finds no error of syntax.
fn correct_modules() -> Vec<(PathBuf, String, Lossless)> {
    let mut modules = modules();
    modules.retain(|(_, _, is_correct, _)| *is_correct);
    assert!(modules.len() > 120, "only {} correct modules were found", modules.len());
    modules.into_iter().map(|(path, text, _, tree)| (path, text, tree)).collect()
}

/// Every module of the repository, with whether the compiler finds no error of syntax.
fn modules() -> Vec<(PathBuf, String, bool, Lossless)> {
    let mut paths = Vec::new();
    for folder in ["examples", "stdlib", "tests/corpus"] {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    let mut modules = Vec::new();
    for path in paths {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let parsed = parse::parse(&text, ModuleId::default());
        modules.push((path, text, parsed.diagnostics.is_empty(), parsed.tree));
    }
    modules
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "imgc") {
            found.push(path);
        }
    }
}

fn parser() -> Parser {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_imgc::LANGUAGE.into()).unwrap();
    parser
}

/// Kinds whose nodes are compared, as both grammars call them.
const KINDS: [(Kind, &str); 25] = [
    (Kind::Edition, "edition"),
    (Kind::Import, "import"),
    (Kind::Param, "param"),
    (Kind::Secret, "secret"),
    (Kind::LetItem, "let"),
    (Kind::Output, "output"),
    (Kind::Function, "function"),
    (Kind::Record, "record"),
    (Kind::Enumeration, "enum"),
    (Kind::Recipe, "recipe"),
    (Kind::Image, "image"),
    (Kind::Test, "test"),
    (Kind::ExternStep, "extern_step"),
    (Kind::ExternSource, "extern_source"),
    (Kind::ExternArtifact, "extern_artifact"),
    (Kind::Member, "member"),
    (Kind::Variant, "variant"),
    (Kind::Field, "field"),
    (Kind::Step, "step"),
    (Kind::Use, "use"),
    (Kind::LetStatement, "let"),
    (Kind::Lambda, "lambda"),
    (Kind::Text, "text"),
    (Kind::Hole, "hole"),
    (Kind::Number, "number"),
];

fn shared(kind: Kind) -> Option<&'static str> {
    KINDS.iter().find(|(node, _)| *node == kind).map(|(_, name)| *name)
}

/// The items that the compiler sees without an error.
fn of_compiler(tree: &Lossless) -> Vec<Item> {
    let mut items = Vec::new();
    let whole = tree.roots().zip(&tree.starts).zip(&tree.pieces).filter(|(_, piece)| !piece.broken);
    for ((root, start), _) in whole {
        let base = *start as usize;
        let inner = root.children().find(|child| !matches!(child.kind(), Kind::Attribute | Kind::Keyword)).unwrap();
        let range = |node: NodeRef<'_>| base + node.start() as usize..base + node.end() as usize;
        let mut parts = Vec::new();
        compiler_parts(inner, &range, &mut parts);
        items.push(Item {
            kind: shared(inner.kind()).unwrap().to_owned(),
            name: inner.child(Kind::Name).map(|name| name.text().to_owned()),
            range: range(root),
            parts,
        });
    }
    items
}

fn compiler_parts(
    node: NodeRef<'_>,
    range: &dyn Fn(NodeRef<'_>) -> Range<usize>,
    parts: &mut Vec<(String, Range<usize>)>,
) {
    for child in node.children() {
        if let Some(kind) = shared(child.kind()) {
            parts.push((kind.to_owned(), range(child)));
        } else if child.kind() == Kind::Negative {
            // One word to the compiler, a sign and a number to editors.
            let whole = range(child);
            parts.push(("number".to_owned(), whole.start + 1..whole.end));
        }
        compiler_parts(child, range, parts);
    }
}

/// The items that editors see.
fn of_editors(tree: &Tree, text: &str) -> Vec<Item> {
    let root = tree.root_node();
    let mut items = Vec::new();
    for item in children(root).into_iter().filter(|node| node.kind() == "item") {
        let is_kind = |node: &Node<'_>| !matches!(node.kind(), "attribute" | "comment");
        let Some(inner) = children(item).into_iter().find(is_kind) else { continue };
        let mut parts = Vec::new();
        editor_parts(inner, &mut parts);
        items.push(Item {
            kind: inner.kind().to_owned(),
            name: inner.child_by_field_name("name").map(|name| text[name.byte_range()].to_owned()),
            range: item.byte_range(),
            parts,
        });
    }
    items
}

fn editor_parts(node: Node<'_>, parts: &mut Vec<(String, Range<usize>)>) {
    for child in children(node) {
        if KINDS.iter().any(|(_, name)| *name == child.kind()) {
            parts.push((child.kind().to_owned(), child.byte_range()));
        }
        editor_parts(child, parts);
    }
}

fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).collect()
}

#[test]
fn both_grammars_see_the_same_items() {
    let mut parser = parser();
    for (path, text, lossless) in correct_modules() {
        let tree = parser.parse(&text, None).unwrap();
        let at = path.display();
        assert!(!tree.root_node().has_error(), "{at}: {}", tree.root_node().to_sexp());
        let (compiler, editors) = (of_compiler(&lossless), of_editors(&tree, &text));
        assert_eq!(compiler.len(), editors.len(), "{at}");
        for (compiler, editor) in compiler.iter().zip(&editors) {
            assert_eq!(compiler, editor, "{at}");
        }
    }
}

#[test]
fn broken_modules_have_the_same_items_beside_the_broken_ones() {
    let mut parser = parser();
    let (mut both, mut of_one) = (0, Vec::new());
    for (path, text, is_correct, lossless) in modules() {
        if is_correct {
            continue;
        }
        let tree = parser.parse(&text, None).unwrap();
        assert_eq!(tree.root_node().end_byte(), text.len(), "{}", path.display());
        let editors = of_editors(&tree, &text);
        for item in of_compiler(&lossless) {
            match editors.iter().find(|other| other.range.start == item.range.start) {
                Some(other) if *other == item => both += 1,
                other => of_one.push(format!("{}: {item:?}, editors see {other:?}", path.display())),
            }
        }
    }
    // Directly behind an error each recovers in its own way.
    assert!(both > 60 && of_one.len() * 4 < both, "{both} are the same, of one alone: {of_one:#?}");
}

#[test]
fn an_error_leaves_the_items_around_it() {
    let text = "let a = 1\nparam b: Int = = 2\nimage c {\n  from = x\n  sh \"y\" { script = }\n}\nrecipe d() {}\n";
    let tree = parser().parse(text, None).unwrap();
    assert!(tree.root_node().has_error());
    let names: Vec<Option<String>> = of_editors(&tree, text).into_iter().map(|item| item.name).collect();
    for name in ["a", "c", "d"] {
        assert!(names.contains(&Some(name.to_owned())), "{name} in {names:?}");
    }
}

/// What a query captures: names with the texts.
fn captures(query: &str, text: &str) -> Vec<(String, String)> {
    let language = tree_sitter_imgc::LANGUAGE.into();
    let query = Query::new(&language, query).unwrap();
    let tree = parser().parse(text, None).unwrap();
    let mut cursor = QueryCursor::new();
    let mut found = Vec::new();
    let mut matches = cursor.matches(&query, tree.root_node(), text.as_bytes());
    while let Some(one) = matches.next() {
        let language = query.property_settings(one.pattern_index).iter().find(|set| &*set.key == "injection.language");
        for capture in one.captures() {
            let name = query.capture_names()[capture.index as usize];
            let name =
                language.and_then(|set| set.value.as_deref()).filter(|_| name == "injection.content").unwrap_or(name);
            found.push((name.to_owned(), text[capture.node.byte_range()].to_owned()));
        }
    }
    found
}

#[test]
fn every_word_of_the_language_has_a_colour() {
    let mut colourless = Vec::new();
    for (path, text, _) in correct_modules() {
        let found = captures(tree_sitter_imgc::HIGHLIGHTS, &text);
        let coloured: std::collections::HashSet<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        let tree = parser().parse(&text, None).unwrap();
        leaves(tree.root_node(), &mut |leaf| {
            let word = &text[leaf.byte_range()];
            if !word.is_empty() && leaf.kind() != "content" && !word.starts_with('"') && !coloured.contains(word) {
                colourless.push(format!("{}: {word:?} ({})", path.display(), leaf.kind()));
            }
        });
    }
    colourless.sort();
    colourless.dedup();
    assert_eq!(colourless, Vec::<String>::new());
}

fn leaves(node: Node<'_>, visit: &mut dyn FnMut(Node<'_>)) {
    if node.child_count() == 0 {
        visit(node);
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor).collect::<Vec<_>>() {
        leaves(child, visit);
    }
}

#[test]
fn highlights_say_what_words_are() {
    let text = std::fs::read_to_string(root().join("examples/site/main.imgc")).unwrap();
    let found = captures(tree_sitter_imgc::HIGHLIGHTS, &text);
    let expected = [
        ("keyword", "image"),
        ("type", "site"),
        ("keyword.import", "use"),
        ("function", "install"),
        ("module", "apt"),
        ("function.macro", "copy"),
        ("property", "mode"),
        ("number", "0o644"),
        ("string", "\"bookworm\""),
        ("comment.documentation", "/// Packages of the web server."),
        ("variable.parameter", "suite"),
        ("label", "\"site\""),
        ("function", "archive"),
    ];
    for (name, text) in expected {
        assert!(found.contains(&(name.to_owned(), text.to_owned())), "{name} {text:?} in {found:?}");
    }
}

#[test]
fn scripts_are_in_their_own_language() {
    let text = "image a {\n  sh \"x\" { script = \"\"\"\n    echo \\{name} \"a\" // no comment\n    \"\"\" }\n  \
                powershell \"y\" { script = \"Write-Host\\n\", user = \"me\" }\n}\nlet s: Script<sh> = \"ls # \\\\{x\"\n";
    let found = captures(tree_sitter_imgc::INJECTIONS, text);
    let scripts: Vec<(&str, &str)> = found
        .iter()
        .filter(|(name, _)| !name.starts_with('_'))
        .map(|(name, text)| (name.as_str(), text.trim()))
        .collect();
    let expected =
        [("bash", "echo \\{name} \"a\" // no comment"), ("powershell", "Write-Host\\n"), ("bash", "ls # \\\\{x")];
    assert_eq!(scripts, expected);
}

#[test]
fn bodies_fold_and_indent() {
    let text = "image a {\n  sh \"x\" {\n    script = \"y\"\n  }\n}\n";
    let folded: Vec<String> = captures(tree_sitter_imgc::FOLDS, text).into_iter().map(|(_, text)| text).collect();
    assert!(folded.iter().any(|fold| fold.starts_with("{\n  sh")), "{folded:?}");
    assert!(folded.iter().any(|fold| fold.starts_with("{\n    script")), "{folded:?}");
    let indents = captures(tree_sitter_imgc::INDENTS, text);
    assert_eq!(indents.iter().filter(|(name, _)| name == "indent.begin").count(), 2, "{indents:?}");
    assert_eq!(indents.iter().filter(|(name, _)| name == "indent.branch").count(), 2, "{indents:?}");
}

/// With `IMGC_UPDATE=1` it writes the parser anew.
#[test]
fn the_committed_parser_is_the_grammars() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let json = tree_sitter_generate::load_grammar_file(&folder.join("grammar.js"), None).unwrap();
    let mut remarks = Vec::new();
    let options = tree_sitter_generate::OptLevel::default();
    let (name, code) =
        tree_sitter_generate::generate_parser_for_grammar(&json, Some((0, 1, 0)), options, &mut remarks).unwrap();
    assert_eq!((name.as_str(), remarks.len()), ("imgc", 0), "{remarks:?}");
    let files = [
        ("src/grammar.json", format!("{json}\n")),
        ("src/parser.c", code),
        ("src/tree_sitter/parser.h", tree_sitter_generate::PARSER_HEADER.to_owned()),
    ];
    for (file, wanted) in files {
        let path = folder.join(file);
        if std::env::var_os("IMGC_UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == wanted, "{file} is stale: IMGC_UPDATE=1 cargo test -p tree-sitter-imgc");
    }
}
