//! `imgc explain IMG2001`: what a diagnostic means, with a program that gives it and one that does not.

use imgc_compiler::pages::{self, Example, Part};

use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::terminal::{Style, paint};

/// The code, if the argument has the form of one, in any case.
pub(crate) fn number(what: &str) -> Option<String> {
    let what = what.to_ascii_uppercase();
    let digits = what.strip_prefix("IMG")?;
    (digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(what)
}

/// Prints a page.
pub(crate) fn run(code: &str, cx: &Context) -> Outcome {
    let Some(page) = pages::page(code) else {
        return Err(Failure::usage(format!("there is no code `{code}`"))
            .help("codes stand in front of what `imgc check` reports, and in its `--format json`"));
    };
    let color = cx.terminal.out_color;
    let mut heading = None;
    for part in page.parts() {
        match part {
            Part::Title(title) => cx.terminal.out(paint(color, Style::Bold, format_args!("{code}: {title}"))),
            Part::Line(line) => cx.terminal.out(line),
            Part::Example(example) => {
                let first = heading != Some(example.wrong);
                heading = Some(example.wrong);
                cx.terminal.out(shown(&example, first, color));
            }
        }
    }
    Ok(Exit::Done)
}

/// An example, indented, below what it shows and the file it stands in.
fn shown(example: &Example, first: bool, color: bool) -> String {
    let mut text = String::new();
    if first {
        let (style, heading) = if example.wrong { (Style::Red, "Wrong:") } else { (Style::Green, "Right:") };
        text.push_str(&paint(color, style, heading));
        text.push_str("\n\n");
    }
    match example.file {
        Some("main.imgc") => {}
        Some(file) => text.extend(["  ", file, ":\n"]),
        None => text.push_str("  with these arguments:\n"),
    }
    for line in example.text.lines() {
        text.push_str(if line.is_empty() { "" } else { "    " });
        text.push_str(line);
        text.push('\n');
    }
    if example.repeat > 1 {
        text.extend(["    … and so on, ", &example.repeat.to_string(), " times"]);
    } else {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn codes_are_told_from_addresses() {
        assert_eq!(number("img2001").as_deref(), Some("IMG2001"));
        assert_eq!(number("IMG20011"), None);
        assert_eq!(number("web/sh \"enable\""), None);
        assert_eq!(number("IMGX"), None);
    }
}
