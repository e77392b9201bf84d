//! The parser: every text gives a lossless tree, quickly, and broken ones the right diagnostics.

#![expect(clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "a test stops where its ground is gone")]

use std::time::{Duration, Instant};

use imgc_compiler::ModuleId;
use imgc_compiler::ast::{ExprKind, ItemKind, StatementKind, Template, TemplatePart};
use imgc_compiler::parse::{Parsed, parse};

use crate::random::Random;
use crate::samples::{samples, tries};

fn parsed(text: &str) -> Parsed {
    parse(text, ModuleId(0))
}

fn check_round_trip(text: &str) -> Parsed {
    let parsed = parsed(text);
    assert_eq!(parsed.tree.leaves().concat(), text);
    assert_eq!(parsed.module.items.len(), parsed.module.starts.len());
    assert!(!parsed.tree.broken() || !parsed.diagnostics.is_empty(), "an error node without a diagnostic:\n{text}");
    parsed
}

/// Line and message of each diagnostic.
fn messages(text: &str) -> Vec<String> {
    let parsed = check_round_trip(text);
    let messages = parsed.diagnostics.iter().map(|diagnostic| {
        let at = diagnostic.primary.at;
        let start = parsed.module.starts[at.item as usize] + at.span.start;
        let line = text[..start as usize].matches('\n').count() + 1;
        format!("{line} {} {}", diagnostic.code, diagnostic.message)
    });
    messages.collect()
}

#[test]
fn samples_parse_and_round_trip() {
    for (path, text) in samples() {
        let parsed = check_round_trip(&text);
        assert!(!parsed.tree.broken(), "{path:?}");
        assert_eq!(parsed.diagnostics, [], "{path:?}");
    }
}

/// What mutations put in.
const PIECES: [&str; 40] = [
    "\"",
    "\"\"\"",
    "\\{",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\n",
    "//",
    "=",
    ":",
    ",",
    ".",
    "..=",
    "...",
    "=>",
    "->",
    "<",
    ">",
    "image x {",
    "param ",
    "let ",
    "if ",
    "for ",
    "match ",
    "use ",
    "in ",
    "else ",
    "none",
    "\\",
    "\u{e9}",
    "\u{0}",
    "@",
    "|",
    "*/",
    "linux/",
    "5M",
    "0x",
];

#[test]
fn mutated_samples_round_trip() {
    let (mut slowest, mut count) = (0.0_f64, 0);
    for (path, text) in samples() {
        let mut random = Random(text.len() as u64);
        let chars: Vec<char> = text.chars().collect();
        let clean = least_time(&text).max(Duration::from_micros(200));
        let begin = Instant::now();
        let before = computed(begin);
        for _ in 0..tries() {
            let mut mutated = chars.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(mutated.len());
                let end = (at + random.below(20)).min(mutated.len());
                match random.below(3) {
                    0 => drop(mutated.drain(at..end)),
                    1 => drop(mutated.splice(at..at, random.pick(&PIECES).chars())),
                    _ => mutated.extend_from_within(at..end),
                }
            }
            let mutated: String = mutated.into_iter().collect();
            let parsed = check_round_trip(&mutated);
            assert!(parsed.diagnostics.len() <= 101, "{path:?}");
        }
        count += tries();
        let each = computed(begin).saturating_sub(before) / u32::try_from(tries()).unwrap();
        slowest = slowest.max(each.as_secs_f64() / clean.as_secs_f64());
    }
    println!("{count} changed texts; those of the slowest sample take {slowest:.2} times what it takes itself");
    assert!(slowest < 8.0, "{slowest:.2} times what a text takes that is right");
}

/// What this thread has computed since `begin`, where the system tells: other work on the machine does not count.
/// Linux tells it in steps of some milliseconds.
fn computed(begin: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|text| text.parse().ok());
    nanoseconds.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

