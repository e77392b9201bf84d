//! Events and the manifest, held against the schemas in `docs/schema/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bed::{Bed, Said, builds};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("repository").join("docs")
}

fn schema(name: &str) -> Value {
    let text = fs::read_to_string(docs().join("schema").join(name)).expect("schema");
    serde_json::from_str(&text).expect("JSON")
}

/// The events of a run, each of which must have the form that is promised.
fn events(said: &Said) -> Vec<Value> {
    let form = jsonschema::validator_for(&schema("events.schema.json")).expect("a schema");
    let parse = |line: &str| -> Value {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let faults: Vec<String> = form.iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{event:#}: {faults:#?}");
        event
    };
    said.out.lines().map(parse).collect()
}

fn kinds(events: &[Value]) -> BTreeSet<String> {
    events.iter().filter_map(|event| event["event"].as_str()).map(str::to_owned).collect()
}

/// A program with a static busybox as its shell.
fn program(statements: &str) -> Bed {
    let bed = Bed::new(&format!(
        "image box {{\n  from = rootfs.scratch()\n  copy \"sh\" {{ src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }}\n{statements}}}\noutput archive = oci.archive(box)\n"
    ));
    bed.write("busybox", fs::read("/bin/busybox").expect("busybox-static"));
    bed
}

#[test]
fn every_event_has_its_form_and_its_place() {
    if !builds() {
        return;
    }
    let mut seen = BTreeSet::new();
    let bed = program("  sh \"say\" { script = \"echo one; printf '\\\\377\\\\n' >&2; echo half\" }\n");
    Bed::settle();
    let said = bed.imgc(&["apply", "--format", "json"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let run = events(&said);
    seen.extend(kinds(&run));
    let of_step: Vec<&str> = run
        .iter()
        .filter(|event| event["address"] == "box/sh \"say\"")
        .filter_map(|event| event["event"].as_str())
        .collect();
    assert_eq!((of_step.first(), of_step.last()), (Some(&"started"), Some(&"finished")), "{of_step:?}");
    let lines: Vec<&str> = run.iter().filter_map(|event| event["text"].as_str()).collect();
    assert!(lines.contains(&"one") && lines.contains(&"\u{fffd}") && lines.contains(&"half"), "{lines:?}");
    assert_eq!(run.last().map(|event| &event["event"]), Some(&Value::from("applied")));

    let nothing = bed.imgc(&["apply", "--format", "json"]);
    assert_eq!(kinds(&events(&nothing)), BTreeSet::from(["applied".to_owned()]), "{}", nothing.out);

    // An output that has another name: what is gone is said.
    let text = fs::read_to_string(bed.path("main.imgc")).expect("program");
    bed.write("main.imgc", text.replace("output archive", "output renamed"));
    let renamed = bed.imgc(&["apply", "--format", "json"]);
    seen.extend(kinds(&events(&renamed)));

    let failing = program("  sh \"fail\" { script = \"exit 4\" }\n");
    let said = failing.imgc(&["apply", "--format", "json"]);
    assert_eq!(said.code, Some(3), "{}{}", said.out, said.err);
    let run = events(&said);
    seen.extend(kinds(&run));
    assert_eq!(run.last().map(|event| event["exit"].clone()), Some(Value::from(3)));
    // What was built before the failure is found.
    let again = failing.imgc(&["apply", "--format", "json"]);
    seen.extend(kinds(&events(&again)));

    let wrong = Bed::new("image box { from = rootfs.scrotch() }\n").imgc(&["apply", "--format", "json"]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.err);
    seen.extend(kinds(&events(&wrong)));

    let tested = program("").imgc(&["test", "--format", "json"]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
    let bed = program("}\ntest holds of box { sh \"true\" { script = \"true\" } ");
    let tested = bed.imgc(&["test", "--format", "json"]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
    seen.extend(kinds(&events(&tested)));

    let promised: BTreeSet<String> = schema("events.schema.json")["oneOf"]
        .as_array()
        .expect("kinds")
        .iter()
        .filter_map(|kind| kind["properties"]["event"]["const"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(seen, promised, "each kind of event is seen, and each that is seen is promised");
    let page = fs::read_to_string(docs().join("events.md")).expect("page");
    for kind in promised {
        assert!(page.contains(&format!("| `{kind}` |")), "docs/events.md does not tell of `{kind}`");
    }
}

#[test]
fn the_manifest_tells_what_was_made_of_what() {
    if !builds() {
        return;
    }
    let bed = program("  sh \"say\" { script = \"echo 1 >/one\" }\n");
    bed.must(&["apply"]);
    let bytes = fs::read(bed.path("out/MANIFEST.json")).expect("manifest");
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    let form = jsonschema::validator_for(&schema("manifest.schema.json")).expect("a schema");
    let faults: Vec<String> = form.iter_errors(&manifest).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{manifest:#}: {faults:#?}");
    let artifact = &manifest["artifacts"][0];
    let sums = bed.sums();
    let (sum, file) = sums.trim().split_once("  ").expect("a line");
    assert_eq!((artifact["sha256"].as_str(), artifact["file"].as_str()), (Some(sum), Some(file)));
    assert_eq!(artifact["size"].as_u64(), fs::metadata(bed.path("out/archive.tar")).ok().map(|meta| meta.len()));
    let parts: Vec<&str> =
        artifact["made_of"].as_array().expect("parts").iter().filter_map(|part| part["address"].as_str()).collect();
    assert_eq!(parts, ["box/from", "box/copy \"sh\"", "box/sh \"say\"", "archive"]);

    // The same program built elsewhere has the same manifest; one that was removed comes back.
    let other = program("  sh \"say\" { script = \"echo 1 >/one\" }\n");
    other.must(&["apply"]);
    assert_eq!(bytes, fs::read(other.path("out/MANIFEST.json")).expect("manifest"));
    fs::remove_file(bed.path("out/MANIFEST.json")).expect("removed");
    bed.must(&["apply"]);
    assert_eq!(bytes, fs::read(bed.path("out/MANIFEST.json")).expect("manifest"));
}
