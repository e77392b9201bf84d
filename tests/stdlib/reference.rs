//! `docs/reference/` is what `imgc doc` makes of the standard library, and packages are documented likewise.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ is in the repository").to_owned()
}

fn doc(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_imgc")).arg("doc").args(args).output().expect("imgc");
    assert!(output.status.success(), "imgc doc {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn files(dir: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let file = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("a page");
        (entry.file_name().to_string_lossy().into_owned(), text)
    };
    entries.map(|entry| file(entry.expect("an entry"))).collect()
}

#[test]
fn the_reference_is_up_to_date() {
    let dir = tempfile::tempdir().expect("a folder");
    doc(&["--std", "--out-dir", &dir.path().to_string_lossy()]);
    let (made, kept) = (files(dir.path()), files(&repository().join("docs/reference")));
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    let how = "run `make reference`";
    assert_eq!(names(&made), names(&kept), "the pages in docs/reference; {how}");
    for (name, text) in &made {
        let (theirs, ours) = (text.lines(), kept[name].lines());
        let differs = theirs.zip(ours).zip(1..).find(|((a, b), _)| a != b);
        assert!(differs.is_none() && *text == kept[name], "docs/reference/{name} is old, {differs:?}; {how}");
    }
}

#[test]
fn a_package_is_documented_with_all_that_others_can_use() {
    let dir = tempfile::tempdir().expect("a folder");
    let program = r#"// What this package is for.

import "./lib.imgc" as lib

/// How large the disk is.
param size: Size = 4GiB where size in 2GiB..=64GiB

/// Serves.
image web { from = rootfs.scratch() }

output site = oci.archive(web)
"#;
    let library = r#"/// A thing.
pub record Thing {
  /// What it is called.
  name: String
  tags: List<String> = []
}

/// Does it.
///
/// ```imgc
/// use lib.go()
/// ```
@deprecated("use more")
pub recipe go(
  /// How often.
  times: Int = 1,
) on linux/* {}

recipe own() {}
"#;
    fs::write(dir.path().join("main.imgc"), program).expect("program");
    fs::write(dir.path().join("lib.imgc"), library).expect("library");
    let place = dir.path().to_string_lossy();

    let pages = doc(&[&place]);
    for wanted in [
        "# main.imgc",
        "What this package is for.",
        "param size: Size = 4GiB",
        "Where `size in 2GiB..=64GiB`.",
        "image web: Image<linux/amd64, rootfs>",
        "output site: Artifact<oci, linux/amd64>",
        "# lib.imgc",
        "| `tags` | `List<String>` | `[]` |",
        "**Deprecated**: use more",
        "use go(times: Int = 1) on linux/*",
    ] {
        assert!(pages.contains(wanted), "{wanted} is not in:\n{pages}");
    }
    assert!(!pages.contains("own"), "what is not exported is nobody's business:\n{pages}");

    let json: serde_json::Value = serde_json::from_str(&doc(&[&place, "--format", "json"])).expect("JSON");
    let go = &json["modules"][1]["items"][1];
    assert_eq!((go["name"].as_str(), go["kind"].as_str()), (Some("go"), Some("recipe")));
    assert_eq!(go["examples"][0]["text"], "use lib.go()");
    assert_eq!(go["params"][0]["default"], "1");
}
