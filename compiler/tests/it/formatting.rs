//! The formatter: stable, lossless in meaning and comments, and as the language's own samples are written.

use std::collections::BTreeSet;

use imgc_compiler::ModuleId;
use imgc_compiler::format::format;
use imgc_compiler::parse::{Parsed, parse};
use imgc_compiler::syntax::Tree;

use crate::random::Random;
use crate::samples::{samples, tries};

fn parsed(text: &str) -> Parsed {
    parse(text, ModuleId(0))
}

fn formatted(text: &str) -> String {
    format(&parsed(text))
}

/// The abstract tree without positions.
fn meaning(parsed: &Parsed) -> String {
    let tree = format!("{:?}", parsed.module.items);
    let mut pieces = tree.split("Span { ");
    let mut meaning = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        meaning.push_str(piece.split_once(" }").map_or("", |(_, rest)| rest));
    }
    meaning
}

fn comments(tree: &Tree) -> Vec<String> {
    let leaves = tree.leaves().into_iter().filter(|leaf| leaf.starts_with("//"));
    // Comments that met on one line are one.
    let mut comments: Vec<String> = leaves
        .flat_map(|leaf| {
            leaf.split(" //")
                .map(|comment| comment.trim().trim_start_matches('/').trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    comments.sort();
    comments
}

/// The texts of items with errors.
fn wrong_items(parsed: &Parsed) -> Vec<&str> {
    let wrong: BTreeSet<usize> = parsed.diagnostics.iter().map(|d| d.primary.at.item as usize).collect();
    let tree = &parsed.tree;
    let roots = tree.roots().zip(&tree.starts).enumerate();
    let wrong = roots.filter(|(n, _)| wrong.contains(n));
    wrong.map(|(_, (root, start))| &tree.text[*start as usize..*start as usize + root.end() as usize]).collect()
}

fn codes(parsed: &Parsed) -> Vec<&str> {
    parsed.diagnostics.iter().map(|d| d.code).collect()
}

fn check(text: &str) {
    let before = parsed(text);
    let once = format(&before);
    let after = parsed(&once);
    let twice = format(&after);
    let differs = once.lines().zip(twice.lines()).find(|(one, other)| one != other);
    assert_eq!(twice, once, "not stable at {differs:?}:\n{text}");
    for item in wrong_items(&before) {
        assert!(once.contains(item), "an item with errors changed:\n{item}\n---\n{once}");
    }
    assert_eq!(comments(&after.tree), comments(&before.tree), "comments changed:\n{text}\n---\n{once}");
    assert_eq!(codes(&after), codes(&before), "other faults:\n{text}\n---\n{once}");
    if before.diagnostics.is_empty() {
        assert_eq!(after.diagnostics, [], "broke:\n{text}\n---\n{once}");
        assert_eq!(meaning(&after), meaning(&before), "meaning changed:\n{text}\n---\n{once}");
    }
}

#[test]
fn samples_keep_their_meaning() {
    for (_, text) in samples() {
        check(&text);
    }
}

#[test]
fn blanks_and_comments_anywhere_keep_the_meaning() {
    for (path, text) in samples() {
        let mut random = Random(7 + text.len() as u64);
        let tree = parsed(&text).tree;
        let leaves = tree.leaves();
        for attempt in 0..tries().min(2_000) / 10 {
            let mut changed = String::new();
            let mut after_comment = false;
            for leaf in &leaves {
                let blank = leaf.trim().is_empty();
                if blank && random.below(12) == 0 {
                    let note = format!("n{attempt}");
                    let with = match random.below(6) {
                        0 => " ".to_owned(),
                        1 => "\n".to_owned(),
                        2 => "\n\n\n".to_owned(),
                        3 => format!(" // {note}\n"),
                        4 => format!("\n// {note}\n\n"),
                        _ => format!("\n/// {note}\n"),
                    };
                    let line_end = after_comment && !with.starts_with('\n');
                    changed.push_str(if line_end { "\n" } else { "" });
                    changed.push_str(&with);
                } else {
                    changed.push_str(leaf);
                }
                after_comment = leaf.starts_with("//");
            }
            check(&changed);
            assert!(path.exists());
        }
    }
}

/// Texts with brackets and quotes that are lost, doubled or put anywhere.
#[test]
fn changed_programs_settle() {
    const PIECES: [&str; 14] =
        ["\"", "\"\"\"", "{", "}", "(", ")", "[", "]", "\\{", " // n\n", "\n", "   ", " let ", "image a {"];
    for (_, text) in samples() {
        let mut random = Random(11 + text.len() as u64);
        let tree = parsed(&text).tree;
        let leaves = tree.leaves();
        for _ in 0..tries().min(2_000) / 20 {
            let mut changed: Vec<&str> = leaves.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(changed.len());
                match random.below(4) {
                    0 => changed.truncate(at.max(1)),
                    1 => drop(changed.remove(at)),
                    2 => changed.insert(at, random.pick(&PIECES)),
                    _ => changed[at] = random.pick(&PIECES),
                }
                if changed.is_empty() {
                    break;
                }
            }
            check(&changed.concat());
        }
    }
}

#[test]
fn what_is_never_closed_stays() {
    for text in [
        "let a = \"\"\"\n  b\n",
        "let a = \"\"\"\n  b\n\n\n   ",
        "let a=1\nlet b = [1,   let c=2\n",
        "image a {   let b = \"   \n\n    image c{}\n",
        "foo(   let a=1\nlet b=2",
        "x",
        "let a = (\n   // n\n   let b=1 // m\n",
    ] {
        check(text);
    }
}

#[test]
fn broken_items_stay() {
    let text = "let   a=1\n\nimage   b {\n   from =   \n}\n\nlet c   = 5M\nlet   d=2 3\n";
    assert_eq!(formatted(text), "let a = 1\n\nimage   b {\n   from =   \n}\n\nlet c   = 5M\nlet d = 2 3\n");
}

#[test]
fn layout() {
    let text = r#"
// first

param a:Int=1
let b=[1,2,
3,] // why
output   c =  oci.archive(web, cmd: ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "c"])
image web{from=rootfs.debian(suite:"bookworm")


use apt.install([ "nginx" ])
sh "a"{script="x",timeout=5m}
sh "b" {
script="""
  one

    two
  """
env={A="b"}, network=false }
// last
}
"#;
    let expected = r#"// first

param a: Int = 1
let b = [1, 2, 3] // why
output c = oci.archive(
  web,
  cmd: ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "c"],
)

image web {
  from = rootfs.debian(suite: "bookworm")

  use apt.install(["nginx"])
  sh "a" { script = "x", timeout = 5m }
  sh "b" {
    script = """
      one

        two
      """
    env = { A = "b" }
    network = false
  }
  // last
}
"#;
    assert_eq!(formatted(text), expected);
}

