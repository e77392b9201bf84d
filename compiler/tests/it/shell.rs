//! Values in shell scripts, against a real shell: each arrives byte for byte, and none is ever run.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground is gone")]

use std::process::Command;

use imgc_compiler::script::{Context, Part, contexts, escape, words};

use crate::random::Random;
use crate::samples::tries;

/// The parts of a script in which `@` stands for a hole.
fn parts(script: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for (position, text) in script.split('@').enumerate() {
        if position > 0 {
            parts.push(Part::Hole);
        }
        parts.push(Part::Text(text));
    }
    parts
}

/// The script with the values in its holes; nothing where one is refused.
fn filled(script: &str, values: &[&str]) -> Option<String> {
    let parts = parts(script);
    let contexts = contexts(&parts);
    assert_eq!(contexts.len(), values.len(), "{script}");
    let mut holes = contexts.into_iter().zip(values);
    let mut filled = String::new();
    for part in parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Hole => {
                let (context, value) = holes.next()?;
                filled.push_str(&escape(context.ok()?, value).ok()?);
            }
        }
    }
    Some(filled)
}

fn run(script: &str) -> (Vec<u8>, Vec<u8>) {
    let output = Command::new("/bin/sh").arg("-c").arg(script).current_dir("/").output().unwrap();
    (output.stdout, output.stderr)
}

/// A value of pieces that mean something to a shell.
fn value(random: &mut Random) -> String {
    const PIECES: [&str; 36] = [
        "'",
        "\"",
        "$",
        "`",
        "\\",
        "(",
        ")",
        "{",
        "}",
        "\n",
        " ",
        "\t",
        "!",
        "*",
        "?",
        "[",
        "]",
        "#",
        "~",
        "&",
        "|",
        ";",
        "<",
        ">",
        "-",
        "a",
        "0",
        "\u{e9}",
        "\u{20ac}",
        "\u{1}",
        "\u{81}",
        "\u{7f}",
        "EOF\n",
        "$(echo x)",
        "${HOME}",
        "\r",
    ];
    (0..random.below(9)).map(|_| random.pick(&PIECES)).collect()
}

#[test]
fn values_arrive_byte_for_byte() {
    // Each prints `<`, the value and `>`.
    const SCRIPTS: [&str; 18] = [
        "printf '<%s>' @",
        "printf '<%s>' \"@\"",
        "printf '<%s>' '@'",
        "x=@; printf '<%s>' \"$x\"",
        "x=\"@\" y='b'; printf '<%s>' \"$x\"",
        "x=\"$(printf '%s.' \"@\")\"; printf '<%s>' \"${x%.}\"",
        "x=$(printf '%s.' '@'); printf '<%s>' \"${x%.}\"",
        "H=h; x=\"$H@\"; printf '<%s>' \"${x#h}\"",
        "x=a@b; x=${x#a}; printf '<%s>' \"${x%b}\"",
        "x=\"a@b\"; x=${x#a}; printf '<%s>' \"${x%b}\"",
        "cat <<EOF >/dev/null\n'\"\nEOF\nprintf '<%s>' @",
        "cat <<-'EOF' >/dev/null\n\t$(\n\tEOF\nprintf '<%s>' '@'",
        "if true; then # it's \"fun\"\n  printf '<%s>' @; fi",
        "f() { printf '<%s>' \"$1\"; }; f @",
        "y=\"$(( (1 + 2) * 3 ))\\\"\\$\"; printf '<%s>' \"@\"",
        ": `echo \"it's\"`; printf '<%s>' @",
        "case a in a) printf '<%s>' \"@\";; esac",
        "sh -c 'printf \"<%s>\" \"$1\"' _ @",
    ];
    let mut random = Random(42);
    for round in 0..tries().clamp(300, 1_000) {
        let script = SCRIPTS[round % SCRIPTS.len()];
        let value = value(&mut random);
        let filled = filled(script, &[&value]).unwrap_or_else(|| panic!("refused: {script}"));
        let (out, err) = run(&filled);
        assert_eq!(String::from_utf8_lossy(&out), format!("<{value}>"), "{filled}\n{}", String::from_utf8_lossy(&err));
    }
}

#[test]
fn lists_arrive_as_words() {
    let mut random = Random(43);
    for _ in 0..50 {
        let values: Vec<String> = (0..random.below(4)).map(|_| value(&mut random)).collect();
        assert_eq!(contexts(&parts("f @"))[0], Ok(Context::Bare { alone: true }));
        let list = words(values.iter().map(String::as_str)).unwrap();
        let (out, _) = run(&format!("f() {{ for x; do printf '<%s>' \"$x\"; done; }}; f {list}"));
        let expected = values.iter().fold(String::new(), |all, value| all + "<" + value + ">");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}

/// What shell scripts are made of; `@` is a hole.
const SHELL: [&str; 44] = [
    "'",
    "'",
    "\"",
    "\"",
    "`",
    "$",
    "$(",
    ")",
    ")",
    "(",
    "((",
    "))",
    "$((",
    "1",
    "{",
    "}",
    "${x",
    "${x:-",
    "}",
    "\\",
    "\n",
    "\n",
    " ",
    " ",
    "#",
    " # ",
    ";",
    "&",
    "|",
    "echo ",
    "echo ",
    "a",
    "x=",
    "<<E\n",
    "<<-E",
    "\nE\n",
    "<<'E'\n",
    "case x in ",
    "x) ",
    ";; esac",
    "$x",
    "@",
    "@",
    "@",
];

/// Values that run something where their quoting is wrong.
const HOSTILE: [&str; 6] = [
    "'; echo RAN$((6*7)) >&2; '",
    "\"; echo RAN$((6*7)) >&2; \"",
    "$(echo RAN$((6*7)) >&2)",
    "\necho RAN$((6*7)) >&2\n",
    "`echo RAN$((6*7)) >&2`",
    "\nE\necho RAN$((6*7)) >&2\n",
];

/// Scripts of random pieces: whatever the scanner lets through, no value is run.
#[test]
fn no_value_is_ever_run() {
    let mut random = Random(44);
    let mut ran = 0;
    for _ in 0..tries().min(4_000) * 5 {
        let mut script: String = (0..4 + random.below(14)).map(|_| random.pick(&SHELL)).collect();
        if !script.contains('@') {
            script.push_str("@\n");
        }
        let values: Vec<&str> = script.matches('@').map(|_| random.pick(&HOSTILE)).collect();
        let Some(filled) = filled(&script, &values) else { continue };
        ran += 1;
        let (out, err) = run(&filled);
        let said = [out, err].concat();
        assert!(!String::from_utf8_lossy(&said).contains("RAN42"), "{script:?}\n{filled}");
    }
    assert!(ran > 100, "only {ran} scripts were let through");
}