/// The time that a text takes, of as many runs as take long enough to be measured.
fn least_time(text: &str) -> Duration {
    let begin = Instant::now();
    let before = computed(begin);
    let (mut runs, mut more) = (0, 1);
    loop {
        (0..more).for_each(|_| drop(check_round_trip(text)));
        runs += more;
        more *= 2;
        let took = computed(begin).saturating_sub(before);
        if took > Duration::from_millis(40) {
            return took / runs;
        }
    }
}

#[test]
fn time_grows_with_length() {
    let nested = [
        "f(",
        "[",
        "{ a =",
        "\"\\{",
        "(",
        "!",
        "-",
        "if ",
        "match x { a =>",
        "x => ",
        "List<",
        "{",
        "use a(",
        "if a {",
    ];
    let repeated =
        ["f(\n", "a = (\n", "image x {\n", "x [ y\n", "sh \"a\" {", "\"\n", "\"\"\"\n", "{ a: ", "a.b.c ", "a || "];
    let prefix =
        |piece: &str| if piece.starts_with("use") || piece.starts_with("if a") { "image i {" } else { "let x = " };
    for piece in nested.into_iter().chain(repeated) {
        // A second run where the first was disturbed.
        let grows = (0..4).all(|_| {
            let times = [10, 100, 1000].map(|count| least_time(&format!("{}{}", prefix(piece), piece.repeat(count))));
            let floor = Duration::from_micros(300);
            times.windows(2).any(|pair| pair[1] > pair[0].max(floor) * 15)
        });
        assert!(!grows, "time for {piece:?} grows faster than its length");
    }
}

