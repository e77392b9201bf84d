//! Examples while they are typed: no question panics, completion is never empty where names exist, and the other items
//! keep their answers.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use imgc_compiler::analysis::{Analysis, Memo};
use imgc_compiler::ide;
use imgc_compiler::ide::structure::{Symbol, SymbolKind, symbols};

use crate::world::MapWorld;
use crate::{Package, WEB};

/// Places of each item that are looked at in a usual run; `IMGC_TYPING=whole` looks at every one: 21,000 texts, which take
/// five minutes on two cores with `--config 'profile.dev.package.imgc-compiler.opt-level=2'`.
const PLACES: usize = 3;

/// Asks everything at an offset.
fn ask(analysis: &Analysis, package: &Package, offset: usize) -> usize {
    let path = &package.path;
    let none = |_: &str| None;
    let found = ide::completion(analysis, &package.world, path, offset).len();
    ide::hover(analysis, path, offset, &none);
    ide::signature(analysis, path, offset);
    ide::definition(analysis, path, offset);
    ide::type_definition(analysis, path, offset);
    ide::highlight(analysis, path, offset);
    ide::actions(analysis, path, offset..offset);
    ide::inlay_hints(analysis, path, 0..offset, &none);
    found
}

/// Whether names may stand there: not in a comment, a text, a number, nor where a name is being given.
fn wants_names(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap();
    let in_text = line.matches('"').count() % 2 == 1 || text.matches("\"\"\"").count() % 2 == 1;
    let words: Vec<&str> = line.split_whitespace().collect();
    let defines = ["param", "let", "image", "output", "recipe", "test", "fn", "record", "enum", "secret"];
    let is_binding = words.len() <= 2 && words.first().is_some_and(|word| defines.contains(word));
    let in_text = in_text || line.rsplit_once("\\{").is_some_and(|(_, hole)| hole.matches('"').count() % 2 == 1);
    let word = line.trim_end_matches('.').rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
    let is_number = word.starts_with(|c: char| c.is_ascii_digit());
    let in_params = line.starts_with("recipe");
    !line.contains("//") && !in_text && !is_binding && !is_number && !in_params
}

#[test]
fn web_typed_character_by_character() {
    // The other items stand below what is being typed.
    let cut = WEB.find("image web").unwrap();
    let (rest, typed) = WEB.split_at(cut);
    for end in (0..=typed.len()).filter(|end| typed.is_char_boundary(*end)) {
        let text = format!("{}\n\n{rest}", &typed[..end]);
        let package = Package::main(&text);
        let analysis = package.analysis();
        let found = ask(&analysis, &package, end);
        if wants_names(&typed[..end]) {
            assert!(found > 0, "nothing at {:?}", &typed[..end]);
        }
        // A text without its end may swallow a line, but no more.
        let at = text.find("let pages").unwrap() + 4;
        let shown = ide::hover(&analysis, &package.path, at, &|_| None);
        assert!(shown.is_some_and(|hover| hover.markdown.contains("let pages: String")), "at {:?}", &typed[..end]);
    }
}

/// Every `main.imgc` of the examples.
fn examples() -> VecDeque<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("main.imgc") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 5, "{found:?}");
    found.into()
}

/// An example while one of its items is being typed and all others stand around it.
struct Typed<'a> {
    example: &'a Path,
    memo: &'a Memo,
    world: MapWorld,
    /// Of the whole text.
    all: &'a [Symbol],
    /// For each of them: how far into it there is something to complete.
    asked: &'a [Option<usize>],
    /// What does not hold.
    faults: Vec<String>,
}

