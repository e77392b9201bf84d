//! Whether the corpus makes the compiler say all that it can say, in two ways. Each sentence of the compiler's sources
//! (messages, labels, helps, notes, titles of fixes) has to be in a snapshot of `tests/corpus`; and each place that says
//! something, a call of a constructor in `compiler/src/diagnostic/`, has to have said it in a case: two ways to cause a
//! code may share their words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use imgc_compiler::Diagnostic;

/// Words that no case of the corpus can bring about, and why.
const UNSAID: &[(&str, &str)] = &[
    (
        "this file has {bytes} bytes, and the limit is 1 MiB",
        "it takes a file of more than 1 MiB, which `syntax.rs` makes",
    ),
    ("move parts into modules of their own and `import` them; data belongs into files read by `file()`", "the same"),
    (
        "split the module, or keep data in files that `file()` names",
        "a world in memory has no file that is too large to read; `robust.rs` asks one that says so",
    ),
    (
        "check that the file can be read",
        "a world in memory has no file that cannot be read; the command line's tests have",
    ),
    ("neither a file nor a directory", "a world in memory has no sockets and devices; the command line's tests have"),
    ("imgc could not evaluate this and does not know why", "a bug of imgc, of which none is known"),
    ("this has no value", "the same"),
    ("this is a bug of imgc: please report it with the program", "the same"),
    (
        "what this URL gives is not pinned by a digest",
        "each source of the library that takes a URL asks for its digest; it is for those to come",
    ),
    ("no digest is given", "the same"),
    ("give the digest that its publisher names, so that a changed file is refused", "the same"),
    (
        "declared as a secret",
        "arguments of a world in memory stand in no file that could be shown; the command line's tests have",
    ),
    ("List<T>, Set<T>", "names of types in the reference, not said to anybody"),
    ("Map<K, V>", "the same"),
    ("PRIVATE KEY-----", "what is looked for, not said to anybody"),
    ("a value with a NUL byte cannot stand in a script", "an error of Rust, which its caller words anew"),
    ("in a script with a byte 0 in it", "texts with a byte 0 are refused wherever they come from"),
    ("`{path}` is larger than the limit of 1 MiB", "a world in memory has no file that is too large to read"),
    ("cannot read `{path}`: {reason}", "a world in memory has no file that cannot be read"),
];

/// Places that no case of the corpus can make speak: file, constructor, and why.
const MUTE: &[(&str, &str, &str)] = &[
    (
        "check/calls.rs",
        "unreadable",
        "a world in memory has no file that cannot be read; the command line's tests have",
    ),
    ("evaluate/members.rs", "unreadable", "the same"),
    ("lower.rs", "unreadable", "a file that was there when it was looked for, and is gone when it is read"),
    ("check/body.rs", "too_deep", "the parser refuses as many brackets before"),
    ("evaluate/expr.rs", "script_hole", "its first place: texts with a byte 0 are refused wherever they come from"),
    ("lint/images.rs", "unpinned_url", "each source of the library that takes a URL asks for its digest"),
    ("names.rs", "unknown_export", "a module that an import was linked to and that is not there would be a bug"),
    ("parse/build.rs", "too_deep", "it takes hundreds of statements in one another, which `syntax.rs` makes"),
    ("parse.rs", "too_deep", "it takes tens of thousands of signs, which `syntax.rs` makes"),
    ("parse.rs", "file_too_large", "it takes a file of more than 1 MiB, which `syntax.rs` makes"),
];

/// A sentence of the sources: its fixed parts, in order.
struct Sentence {
    place: String,
    whole: String,
    parts: Vec<String>,
}

