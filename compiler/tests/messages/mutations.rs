//! One token of a valid program is changed: how near to it, and how few, the errors are.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use imgc_compiler::{ModuleId, Severity, parse};

use crate::random::Random;
use crate::world::MapWorld;

/// How many changes are drawn.
const DRAWN: usize = 5_000;

/// Programs as people write them: the examples, and the cases of plans.
fn programs() -> Vec<(String, MapWorld)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let below = |folder: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    for folder in below(&root.join("tests/corpus/plan")).into_iter().chain(below(&root.join("examples"))) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if !folder.join("main.imgc").is_file() {
            continue;
        }
        let world = MapWorld::read(&folder);
        let is_small = world.files.get("main.imgc").is_some_and(|text| text.len() < 8_000);
        if is_small && errors(&world).is_empty() {
            found.push((name, world));
        }
    }
    found
}

/// Where the errors are, as ranges of `main.imgc`; one elsewhere has no range.
fn errors(world: &MapWorld) -> Vec<(String, Option<Range<usize>>)> {
    let checked = imgc_compiler::check(world, "main.imgc");
    let errors = checked.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    errors
        .map(|d| {
            let place = checked.sources.place(&d.primary.at);
            (format!("{}: {}", d.code, d.message), (&*place.path == "main.imgc").then_some(place.start..place.end))
        })
        .collect()
}

/// Tokens of a text with their places; no blanks, no comments. A text without holes is one token.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut tokens: Vec<Range<usize>> = Vec::new();
    let tree = parse::parse(text, ModuleId(0)).tree;
    let leaves = tree.leaves();
    // Where a text began, while it may still be one token.
    let mut open = None;
    for (n, leaf) in leaves.iter().enumerate() {
        let range = at..at + leaf.len();
        at = range.end;
        let is_quote = *leaf == "\"" || *leaf == "\"\"\"";
        let next = leaves.get(n + 1).copied().unwrap_or_default();
        let after = leaves.get(n + 2).copied().unwrap_or_default();
        match open.take() {
            Some(start) if is_quote => tokens.push(start..range.end),
            Some(start) => open = Some(start),
            None if is_quote && (next == *leaf || after == *leaf && !next.starts_with('\\')) => {
                open = Some(range.start);
            }
            None if leaf.trim().is_empty() || leaf.starts_with("//") => {}
            None => tokens.push(range),
        }
    }
    tokens
}

/// What is done to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slip {
    Delete,
    Duplicate,
    Swap,
    Rename,
    WrongType,
}

const SLIPS: [Slip; 5] = [Slip::Delete, Slip::Duplicate, Slip::Swap, Slip::Rename, Slip::WrongType];

/// A changed text and where the change is; none where a slip cannot happen to the token.
fn slip(text: &str, tokens: &[Range<usize>], at: usize, slip: Slip) -> Option<(String, Range<usize>)> {
    let range = tokens.get(at)?.clone();
    let token = &text[range.clone()];
    let is_word = token.starts_with(|c: char| c.is_ascii_alphabetic());
    let replaced = |range: Range<usize>, with: &str| {
        let changed = range.start..range.start + with.len();
        (format!("{}{with}{}", &text[..range.start], &text[range.end..]), changed)
    };
    Some(match slip {
        Slip::Delete => replaced(range, ""),
        Slip::Duplicate => replaced(range, &format!("{token} {token}")),
        Slip::Swap => {
            let next = tokens.get(at + 1)?.clone();
            let (first, second) = (token.to_owned(), text[next.clone()].to_owned());
            if first == second {
                return None;
            }
            let between = text[range.end..next.start].to_owned();
            replaced(range.start..next.end, &format!("{second}{between}{first}"))
        }
        Slip::Rename if is_word => replaced(range, &format!("{token}x")),
        Slip::WrongType
            if token.len() > 1 && token.starts_with('"') || token.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            let with = if token.starts_with('"') { "5" } else { "\"x\"" };
            replaced(range, with)
        }
        Slip::Rename | Slip::WrongType => return None,
    })
}

/// Whether an error touches the changed token, or only blanks lie between them.
fn near(text: &str, changed: &Range<usize>, error: &Range<usize>) -> bool {
    let between = if error.end <= changed.start { error.end..changed.start } else { changed.end..error.start };
    (error.start <= changed.end && error.end >= changed.start)
        || text.get(between).is_some_and(|gap| gap.trim().is_empty())
}

#[derive(Debug, Default)]
struct Tally {
    wrong: usize,
    near: usize,
    few: usize,
    valid: usize,
}

#[test]
fn errors_stand_where_one_token_was_changed() {
    let programs = programs();
    assert!(programs.len() >= 15, "only {} programs", programs.len());
    let texts: Vec<(String, Vec<Range<usize>>)> = programs
        .iter()
        .map(|(_, world)| {
            let text = String::from_utf8(world.files["main.imgc"].clone()).unwrap();
            let tokens = tokens(&text);
            (text, tokens)
        })
        .collect();
    let mut random = Random(20_261_122);
    let mut tallies: BTreeMap<Slip, Tally> = BTreeMap::new();
    let mut bad = Vec::new();
    let mut drawn = 0;
    while drawn < DRAWN {
        let which = random.below(programs.len());
        let (text, tokens) = &texts[which];
        let kind = random.pick(&SLIPS);
        let at = random.below(tokens.len());
        let Some((changed, place)) = slip(text, tokens, at, kind) else { continue };
        drawn += 1;
        let mut world = programs[which].1.clone();
        world.files.insert("main.imgc".to_owned(), changed.clone().into_bytes());
        let errors = errors(&world);
        let tally = tallies.entry(kind).or_default();
        if errors.is_empty() {
            tally.valid += 1;
            continue;
        }
        tally.wrong += 1;
        let is_near = errors.iter().flat_map(|(_, range)| range).any(|range| near(&changed, &place, range));
        tally.near += usize::from(is_near);
        tally.few += usize::from(errors.len() <= 3);
        if !is_near || errors.len() > 3 {
            let line = changed[..place.start].rsplit('\n').next().unwrap_or_default().to_owned()
                + "⟦"
                + &changed[place.clone()]
                + "⟧"
                + changed[place.end..].split('\n').next().unwrap_or_default();
            let said: Vec<_> = errors.iter().take(4).map(|(said, range)| format!("{said} @{range:?}")).collect();
            bad.push(format!(
                "{kind:?} {} {}: {line}\n      {}",
                programs[which].0,
                errors.len(),
                said.join("\n      ")
            ));
        }
    }
    let sum = |of: fn(&Tally) -> usize| tallies.values().map(of).sum::<usize>();
    let (wrong, near, few) = (sum(|t| t.wrong), sum(|t| t.near), sum(|t| t.few));
    for (slip, tally) in &tallies {
        println!("{slip:?}: {tally:?}");
    }
    let share = |part: usize| part * 1000 / wrong;
    println!("{wrong} of {drawn} changes are errors; near {} ‰, at most 3: {} ‰", share(near), share(few));
    if std::env::var_os("IMGC_SHOW").is_some() {
        println!("{}", bad.join("\n"));
    }
    assert!(share(near) >= 950 && share(few) >= 950, "near {} ‰, at most 3: {} ‰", share(near), share(few));
}
