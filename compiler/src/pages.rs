//! What `imgc explain CODE` prints: one page a code, as data files in `pages/`. Unaware of who raises the codes.
//!
//! A page is Markdown: a title, what the code is about, and examples in fences. `imgc wrong` gives the code, `imgc right`
//! gives no error; `file=PATH` names a further file of the example (else it is `main.imgc`), `args` holds arguments as
//! `name = value` lines, `repeat=N` writes the text so often.

const PAGES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// `IMG` and four digits.
    pub code: &'static str,
    /// Markdown.
    pub text: &'static str,
}

/// A part of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The heading of the page.
    Title(&'static str),
    /// A line of text; empty between paragraphs.
    Line(&'static str),
    /// An example.
    Example(Example),
}

/// A file of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// Whether the code is what it gives.
    pub wrong: bool,
    /// Relative to the package; none for arguments.
    pub file: Option<&'static str>,
    /// What is in it.
    pub text: &'static str,
    /// How often the text stands there, for examples of limits; once but for those.
    pub repeat: usize,
}

/// All pages, by code.
pub fn all() -> impl Iterator<Item = Page> {
    PAGES.iter().map(|(code, text)| Page { code, text })
}

/// The page of a code.
pub fn page(code: &str) -> Option<Page> {
    all().find(|page| page.code == code)
}

impl Page {
    /// What the code is about, in a few words.
    pub fn title(self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// In order.
    pub fn parts(self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut rest = self.text;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            if let Some(title) = line.strip_prefix("# ") {
                parts.push(Part::Title(title));
            } else if let Some(info) = line.strip_prefix("```") {
                let end = rest.find("```").unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                rest = after.split_once('\n').map_or("", |(_, after)| after);
                parts.push(Part::Example(example(info, text)));
            } else {
                parts.push(Part::Line(line));
            }
        }
        parts
    }

    /// The files of the wrong or of the right example.
    pub fn examples(self, wrong: bool) -> Vec<Example> {
        let example = |part| match part {
            Part::Example(example) if example.wrong == wrong => Some(example),
            Part::Example(_) | Part::Title(_) | Part::Line(_) => None,
        };
        self.parts().into_iter().filter_map(example).collect()
    }
}

fn example(info: &'static str, text: &'static str) -> Example {
    let mut words = info.split_whitespace();
    let kind = words.next().unwrap_or_default();
    let option = |name| info.split_whitespace().find_map(|word| word.strip_prefix(name));
    let named = option("file=");
    let repeat = option("repeat=").and_then(|times| times.parse().ok()).unwrap_or(1);
    let file = if kind == "args" { None } else { Some(named.unwrap_or("main.imgc")) };
    Example { wrong: info.split_whitespace().any(|word| word == "wrong"), file, text, repeat }
}