impl Sentence {
    fn is_in(&self, line: &str) -> bool {
        let mut rest = line;
        self.parts.iter().all(|part| match rest.split_once(part.as_str()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

/// The texts with a blank in them that a source file has outside of comments, attributes and tests.
fn sentences(path: &Path) -> Vec<Sentence> {
    let text = std::fs::read_to_string(path).unwrap();
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = text.split("#[cfg(test)]").next().unwrap();
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(at) = rest.find(['"', '/', '\'']) {
        line += rest[..at].matches('\n').count();
        let before = rest[..at].rsplit('\n').next().unwrap();
        rest = &rest[at..];
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with('\'') {
            character(rest)
        } else if rest.starts_with('"') {
            let end = end_of_text(rest);
            let whole = unescaped(&rest[1..end - 1]);
            if whole.trim().contains(' ') && !before.contains("reason = ") {
                let parts = parts(&whole);
                found.push(Sentence { place: format!("{file}:{line}"), whole, parts });
            }
            end
        } else {
            1
        };
        line += rest[..taken].matches('\n').count();
        rest = &rest[taken..];
    }
    found
}

/// The length of a character's literal, or of the quote of a lifetime.
fn character(text: &str) -> usize {
    let skip = if text.starts_with("'\\") { 2 } else { 1 };
    let end = text[skip..].char_indices().nth(1).filter(|(at, c)| *c == '\'' && *at > 0);
    end.map_or(1, |(at, _)| skip + at + 1)
}

fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    panic!("a text without an end: {text}")
}

fn unescaped(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, false) => out.push(c),
            (_, true) => match chars.next().unwrap() {
                'n' => out.push('\n'),
                '\n' => {
                    let rest = chars.as_str().trim_start();
                    chars = rest.chars();
                }
                other => out.push(other),
            },
        }
    }
    out
}

/// What stands between the places that are filled in. Snapshots have a line a text.
fn parts(whole: &str) -> Vec<String> {
    let (mut parts, mut part, mut chars) = (Vec::new(), String::new(), whole.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.peek() == Some(&c) => {
                chars.next();
                part.push(c);
            }
            '{' => {
                chars.by_ref().find(|c| *c == '}');
                parts.push(std::mem::take(&mut part));
            }
            '\n' => break,
            _ => part.push(c),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn files(folder: &Path, name: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, name));
        } else if path.file_name().is_some_and(|file| name(&file.to_string_lossy())) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Parts of the compiler that tell editors and documents, not people at a terminal.
const SILENT: [&str; 6] = ["ide", "analysis", "reference", "format", "pages", "fix"];

/// The sources that diagnostics come from.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = files(&root, &|name| name.strip_suffix(".rs").is_some());
    all.retain(|path| {
        let inner = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let top = inner.split(['/', '.']).next().unwrap().to_owned();
        !SILENT.contains(&top.as_str())
    });
    all
}

/// The modules of the constructors, as they are called where they are not `say…`.
const STAGES: [&str; 7] = ["syntax", "names", "types", "platform", "secrets", "evaluate", "lints"];

/// Line, column (both from 1) and name of the calls of constructors in a text.
fn calls(text: &str, constructors: &BTreeSet<String>) -> Vec<(u32, u32, String)> {
    let is_path = |c: char| c == '_' || c == ':' || c.is_ascii_alphanumeric();
    let mut found = Vec::new();
    for (line, number) in text.split("#[cfg(test)]").next().unwrap().lines().zip(1..) {
        for (bracket, _) in line.match_indices('(') {
            let start = line[..bracket].trim_end_matches(is_path).len();
            let Some((of, name)) = line[start..bracket].rsplit_once("::") else { continue };
            let is_ours = of.starts_with("say") || STAGES.iter().any(|stage| of.ends_with(stage));
            if is_ours && constructors.contains(name) && !line.trim_start().starts_with("//") {
                let column = u32::try_from(line[..start].chars().count()).unwrap() + 1;
                found.push((number, column, name.to_owned()));
            }
        }
    }
    found
}

/// Where diagnostics were raised, as `check/body.rs`, line and column.
pub(crate) type Heard = BTreeSet<(String, u32, u32)>;

/// Notes where these were raised.
pub(crate) fn hear(diagnostics: &[Diagnostic], heard: &mut Heard) {
    for diagnostic in diagnostics {
        let place = diagnostic.raised.0;
        let file = place.file().rsplit_once("src/").map_or(place.file(), |(_, file)| file);
        heard.insert((file.to_owned(), place.line(), place.column()));
    }
}

