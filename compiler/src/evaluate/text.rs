//! Texts and scripts, put together from values: what is known grows in one buffer, what is not stays a hole in it.

use std::sync::Arc;

use imgc_plan::Escape;

use crate::script::{self, Context};

use super::{Hole, Value};

/// A text or script while it is put together.
#[derive(Default)]
pub(super) struct Text {
    /// Up to the last hole.
    parts: Vec<Hole>,
    /// What is known behind it.
    tail: String,
    /// Whether something is, were it an empty text.
    has_tail: bool,
}

/// Values one after the other as one text; none where one of them has no text.
pub(super) fn joined<'v>(values: impl Iterator<Item = &'v Value>, between: &str) -> Option<Value> {
    let mut text = Text::default();
    for (n, value) in values.enumerate() {
        if n > 0 && !between.is_empty() {
            text.push(between);
        }
        text.add(value)?;
    }
    Some(text.finish(None))
}

impl Text {
    /// With room for what is known before and for `holes` that are short.
    pub(super) fn with_room(known: usize, holes: usize) -> Self {
        const SHORT: usize = 16;
        Self { tail: String::with_capacity(known + holes * SHORT), ..Self::default() }
    }

    /// Adds what is known.
    pub(super) fn push(&mut self, text: &str) {
        self.tail.push_str(text);
        self.has_tail = true;
    }

    fn push_escaped(&mut self, context: Context, text: &str) -> Option<()> {
        self.has_tail = true;
        script::add_escaped(context, text, &mut self.tail).ok()
    }

    /// Adds a value as it is; none where it has no text.
    pub(super) fn add(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::Secret(name) => self.hole(Hole::Secret(name.clone())),
            Value::Build(value) => self.hole(Hole::Build { value: value.clone(), escape: None }),
            Value::Template { parts, .. } => parts.iter().for_each(|part| self.hole(part.clone())),
            other => {
                other.add_text(&mut self.tail)?;
                self.has_tail = true;
            }
        }
        Some(())
    }

    /// Adds a value as it is written in its context; none where it has no text or holds a byte 0.
    pub(super) fn add_written(&mut self, value: &Value, context: Context) -> Option<()> {
        match value {
            Value::List(items) => self.words(items.iter(), context),
            Value::Set(items) => self.words(items.iter(), context),
            other => self.word(other, context),
        }
    }

    /// The value that it is: a text, or a script of this shell; with holes where something is open.
    pub(super) fn finish(mut self, shell: Option<Arc<str>>) -> Value {
        if self.parts.is_empty() {
            let text = Arc::from(self.tail);
            return match shell {
                Some(shell) => Value::Script { shell, text },
                None => Value::Text(text),
            };
        }
        self.cut();
        Value::Template { shell, parts: Arc::new(self.parts) }
    }

    fn hole(&mut self, hole: Hole) {
        match hole {
            Hole::Text(text) => self.push(&text),
            open @ (Hole::Secret(_) | Hole::Build { .. }) => {
                self.cut();
                self.parts.push(open);
            }
        }
    }

    /// Makes a part of what is known.
    fn cut(&mut self) {
        if std::mem::take(&mut self.has_tail) {
            self.parts.push(Hole::Text(std::mem::take(&mut self.tail).into()));
        }
    }

    fn words<'v>(&mut self, items: impl Iterator<Item = &'v Value>, context: Context) -> Option<()> {
        // Commands and functions of PowerShell take an array, and programs its elements.
        let (open, between, close) =
            if matches!(context, Context::PowerBare { .. }) { ("@(", ", ", ")") } else { ("", " ", "") };
        self.push(open);
        for (n, item) in items.enumerate() {
            if n > 0 {
                self.push(between);
            }
            self.word(item, context)?;
        }
        self.push(close);
        Some(())
    }

    fn word(&mut self, value: &Value, context: Context) -> Option<()> {
        // In PowerShell `'a''b'` is one text with a quote in it: the quotes stand around all of them.
        let (quote, context) = match context {
            Context::PowerBare { .. } => (Some("'"), Context::PowerSingle),
            other => (None, other),
        };
        if let Some(quote) = quote {
            self.push(quote);
        }
        match value {
            Value::Secret(_) => return None,
            Value::Build(value) => {
                self.hole(Hole::Build { value: value.clone(), escape: Some(escape_of(context)) });
            }
            Value::Template { parts, .. } => self.parts_of_word(parts, context)?,
            Value::Text(text) | Value::Script { text, .. } => self.push_escaped(context, text)?,
            other => self.push_escaped(context, &other.to_text()?)?,
        }
        if let Some(quote) = quote {
            self.push(quote);
        }
        Some(())
    }

    fn parts_of_word(&mut self, parts: &[Hole], context: Context) -> Option<()> {
        for (n, part) in parts.iter().enumerate() {
            // Only before the first part of a value stands what stood there in the script.
            let context = match context {
                Context::Double { .. } if n > 0 => Context::Double { after_name: false },
                Context::PowerDouble { .. } if n > 0 => Context::PowerDouble { after_name: false },
                other => other,
            };
            match part {
                Hole::Text(text) => self.push_escaped(context, text)?,
                Hole::Secret(_) => return None,
                Hole::Build { value, .. } => {
                    self.hole(Hole::Build { value: value.clone(), escape: Some(escape_of(context)) });
                }
            }
        }
        Some(())
    }
}

/// What [`script::escape`] does in a context, as a table: so there is one place that knows how shells quote.
fn escape_of(context: Context) -> Escape {
    let around = script::escape(context, "x").unwrap_or_default();
    let (open, close) = around.split_once('x').unwrap_or_default();
    let inner = |c: char| {
        let whole = script::escape(context, &c.to_string()).ok()?;
        let inner = whole.strip_prefix(open)?.strip_suffix(close)?;
        (inner != c.to_string()).then(|| (c, inner.to_owned()))
    };
    // Beyond ASCII only PowerShell has quotes.
    let quotes = ['\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}', '\u{201c}', '\u{201d}', '\u{201e}'];
    let special = (1_u8..=127).map(char::from).chain(quotes).filter_map(inner);
    Escape { open: open.to_owned(), close: close.to_owned(), replace: special.collect() }
}
