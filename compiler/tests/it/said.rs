//! Whether the corpus makes the compiler say all that it can say: each sentence of `compiler/src/diagnostic/` (messages,
//! labels, helps, notes, titles of fixes) has to be in a snapshot of `tests/corpus`. Each way to cause a code has words of
//! its own, so a way without a case shows as words that nobody ever said.

use std::path::{Path, PathBuf};

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

#[test]
fn the_corpus_has_heard_every_sentence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let heard: Vec<String> = files(&root.join("../tests/corpus"), &|name| name == "diagnostics.snap")
        .iter()
        .flat_map(|path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let all: Vec<Sentence> =
        files(&root.join("src/diagnostic"), &|name| !name.is_empty()).iter().flat_map(|path| sentences(path)).collect();
    assert!(all.len() > 500, "only {} sentences are found in the sources", all.len());
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