/// Fails where a place that can say something has said it in no case.
pub(crate) fn assert_all_spoke(heard: &Heard) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut constructors = BTreeSet::new();
    for path in files(&root.join("diagnostic"), &|_| true) {
        let text = std::fs::read_to_string(path).unwrap();
        let mut before = "";
        for part in text.split("pub(crate) fn ") {
            let (name, signature) = (part.split(['(', '<']).next().unwrap(), part.split('{').next().unwrap());
            if !before.is_empty() && signature.contains("-> Diagnostic") {
                assert!(before.ends_with("#[track_caller]\n"), "{name} does not tell who calls it: #[track_caller]");
                constructors.insert(name.to_owned());
            }
            before = part;
        }
    }
    assert!(constructors.len() > 140, "only {} constructors are found in the sources", constructors.len());
    let (mut places, mut silent) = (0, Vec::new());
    let mut excused: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for path in sources().iter().filter(|path| !path.starts_with(root.join("diagnostic"))) {
        let file = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        for (line, column, name) in calls(&text, &constructors) {
            places += 1;
            if heard.contains(&(file.clone(), line, column)) {
                continue;
            }
            match MUTE.iter().find(|(of, constructor, _)| *of == file && *constructor == name) {
                Some((of, constructor, _)) => *excused.entry((*of, *constructor)).or_default() += 1,
                None => silent.push(format!("{file}:{line}:{column} {name}")),
            }
        }
    }
    println!("{places} places can say something, {} of them are silent for a reason", excused.values().sum::<usize>());
    assert!(places > 200, "only {places} places are found in the sources");
    assert!(silent.is_empty(), "no case of tests/corpus makes these speak:\n{}", silent.join("\n"));
    for (file, name, _) in MUTE {
        assert!(excused.contains_key(&(*file, *name)), "it speaks now, or is no more: {file} {name}");
    }
}

#[test]
fn the_corpus_has_heard_every_sentence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let heard: Vec<String> = files(&root.join("../tests/corpus"), &|name| name == "diagnostics.snap")
        .iter()
        .flat_map(|path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let all: Vec<Sentence> = sources().iter().flat_map(|path| sentences(path)).collect();
    assert!(all.len() > 750, "only {} sentences are found in the sources", all.len());
    let unsaid = |sentence: &&Sentence| !heard.iter().any(|line| sentence.is_in(line));
    let unsaid: Vec<&Sentence> = all.iter().filter(unsaid).collect();
    let excused = |sentence: &&&Sentence| UNSAID.iter().any(|(whole, _)| *whole == sentence.whole);
    let lacking: Vec<String> = unsaid
        .iter()
        .filter(|sentence| !excused(sentence))
        .map(|sentence| format!("{}: {:?}", sentence.place, sentence.whole))
        .collect();
    println!("{} sentences, {} of them unsaid for a reason", all.len(), unsaid.len() - lacking.len());
    assert!(lacking.is_empty(), "no case of tests/corpus brings these about:\n{}", lacking.join("\n"));
    for (whole, _) in UNSAID {
        assert!(unsaid.iter().any(|sentence| sentence.whole == *whole), "it is said now, or is no more: {whole:?}");
    }
}

/// One sentence, lower case, no full stop; at most three further places. A message may begin with a name of ours.
#[test]
fn messages_are_written_alike() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut messages, mut faults) = (0, Vec::new());
    for path in files(&root.join("../tests/corpus"), &|name| name == "diagnostics.snap") {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut also = 0;
        for line in text.lines() {
            also = if line.trim_start().starts_with("also ") { also + 1 } else { 0 };
            let head = ["Error[", "Warning["].iter().find_map(|start| line.strip_prefix(start));
            let Some((_, message)) = head.and_then(|head| head.split_once("]: ")) else {
                assert!(also <= 3, "{}: {line}", path.display());
                continue;
            };
            messages += 1;
            // The name of a type keeps its capital.
            let is_type = ["has", "cannot", "is"].iter().any(|verb| message.contains(&format!(" {verb} ")));
            let is_plain = !message.starts_with(|c: char| c.is_ascii_uppercase()) || is_type;
            if !is_plain || message.ends_with('.') || message.contains(". ") {
                faults.push(format!("{}: {message}", path.display()));
            }
        }
    }
    assert!(messages > 500, "only {messages} messages are found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
