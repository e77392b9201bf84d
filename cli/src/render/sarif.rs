//! Diagnostics as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), for what shows findings of many tools.

use std::fmt::Write as _;

use std::collections::BTreeMap;
use std::path::Path;

use imgc_compiler::{Diagnostic, Fix, Label, Place, Severity, Sources, pages};
use serde_json::{Value, json};

/// Of the format.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// What paths of the package are relative to.
const PACKAGE: &str = "PACKAGE";

/// One log with one run. `root` is the package's directory.
pub(crate) fn document(diagnostics: &[Diagnostic], sources: &Sources, root: &Path) -> Value {
    // Each code once, in order.
    let mut rules: BTreeMap<&str, usize> = diagnostics.iter().map(|d| (d.code, 0)).collect();
    for (number, (_, index)) in rules.iter_mut().enumerate() {
        *index = number;
    }
    let results: Vec<Value> =
        diagnostics.iter().map(|d| result(d, rules.get(d.code).copied().unwrap_or(0), sources)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "imgc",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.keys().map(|code| rule(code)).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": { PACKAGE: { "uri": format!("file://{}/", encoded(&root.display().to_string())) } },
            "results": results,
        }],
    })
}

fn rule(code: &str) -> Value {
    let page = pages::page(code);
    let title = page.map_or("", pages::Page::title);
    json!({
        "id": code,
        "shortDescription": { "text": if title.is_empty() { code } else { title } },
        "help": { "text": format!("`imgc explain {code}` tells more"), "markdown": page.map_or("", |page| page.text) },
    })
}

fn result(diagnostic: &Diagnostic, rule: usize, sources: &Sources) -> Value {
    let mut text = diagnostic.message.clone();
    for more in diagnostic.notes.iter().chain(&diagnostic.help) {
        text.push('\n');
        text.push_str(more);
    }
    let related = |(number, label): (usize, &Label)| {
        let mut location = location(label, sources);
        if let Some(fields) = location.as_object_mut() {
            fields.insert("id".to_owned(), json!(number));
        }
        location
    };
    let fixes: Vec<Value> = diagnostic.fixes.iter().map(|fix| self::fix(fix, sources)).collect();
    json!({
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": { "text": text },
        "locations": [location(&diagnostic.primary, sources)],
        "relatedLocations": diagnostic.secondary.iter().enumerate().map(related).collect::<Vec<_>>(),
        "fixes": fixes,
    })
}

fn location(label: &Label, sources: &Sources) -> Value {
    let place = sources.place(&label.at);
    let mut location = json!({
        "physicalLocation": { "artifactLocation": artifact(&place), "region": region(&place) },
    });
    if !label.text.is_empty()
        && let Some(fields) = location.as_object_mut()
    {
        fields.insert("message".to_owned(), json!({ "text": label.text }));
    }
    location
}

fn fix(fix: &Fix, sources: &Sources) -> Value {
    let changes = fix.edits.iter().map(|(at, text)| {
        let place = sources.place(at);
        json!({
            "artifactLocation": artifact(&place),
            "replacements": [{ "deletedRegion": region(&place), "insertedContent": { "text": text } }],
        })
    });
    json!({ "description": { "text": fix.title }, "artifactChanges": changes.collect::<Vec<_>>() })
}

fn artifact(place: &Place) -> Value {
    json!({ "uri": encoded(&place.path), "uriBaseId": PACKAGE })
}

/// Lines and columns count from 1; the end is exclusive.
fn region(place: &Place) -> Value {
    let inside = place.text.get(place.start..place.end).unwrap_or_default();
    let breaks = inside.matches('\n').count();
    let last = inside.rsplit('\n').next().unwrap_or_default().chars().count();
    let end_column = if breaks == 0 { place.column as usize + last } else { last + 1 };
    json!({
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.line as usize + breaks,
        "endColumn": end_column,
        "byteOffset": place.start,
        "byteLength": place.end - place.start,
    })
}

/// A path as part of a URI (RFC 3986): everything but unreserved characters and `/` is encoded.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_become_parts_of_uris() {
        assert_eq!(super::encoded("a b/ü.imgc"), "a%20b/%C3%BC.imgc");
    }
}