impl Typed<'_> {
    fn analysis(&mut self, text: &str) -> Analysis {
        self.world.files.insert("main.imgc".to_owned(), text.as_bytes().to_vec());
        self.memo.analyse(&self.world, &["main.imgc".to_owned()], &|| false).unwrap()
    }

    /// Whether what is typed of an item ends where somebody gives a name that nothing has yet.
    fn gives_names(&self, number: usize, typed: &str) -> bool {
        let line = typed.rsplit('\n').next().unwrap();
        let in_loop = line.rsplit_once("for ").is_some_and(|(_, names)| !names.contains(" in "));
        let kind = self.all[number].kind;
        in_loop
            || matches!(kind, SymbolKind::Record | SymbolKind::Enum | SymbolKind::Import)
            || (kind == SymbolKind::Function && !typed.contains("->"))
            || (kind == SymbolKind::Recipe && !typed.contains('{'))
    }

    /// Looks at a text in which only the first `end` bytes of an item stand.
    fn look(&mut self, whole: &str, number: usize, end: usize) {
        let item = &self.all[number].range;
        let text = format!("{}{}", &whole[..item.start + end], &whole[item.end..]);
        let cursor = item.start + end;
        let analysis = self.analysis(&text);
        let place = format!("{}: {:?}", self.example.display(), &whole[item.start..cursor]);
        let now: Vec<String> = symbols(&analysis, "main.imgc").into_iter().map(|symbol| symbol.name).collect();
        let package = Package { world: self.world.clone(), path: "main.imgc".to_owned(), cursors: vec![] };
        let found = ask(&analysis, &package, cursor);
        let typed = &whole[item.start..cursor];
        if found == 0 && wants_names(typed) && !self.gives_names(number, typed) {
            self.faults.push(format!("nothing to complete at {place}"));
        }
        let others = (0..self.all.len()).filter(|other| *other != number);
        for other in others.clone() {
            let name = &self.all[other].name;
            if !now.contains(name) {
                self.faults.push(format!("`{name}` is lost behind {place}: {now:?}"));
            }
        }
        // Each of the others has its turn.
        let Some(other) = others.clone().nth(end % others.count().max(1)) else { return };
        let symbol = &self.all[other];
        // An import has no meaning of its own to show.
        let shows = symbol.kind != SymbolKind::Import;
        let moved = |at: usize| if at < item.start { at } else { at - (item.end - item.start) + end };
        let hover = ide::hover(&analysis, "main.imgc", moved(symbol.name_range.start), &|_| None);
        if shows && !hover.is_some_and(|hover| hover.markdown.contains(&symbol.name)) {
            self.faults.push(format!("no hover of `{}` behind {place}", symbol.name));
        }
        if let Some(asked) = self.asked[other].filter(|_| shows) {
            let at = moved(symbol.range.start + asked);
            let found = ide::completion(&analysis, &self.world, "main.imgc", at);
            if found.is_empty() {
                self.faults.push(format!("nothing to complete in `{}` behind {place}", symbol.name));
            }
        }
    }
}

/// Types each item of an example; what does not hold, and how many texts were looked at.
fn type_items(example: &Path, memo: &Memo, whole: bool) -> (Vec<String>, usize) {
    let world = MapWorld::read(example.parent().unwrap());
    let text = String::from_utf8(world.files["main.imgc"].clone()).unwrap();
    let analysis = memo.analyse(&world, &["main.imgc".to_owned()], &|| false).unwrap();
    let all: Vec<Symbol> = symbols(&analysis, "main.imgc");
    // Behind the first `= ` of each item something is expected.
    let asked = |symbol: &Symbol| {
        let at = text[symbol.range.clone()].find("= ")? + 2;
        let found = ide::completion(&analysis, &world, "main.imgc", symbol.range.start + at);
        (!found.is_empty()).then_some(at)
    };
    let asked: Vec<_> = all.iter().map(asked).collect();
    let mut typed = Typed { example, memo, world: world.clone(), all: &all, asked: &asked, faults: Vec::new() };
    let mut count = 0;
    for (number, symbol) in all.iter().enumerate() {
        let item = &text[symbol.range.clone()];
        let step = if whole { 1 } else { item.len().div_ceil(PLACES).max(1) };
        // Another start in each item, so that all kinds of places have their turn.
        let first = number % step;
        for end in (first..=item.len()).step_by(step).filter(|end| item.is_char_boundary(*end)) {
            typed.look(&text, number, end);
            count += 1;
        }
    }
    (typed.faults, count)
}

#[test]
fn items_of_examples_are_typed_between_the_others() {
    let whole = std::env::var("IMGC_TYPING").is_ok_and(|value| value == "whole");
    let (waiting, faults) = (Mutex::new(examples()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let memo = Memo::default();
                loop {
                    let Some(example) = waiting.lock().unwrap().pop_front() else { return };
                    let (found, count) = type_items(&example, &memo, whole);
                    println!("{count} texts of {}", example.display());
                    faults.lock().unwrap().extend(found);
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults[..faults.len().min(50)].join("\n"));
}
