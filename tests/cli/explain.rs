//! `imgc explain ADDRESS`: all that is known about why a step runs.

use crate::bed::{Bed, builds};

const PROGRAM: &str = r#"
image box {
  from = rootfs.scratch()
  write "one" { dest = "/one", text = "1" }
  write "two" { dest = "/two", text = "2" }
}
output archive = oci.archive(box)
"#;

#[test]
fn a_step_is_explained_before_and_after_an_edit() {
    if !builds() {
        return;
    }
    let bed = Bed::new(PROGRAM);
    let one = "box/write \"one\"";
    let new = bed.must(&["explain", one]);
    assert!(new.contains("new, and depends on what box/from leaves"), "{new}");
    bed.must(&["apply"]);
    let cached = bed.must(&["explain", one]);
    assert!(cached.contains("cached: nothing that it depends on has changed"), "{cached}");
    assert!(cached.contains("args.text = 1") && cached.contains("it took "), "{cached}");

    bed.write(
        "main.imgc",
        PROGRAM.replace("text = \"1\"", "text = \"one\"").replace("dest = \"/one\"", "dest = \"/eins\""),
    );
    let changed = bed.must(&["explain", one]);
    for expected in [
        "will run: dest: `/one` → `/eins`",
        "it also differs in this:\n    text: `1` → `one`",
        "may still be found in the store, depending on what it leaves:\n    box/write \"two\"\n    archive",
        "fingerprint ",
    ] {
        assert!(changed.contains(expected), "`{expected}` is missing in:\n{changed}");
    }
    let two = bed.must(&["explain", "box/write \"two\""]);
    assert!(two.contains("pending: it runs unless box/write \"one\" leaves what it left before"), "{two}");
    // An image stands for all that is in it.
    let image: serde_json::Value =
        serde_json::from_str(&bed.must(&["explain", "box", "--format", "json"])).expect("JSON");
    assert_eq!(image["nodes"].as_array().map(Vec::len), Some(3), "{image:#}");
    assert_eq!(image["nodes"][1]["standing"]["argument"], "dest", "{image:#}");
    bed.imgc(&["explain", "box/write \"onee\""]).fails(1, &["box/write \"one\""]);
}
