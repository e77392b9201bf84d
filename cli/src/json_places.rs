//! Where in the text of a JSON object the values of its own keys are. The text is known to be JSON.

use std::ops::Range;

/// The range of the value that the object has under `key`; the last one where it has several, as JSON reads it.
pub(crate) fn value_of(text: &str, key: &str) -> Option<Range<usize>> {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    scan.blank();
    scan.take(b'{')?;
    let mut found = None;
    loop {
        scan.blank();
        if scan.peek() == Some(b'}') {
            return found;
        }
        let name = scan.value()?;
        let name: String = serde_json::from_str(text.get(name)?).ok()?;
        scan.blank();
        scan.take(b':')?;
        scan.blank();
        let value = scan.value()?;
        if name == key {
            found = Some(value);
        }
        scan.blank();
        if scan.peek() == Some(b',') {
            scan.at += 1;
        }
    }
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// Goes over one value.
    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            let ends =
                self.peek().is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b'}' | b']'));
            if depth == 0 && ends {
                return Some(start..self.at);
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_key_at_the_top_only() {
        let text = r#" { "a" : {"b": [1, "}"]} , "b":"x\"y", "c": 12 } "#;
        let found = |key| value_of(text, key).map(|range| &text[range]);
        assert_eq!(found("a"), Some(r#"{"b": [1, "}"]}"#));
        assert_eq!(found("b"), Some(r#""x\"y""#));
        assert_eq!(found("c"), Some("12"));
        assert_eq!(found("d"), None);
        assert_eq!(value_of("[1]", "a"), None);
    }
}
