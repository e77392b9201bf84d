//! A package whose base is pinned by the lock, and what can be changed in the lock: the epoch of the source, its archives,
//! its pins, and what it is pinned to, as `imgc update` does that.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::mutations::{List, Mutation};
use crate::package::{Entry, Package, Step, base_tar, step};

const BASE: &str = "base/from";
const QUIET: &str = "quiet/sh \"quiet\"";
const LOUD: &str = "loud/sh \"loud\"";
const AFTER: &str = "after/sh \"after\"";

/// All steps, each after the one it stands on.
pub(crate) const STEPS: &[Step] = &[
    step(BASE, "base", None, "x_base"),
    step(QUIET, "quiet", Some("base"), "x_quiet"),
    step(LOUD, "loud", Some("quiet"), "x_loud"),
    step(AFTER, "after", Some("loud"), "x_after"),
];

const PROGRAM: &str = r#"image base { from = rootfs.oci(image: file("./base.oci.tar")) }

image quiet {
  from = base
  sh "quiet" { script = "cat /etc/base > /quiet", network = false }
}

image loud {
  from = quiet
  sh "loud" { script = "cat /quiet > /loud", network = true }
}

image after {
  from = loud
  sh "after" { script = "cat /loud > /after", network = false }
}

output x_base = oci.archive(base)
output x_quiet = oci.archive(quiet)
output x_loud = oci.archive(loud)
output x_after = oci.archive(after)
"#;

/// The package; its lock is written by the first apply.
pub(crate) fn package(scratch: &Path) -> Package {
    let mut package = Package(std::collections::BTreeMap::new());
    package.put("main.imgc", PROGRAM.as_bytes(), 0o644);
    package.put("base.oci.tar", &archive(&scratch.join("archives"), "base").0, 0o644);
    package
}

/// An image in an archive, and the digest by which it is pinned.
fn archive(scratch: &Path, text: &str) -> (Vec<u8>, String) {
    let dir = scratch.join(text);
    fs::create_dir_all(&dir).expect("folder");
    fs::write(dir.join("base.tar"), base_tar(&dir, text)).expect("base");
    let program = "image base { from = rootfs.tar(file: file(\"./base.tar\")) }\noutput made = oci.archive(base)\n";
    fs::write(dir.join("main.imgc"), program).expect("program");
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
    command
        .arg("apply")
        .current_dir(&dir)
        .env("IMGC_CACHE", dir.join("store"))
        .env("XDG_STATE_HOME", dir.join("state"));
    let output = command.output().expect("imgc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = dir.join("out/made.tar");
    let index = Command::new("tar").arg("-xOf").arg(&made).arg("index.json").output().expect("tar").stdout;
    let index: serde_json::Value = serde_json::from_slice(&index).expect("index.json");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    (fs::read(made).expect("archive"), digest)
}

/// The line of the lock that begins so.
fn line(package: &Package, begins: &str) -> String {
    let Some(Entry::File(text, _)) = package.0.get("imgc.lock") else { panic!("no lock") };
    let text = String::from_utf8_lossy(text).into_owned();
    text.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("no `{begins}` in {text}")).to_owned()
}

/// All of them; `scratch` is a folder for further archives.
pub(crate) fn mutations(scratch: &Path) -> Vec<Mutation> {
    let mut list = List(Vec::new());
    let all: Vec<&str> = STEPS.iter().flat_map(|step| [step.address, step.output]).collect();
    for k in 0..7 {
        let mutation = list.add(format!("epoch {k}"), BASE, json!({ "cause": "lock" }), move |package| {
            let epoch = line(package, "epoch = ");
            package.edit_file("imgc.lock", &epoch, &format!("epoch = {}", 1_000_000_000 + k * 86_400));
        });
        mutation.touches = all.iter().map(|name| (*name).to_owned()).collect();
    }
    for k in 0..6 {
        let mutation = list.add(format!("archive {k}"), BASE, json!({ "cause": "lock" }), move |package| {
            let epoch = line(package, "epoch = ");
            package.edit_file("imgc.lock", &epoch, &format!("{epoch}\narchives = [\"https://archive.test/{k}\"]"));
        });
        // The source itself, and the only step that may reach what is in them.
        mutation.touches = [BASE, LOUD].map(str::to_owned).to_vec();
    }
    for k in 0..4 {
        let cause = json!({ "cause": "lock", "changes": [{ "pin": "note", "before": null, "after": k.to_string() }] });
        list.add(format!("another pin, {k}"), BASE, cause, move |package| {
            let digest = line(package, "digest = ");
            package.edit_file("imgc.lock", &digest, &format!("{digest}\nnote = \"{k}\""));
        });
    }
    for k in 0..4 {
        let (bytes, digest) = archive(scratch, &format!("other {k}"));
        let cause = json!({ "cause": "file", "path": "base.oci.tar" });
        // As `imgc update` pins it; the file is what comes first.
        list.add(format!("pinned to another image, {k}"), BASE, cause, move |package| {
            let from = line(package, "digest = ");
            package.edit_file("imgc.lock", &from, &format!("digest = \"{digest}\""));
            package.put("base.oci.tar", &bytes, 0o644);
        });
    }
    list.0
}

/// Archives and epochs that the base was built with already.
pub(crate) fn behind() -> Vec<Mutation> {
    let mut list = List(Vec::new());
    for k in 0..3 {
        list.add(format!("archive {k} behind the source"), LOUD, json!({ "cause": "archives" }), move |package| {
            let epoch = line(package, "epoch = ");
            package.edit_file("imgc.lock", &epoch, &format!("{epoch}\narchives = [\"https://archive.test/{k}\"]"));
        });
    }
    for k in 0..3 {
        let epoch = 1_000_000_000 + k * 86_400;
        let cause = json!({ "cause": "epoch", "after": epoch.to_string() });
        let mutation = list.add(format!("epoch {k} behind the source"), QUIET, cause, move |package| {
            let from = line(package, "epoch = ");
            package.edit_file("imgc.lock", &from, &format!("epoch = {epoch}"));
        });
        let all = STEPS.iter().skip(1).flat_map(|step| [step.address, step.output]);
        mutation.touches = all.map(str::to_owned).collect();
    }
    list.0
}

/// Steps that another imgc ran, whose kind did it in another way; the first that is touched says so.
pub(crate) fn revisions() -> Vec<Mutation> {
    let mut list = List(Vec::new());
    for (at, kind) in [(BASE, "rootfs.oci"), (QUIET, "sh"), (LOUD, "sh"), ("x_loud", "oci.archive")] {
        let cause = json!({ "cause": "revision", "kind": kind, "before": "0", "after": "1" });
        list.add(format!("another revision of {at}"), at, cause, |_| ());
    }
    list.0
}