#[test]
fn deep_nesting_is_one_quick_error() {
    for bracket in ["(", "[", "{", "\"\\{"] {
        let start = Instant::now();
        let found = messages(&format!("let x = {}", bracket.repeat(10_000)));
        assert_eq!(found, ["1 IMG0002 brackets are nested more than 256 deep"]);
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    let balanced = format!("let x = {}1{}", "(".repeat(250), ")".repeat(250));
    assert_eq!(messages(&balanced), Vec::<String>::new());
    let long = format!("let x = {}", vec!["a"; 100_000].join(" + "));
    assert_eq!(messages(&long), ["1 IMG0003 this expression has too many parts in one another"]);
    let unary = format!("let x = {}a", "!".repeat(100_000));
    assert_eq!(messages(&unary), ["1 IMG0003 this expression has too many parts in one another"]);
    let chain = format!("let x = {}", "if a then b else ".repeat(20_000));
    assert_eq!(messages(&chain).len(), 1);
    let types = format!("let x: {}", "List<".repeat(20_000));
    assert_eq!(messages(&types).len(), 1);
    let statements = format!("image x {{ {} {{ }} }}", vec!["if a { }"; 20_000].join(" else "));
    assert_eq!(messages(&statements).len(), 1);
}

#[test]
fn small_and_large_files() {
    assert_eq!(messages(""), Vec::<String>::new());
    assert_eq!(messages("\n// only a comment"), Vec::<String>::new());
    assert_eq!(parsed("").module.items, []);
    let large = "// a comment\n".repeat(200_000);
    assert_eq!(messages(&large), ["1 IMG0001 this file has 2600000 bytes, and the limit is 1 MiB"]);
    assert_eq!(messages("\u{feff}let a = 1\r\nlet b = 2\r\n"), Vec::<String>::new());
    assert_eq!(messages(&"1\n".repeat(1000)).len(), 100);
    assert_eq!(messages(&"}\n".repeat(1000)), ["1 IMG0004 `}` closes nothing"]);
}

#[test]
fn items_are_equal_wherever_they_stand() {
    let one = parsed("/// Docs.\nparam a: Int = 1 // c\nimage b {\n  sh \"x\" { script = \"y\" }\n}\n");
    let other = parsed(
        "let z = 3\n\n\n// comment\n/// Docs.\nparam a: Int = 1\n\n\nimage b {\n  sh \"x\" { script = \"y\" }\n}\n",
    );
    assert_eq!(one.module.items[0], other.module.items[1]);
    assert_eq!(one.module.items[1], other.module.items[2]);
    assert_eq!(one.tree.pieces[1], other.tree.pieces[2]);
    assert_eq!(one.module.items[0].docs, "Docs.");
}

/// The template of `let x = …`.
fn template(literal: &str) -> Template {
    let parsed = parsed(&format!("let x = {literal}"));
    assert_eq!(parsed.diagnostics, [], "{literal}");
    let ItemKind::Let(item) = &parsed.module.items[0].kind else { panic!("no let: {literal}") };
    let ExprKind::Text(template) = &item.value.kind else { panic!("no text: {literal}") };
    template.clone()
}

/// The text of `let x = …`, with `@` for each hole.
fn text(literal: &str) -> String {
    let parts = template(literal).parts.into_iter().map(|part| match part {
        TemplatePart::Text { text, .. } => text,
        TemplatePart::Hole { .. } => "@".to_owned(),
    });
    parts.collect()
}

#[test]
fn texts() {
    assert_eq!(text(r#""a\n\t\"\\\u{e9}${x} \{a + "b"} c""#), "a\n\t\"\\\u{e9}${x} @ c");
    assert_eq!(text("\"\""), "");
    assert_eq!(text("\"\"\"\n    a\n      b \\n\n\n    \\{x}c\n    \"\"\""), "a\n  b \\n\n\n@c\n");
    assert_eq!(text("\"\"\"one line\"\"\""), "one line");
    assert_eq!(text("\"\"\"\n  a\"\"\""), "  a");
    assert_eq!(text("\"\"\"\r\n  a\r\n  \"\"\""), "a\n");
    assert_eq!(text("\"\"\"\n\"\"\""), "");
    // A place in a part is a place in the source.
    let literal = "\"\"\"\n    one\n    two\n    \"\"\"";
    let source = format!("let x = {literal}");
    for part in template(literal).parts {
        let TemplatePart::Text { text, span } = part else { panic!("a hole") };
        assert_eq!(&source[span.start as usize..span.end as usize], text);
    }
}

#[test]
fn precedences() {
    fn show(text: &str) -> String {
        fn walk(expr: &imgc_compiler::ast::Expr) -> String {
            match &expr.kind {
                ExprKind::Binary { op, left, right, .. } => format!("({} {op:?} {})", walk(left), walk(right)),
                ExprKind::Unary { op, operand } => format!("({op:?} {})", walk(operand)),
                ExprKind::Name(name) => name.text.to_string(),
                ExprKind::Member { base, name } => format!("{}.{}", walk(base), name.text),
                ExprKind::Call { callee, .. } => format!("{}()", walk(callee)),
                _ => "other".to_owned(),
            }
        }
        let parsed = parsed(&format!("let x = {text}"));
        assert_eq!(parsed.diagnostics, [], "{text}");
        let ItemKind::Let(item) = &parsed.module.items[0].kind else { panic!("no let") };
        walk(&item.value)
    }
    assert_eq!(show("a || b && c == d ?? e"), "(a Or (b And (c Eq (d Coalesce e))))");
    assert_eq!(show("a - b - c * d"), "((a Sub b) Sub (c Mul d))");
    assert_eq!(show("!a.b() && -c in d..=e + f"), "((Not a.b()) And ((Neg c) In (d Range (e Add f))))");
    assert_eq!(show("a ?? b ?? c"), "(a Coalesce (b Coalesce c))");
    assert_eq!(show("(a + b) * c"), "((a Add b) Mul c)");
}

#[test]
fn bodies_in_any_layout() {
    let parsed = check_round_trip(
        "image a { from = b, machine = { cpus = 2 } sh \"x\" { script = \"y\" timeout = 5m } use c() if d { } for e in f { } }",
    );
    assert_eq!(parsed.diagnostics, []);
    let ItemKind::Image { body, .. } = &parsed.module.items[0].kind else { panic!("no image") };
    assert_eq!(body.len(), 6);
    let StatementKind::Step { fields, .. } = &body[2].kind else { panic!("no step") };
    assert_eq!(fields.len(), 2);
    // Words that begin items are names at other places.
    let words = "let a = { image = test, test = image, use_it = output.param }\nimage test: Image<x> { param = secret }\noutput x = f(image: web)\n";
    assert_eq!(messages(words), Vec::<String>::new());
}

#[test]
fn one_broken_line_is_one_diagnostic() {
    let text = "\
param x Int = 5
let a =
let b = f(1, 2
image web {
  from = rootfs.debian(suite = \"x\")
  nonsense here and there
  sh \"a\" { script: \"y\" }
  timeout =
  sh \"b\" { script = \"unclosed }
}
  use a.b
}
output c = 1 2
";
    let found = messages(text);
    assert_eq!(
        found,
        [
            "1 IMG0006 expected `:` and a type after `x`",
            "2 IMG0006 expected a value after `=`",
            "3 IMG0007 expected `)` to close `(`",
            "5 IMG0010 an argument is named with `:`: `suite: …`",
            "6 IMG0005 expected a step or another statement, found `nonsense`",
            "7 IMG0010 a field is written with `=`: `script = …`",
            "8 IMG0006 expected a value after `=`",
            "9 IMG0008 expected `\"` to end this text",
            "11 IMG0006 expected arguments in `( … )` after `b`",
            "13 IMG0004 unexpected `2` after the end of the item",
        ]
    );
}

#[test]
fn an_unclosed_body_ends_at_the_next_item() {
    let text = "image a {\n  sh \"x\" {\n    script = \"y\"\n\nimage b {\n  from = a\n}\n";
    assert_eq!(messages(text), ["3 IMG0007 expected `}` to close `{`"]);
    assert_eq!(parsed(text).module.items.len(), 2);
}

#[test]
fn numbers() {
    let found = messages("let a = [5M, 1.5GiB, 0644, 99999999999999999999, 3min, 1m1h]\n");
    assert_eq!(
        found,
        [
            "1 IMG0013 `5M` can mean two things",
            "1 IMG0014 there are no fractions",
            "1 IMG0016 a number does not begin with `0`",
            "1 IMG0015 `99999999999999999999` is too large",
            "1 IMG0017 `min` is not a unit",
            "1 IMG0018 the units of a duration stand from large to small, each once",
        ]
    );
}

#[test]
fn habits_of_other_languages() {
    let found = messages(
        "variable \"x\" {\n  type = string\n}\nFROM debian\nRUN apt-get update\nparm x: Int\nlet y = ${HOME}\nlet z = 'text'\n",
    );
    assert_eq!(
        found,
        [
            "1 IMG0004 `variable` belongs to Packer and Terraform",
            "4 IMG0004 `FROM` belongs to Dockerfiles",
            "5 IMG0004 `RUN` belongs to Dockerfiles",
            "6 IMG0004 expected an item, found `parm`; did you mean `param`?",
            "7 IMG0005 `${…}` is no expression",
            "8 IMG0005 a text stands in double quotes",
        ]
    );
}

/// Every fix: applied and parsed again, its diagnostic is gone and nothing new came.
#[test]
fn fixes_mend() {
    let broken = [
        "let a = 5M\n",
        "let a = 1.5GiB\n",
        "let a = 0644\n",
        "let a = 5mb\n",
        "let a = 1..2\n",
        "let a = [1 2]\n",
        "let a = f(b = 1)\n",
        "let a = { b: 1 }\n",
        "let a = \"\\d\"\n",
        "a = 1\n",
        "imge x { }\n",
        "image a { use b }\n",
        "let a = [for x xs: x]\n",
        "import { a } \"./b.imgc\"\n",
    ];
    for text in broken {
        let before = parsed(text);
        assert_eq!(before.diagnostics.len(), 1, "{text}");
        assert!(!before.diagnostics[0].fixes.is_empty(), "{text}");
        for fix in &before.diagnostics[0].fixes {
            let mut mended = text.to_owned();
            for (at, with) in &fix.edits {
                let base = before.module.starts[at.item as usize];
                mended.replace_range((base + at.span.start) as usize..(base + at.span.end) as usize, with);
            }
            assert_eq!(messages(&mended), Vec::<String>::new(), "{text} by {}: {mended}", fix.title);
        }
    }
}
