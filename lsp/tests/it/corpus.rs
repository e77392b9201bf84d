//! Every fix of every diagnostic of the corpus, through the protocol: it is offered, applied, and the code is gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::client::Client;

/// What a case consists of.
type Files = Vec<(String, String)>;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let below =
        |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut cases: Vec<PathBuf> = below(&root).iter().flat_map(|area| below(area)).collect();
    cases.retain(|case| !case.file_name().unwrap().to_string_lossy().starts_with("limit_"));
    cases.sort();
    cases
}

/// The texts of a case; what is no text is nothing to an editor.
fn files(case: &Path) -> Files {
    let mut folders = vec![case.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(case).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.contains(".snap") && name != "args" && name != "outside" {
                files.extend(std::fs::read_to_string(&path).ok().map(|text| (name, text)));
            }
        }
    }
    files
}

/// Diagnostics that say the same.
fn count(all: &[Value], like: &Value) -> usize {
    all.iter().filter(|one| one["code"] == like["code"] && one["message"] == like["message"]).count()
}

/// Applies each fix of a module that is open, one after the other, each to the text as it is in the case.
fn mend(client: &mut Client, case: &Path, codes: &mut BTreeSet<String>) {
    let before = client.diagnostics("main.imgc");
    let text = client.text("main.imgc").to_owned();
    let whole = client.range("main.imgc", &text);
    for number in 0..client.actions("main.imgc", &whole, "quickfix").len() {
        // Each is for the version that it is asked of.
        let action = client.actions("main.imgc", &whole, "quickfix").swap_remove(number);
        let fixed = &action["diagnostics"][0];
        let was = count(&before, fixed);
        assert!(was > 0, "{}: it fixes what nobody said: {action}", case.display());
        client.apply(&action["edit"]);
        // The edit may be in another module, in which case this one is told of without a new version.
        let mut after = client.diagnostics("main.imgc");
        while count(&after, fixed) >= was && client.listen(std::time::Duration::from_secs(10)) {
            after = client.diagnostics("main.imgc");
        }
        let is = count(&after, fixed);
        assert!(
            is < was,
            "{}: {} is still there\n{action}\n{}",
            case.display(),
            fixed["code"],
            client.text("main.imgc")
        );
        codes.insert(fixed["code"].as_str().unwrap().to_owned());
        // Another module that was mended is on the disk as it was.
        let own = client.uri("main.imgc");
        let others: Vec<_> = client.open.keys().filter(|uri| **uri != own).cloned().collect();
        for uri in others {
            client.close(&uri);
        }
        let end = client.text("main.imgc").len();
        client.edit("main.imgc", 0..end, &text);
    }
}

#[test]
fn every_fix_mends_over_the_protocol() {
    let mut codes = BTreeSet::new();
    // What is one module is opened by one client after another text: editors do so as well.
    let mut one = Client::new(&[("main.imgc", "")]);
    one.open("main.imgc");
    for case in cases() {
        let files = files(&case);
        let Some((_, main)) = files.iter().find(|(name, _)| name == "main.imgc") else { continue };
        if files.len() == 1 {
            let end = one.text("main.imgc").len();
            one.edit("main.imgc", 0..end, main);
            mend(&mut one, &case, &mut codes);
        } else {
            let all: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            let mut several = Client::new(&all);
            several.open("main.imgc");
            mend(&mut several, &case, &mut codes);
        }
    }
    assert!(codes.len() >= 25, "only {codes:?}");
}
