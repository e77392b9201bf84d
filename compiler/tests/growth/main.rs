//! Nothing grows faster than the text: what the parser does is counted, what follows is measured.
//!
//! pest's limit of calls is one for the process, and these tests move it: they have a binary of their own.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use imgc_compiler::{ModuleId, format, parse};

#[path = "../it/world.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "shared with tests that need more of it")]
mod world;

use world::MapWorld;

/// What stands once, and what is repeated behind it.
const PIECES: &[(&str, &str)] = &[
    // Signs before an operand that never comes, or comes late.
    ("let x = ", "-"),
    ("let x = ", "!"),
    ("let x = ", "-\n"),
    ("let x = ", "1 - "),
    ("let x = [", "-,"),
    ("let x = [", "- x ! "),
    ("let x = f(", "-"),
    ("let x = { ", "a = -\n"),
    ("let x = match ", "-"),
    ("image a { ", "if - "),
    ("image a { x = ", "-\n"),
    ("", "-"),
    // Brackets.
    ("let x = ", "["),
    ("let x = ", "("),
    ("let x = ", "{"),
    ("let x = ", "f("),
    ("let x = ", "[]"),
    ("let x = ", "() "),
    ("let x = [", "{} "),
    ("let x = a", "[1]"),
    ("let x = (", "(a = "),
    ("let x = ", "Host { "),
    ("", "{"),
    ("", ")"),
    ("image a {", "{}\n"),
    ("image a {\n", "{{}}\n"),
    ("let x: ", "List<"),
    ("let x: ", "list("),
    // Texts and holes.
    ("let x = ", "\"\\{"),
    ("let x = \"", "\\{"),
    ("let x = \"", "\\{a"),
    ("let x = \"\"\"", "\\{a\n"),
    ("let x = \"\"\"", "\\{\"\"\""),
    ("", "\"\\{"),
    ("", "\"\n"),
    ("", "\"\"\"\n"),
    // Words.
    ("let x = ", "if "),
    ("let x = ", "if a then b else "),
    ("let x = ", "if a = "),
    ("image a { if a {}", "else if a {} "),
    ("image a { ", "if a "),
    ("let x = ", "match "),
    ("let x = ", "match a { b => "),
    ("let x = match a { ", "b => c "),
    ("let x = match a { ", "b | "),
    ("image a { match a { ", "b => {} "),
    ("let x = [", "for "),
    ("let x = [", "for a in b "),
    ("image a { ", "use "),
    ("image a { ", "for a in "),
    // Names.
    ("let x = a", ".a"),
    ("let x = ", "a.\n"),
    ("let x = [", "a.\n"),
    ("image a { ", "a."),
    ("image a {\n", "a.\n"),
    ("image a {\n", "a.a\n"),
    ("image a {\n", "a.a \"x\"\n"),
    ("let x: ", "a."),
    // Operators.
    ("let x = a", " + a"),
    ("let x = a", " == "),
    ("let x = a", " = "),
    ("let x = f(", "x => "),
    ("let x = f((", "x, "),
    ("let x = f(", "(x, "),
    ("let x = f(", "a: "),
    ("let x = [", "..."),
    ("let x: ", "a | "),
    ("let x = ", "linux/* "),
    // Comments and blanks.
    ("", "// c\n"),
    ("", "/// c\n\n"),
    ("let x = [", "1 // c\n"),
    ("record r {", "/// c\na: Int\n"),
    ("let x = ((((((((1", " // c\n"),
    // Items.
    ("", "let a = "),
    ("", "let a = (\n"),
    ("", "image a {\n"),
    ("image a\n", "x = 1\n"),
    ("image a { sh \"a\"\n", "x = 1\n"),
    ("", "import {"),
    ("", "@a "),
    ("", "pub "),
    ("fn f(", "a,"),
    ("enum e {", "a(\n"),
];

/// How often a piece stands where its calls are counted; of what lies too deep in itself later, a fifth as often.
const COUNTED: usize = 100;

/// How often it stands where the calls are compared with that.
const TIMES: [usize; 3] = [500, 1000, 2000];

/// How many of pest's calls a text may take before it is refused.
fn allow(calls: usize) {
    pest::set_call_limit(NonZeroUsize::new(calls));
}

/// Whether a text is read, or refused as a whole.
fn is_read(text: &str) -> bool {
    let parsed = parse::parse(text, ModuleId(0));
    let first = parsed.diagnostics.first();
    !first.is_some_and(|first| first.code == "IMG0003" && first.primary.at.span.end == 0)
}

/// The calls that a text takes, at most this many, and not many more than it takes.
fn calls(text: &str, most: usize) -> usize {
    let (mut low, mut high) = (1, most);
    while low + low / 30 < high {
        let middle = low.midpoint(high);
        allow(middle);
        if is_read(text) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    high
}

#[test]
fn calls_of_the_parser_grow_with_length() {
    // The limit only ever grows: after a long text, no other moves it.
    assert!(is_read(&" ".repeat(parse::MAX_BYTES)));
    for (start, piece) in PIECES {
        let text = |times: usize| format!("{start}{}", piece.repeat(times));
        allow(usize::MAX);
        let divided = if is_read(&text(TIMES[2])) { 1 } else { 5 };
        assert!(is_read(&text(TIMES[2] / divided)), "{start}{piece} is refused whatever the limit");
        let counted = text(COUNTED / divided);
        let least = calls(&counted, 400 * counted.len());
        for times in TIMES {
            allow(least * times / COUNTED * 11 / 10 + 1000);
            assert!(is_read(&text(times / divided)), "{start}{piece}: {least} calls at {COUNTED}, too many at {times}");
        }
    }
}

/// What this thread has computed, where the system tells (Linux): other work on the machine does not count.
fn computed(begin: Instant) -> Duration {
    // The system counts when it looks for whose turn it is.
    std::thread::yield_now();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|text| text.parse().ok());
    nanoseconds.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

/// What parsing, formatting, checking and planning take, at best.
fn time(text: &str) -> Duration {
    let world = MapWorld::of(text);
    let all = || {
        let begin = Instant::now();
        let before = computed(begin);
        drop(format::format(&parse::parse(text, ModuleId(0))));
        drop(imgc_compiler::plan(&world, "main.imgc"));
        computed(begin).saturating_sub(before)
    };
    all()
}

#[test]
fn time_grows_with_length_in_every_stage() {
    const SHORT: usize = 512;
    let program = |(start, piece): (&str, &str), bytes: usize| format!("{start}{}", piece.repeat(bytes / piece.len()));
    // Reads the standard library, once for the process.
    time("");
    let floor = time("let x = 1\n");
    let mut slow = Vec::new();
    for piece in PIECES {
        let growth = || {
            let short = time(&program(*piece, SHORT)).saturating_sub(floor).max(Duration::from_millis(2));
            (short, time(&program(*piece, SHORT * 16)))
        };
        // Linear is 16, quadratic 256. Once more where it was disturbed.
        let is_slow = |(short, long): &(Duration, Duration)| *long > *short * 64;
        if let Some((short, long)) = Some(growth()).filter(is_slow).and_then(|_| Some(growth()).filter(is_slow)) {
            slow.push(format!("{piece:?}: {short:?}, and 16 times the length {long:?}"));
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}