#[test]
fn comments_in_odd_places() {
    let items = [
        "import \"./base.imgc\"(size:\n// n\n\n8GiB) as small\n",
        "@deprecated(\"use size\") // n\n@allow(unused) reason \"kept\"\nparam old: Size? =\n\n\nnone where old == none\n",
        "let\n\n\nhex: Int = -answer + // n\n2 * (3 - 1) % 5 / 1\n",
        "pub fn double(n: Int, by: Int\n= 2 // n\nwhere by > 0)\n// n\n\n-> Int = n\n// n\n\n* by\n",
        "fn pick(c: Channel) -> String =\n/// n\nmatch c { stable => \"s\", edge(build) => \"e\", _ => none ?? \"x\" }\n",
        "record Service {\n  /// Its name.\n// n\n\nname:\n\n\nString where name.matches(\"a\")\n  ports: List<Port> =\n[], ram: Size = 512MiB\n}\n",
        "let a = 1 // x\nlet b =\n// y\n2\n\n\n/// z\n\nlet c = 3\n",
        "let x = [ // a\n1 // b\n, // c\n// d\n2\n// e\n]\n",
        "let x = if a // n\nthen b\n// m\nelse c\n",
        "image a { use b( // n\n[1]\n// m\n) if c { } // k\nelse // l\n{ } }\n",
    ];
    for item in items {
        check(item);
    }
    check(&items.concat());
}
