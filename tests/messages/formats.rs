//! `imgc check --format json` and `--format sarif`.

use serde_json::Value;

use crate::bed::Bed;

const PROGRAM: &str =
    "let a = 1\nlet a = 2\noutput o = [1 2]\noutput s = \"\\{stze}\"\nlet size = \"ü\"\nimport \"./a b.imgc\" as b\n";

fn said(format: &str) -> Value {
    let bed = Bed::new(PROGRAM);
    bed.write("a b.imgc", "let t = 1 < 2 < 3\n");
    let said = bed.imgc(&["check", "--format", format]);
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""));
    serde_json::from_str(&said.out).expect("JSON")
}

#[test]
fn json_holds_everything_a_diagnostic_says() {
    let document = said("json");
    assert_eq!(document["format"], 1);
    let all = document["diagnostics"].as_array().expect("list");
    let codes: Vec<&str> = all.iter().map(|d| d["code"].as_str().expect("code")).collect();
    assert!(["IMG1005", "IMG0009", "IMG1004", "IMG0021"].iter().all(|code| codes.contains(code)), "{codes:?}");
    for d in all {
        for key in ["severity", "message", "primary", "secondary", "notes", "help", "fixes", "tags"] {
            assert!(d.get(key).is_some(), "{d} lacks {key}");
        }
    }
    let comma = all.iter().find(|d| d["code"] == "IMG0009").expect("comma");
    assert_eq!((&comma["primary"]["line"], &comma["primary"]["column"]), (&3.into(), &14.into()));
    assert_eq!(comma["fixes"][0]["edits"][0]["text"], ",");
    assert_eq!(comma["fixes"][0]["applicability"], "safe");
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} is no text in {value}"))
}

/// What the schema demands of a region, and what we promise beyond it.
fn region(value: &Value) {
    let number = |key: &str| value[key].as_u64().unwrap_or_else(|| panic!("{key} is missing in {value}"));
    let (line, column) = (number("startLine"), number("startColumn"));
    assert!(line >= 1 && column >= 1 && (number("endLine"), number("endColumn")) >= (line, column), "{value}");
    assert!(number("byteOffset") + number("byteLength") <= PROGRAM.len() as u64, "{value}");
}

fn artifact(value: &Value) {
    let uri = text(value, "/uri");
    assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()) && !uri.starts_with('/'), "{uri}");
    assert_eq!(text(value, "/uriBaseId"), "PACKAGE");
}

/// The parts of the SARIF 2.1.0 schema that our log uses: required members, types, bounds, references by index.
#[test]
fn sarif_has_the_shape_of_2_1_0() {
    let log = said("sarif");
    assert_eq!(text(&log, "/version"), "2.1.0");
    assert!(text(&log, "/$schema").ends_with("sarif-schema-2.1.0.json"));
    assert_eq!(log["runs"].as_array().expect("runs").len(), 1);
    let run = &log["runs"][0];
    assert_eq!(text(run, "/tool/driver/name"), "imgc");
    assert_eq!(text(run, "/columnKind"), "unicodeCodePoints");
    let base = text(run, "/originalUriBaseIds/PACKAGE/uri");
    assert!(base.starts_with("file:///") && base.ends_with('/'), "{base}");
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    for rule in rules {
        assert!(
            !text(rule, "/shortDescription/text").is_empty() && text(rule, "/help/text").contains(text(rule, "/id"))
        );
    }
    let results = run["results"].as_array().expect("results");
    assert!(results.len() >= 4);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("index")).expect("index");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning"].contains(&text(result, "/level")));
        assert!(!text(result, "/message/text").is_empty());
        let related = result["relatedLocations"].as_array().expect("list");
        for location in result["locations"].as_array().expect("locations").iter().chain(related) {
            artifact(&location["physicalLocation"]["artifactLocation"]);
            region(&location["physicalLocation"]["region"]);
        }
        for fix in result["fixes"].as_array().expect("fixes") {
            assert!(!text(fix, "/description/text").is_empty());
            for change in fix["artifactChanges"].as_array().expect("changes") {
                artifact(&change["artifactLocation"]);
                for replacement in change["replacements"].as_array().expect("replacements") {
                    region(&replacement["deletedRegion"]);
                    text(replacement, "/insertedContent/text");
                }
            }
        }
    }
    let elsewhere =
        results.iter().any(|r| text(r, "/locations/0/physicalLocation/artifactLocation/uri") == "a%20b.imgc");
    assert!(elsewhere, "{log}");
}
