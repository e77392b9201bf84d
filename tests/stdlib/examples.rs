//! Every recipe has an example, every example compiles, and every script that comes out is one that shellcheck likes.

use std::fs;
use std::process::Command;

use imgc_compiler::reference::{self, Kind};
use imgc_plan::Value;

use crate::program::{Example, plan, recipes};

/// Where the examples of a system stand, as far as types go.
const SYSTEMS: [(&str, &str, &str); 4] = [
    ("", "linux(debian)/*", "rootfs.debian(suite: \"bookworm\")"),
    ("redhat", "linux(redhat)/*", "rootfs.scratch(platform: linux(redhat)/amd64)"),
    ("alpine", "linux(alpine)/*", "rootfs.scratch(platform: linux(alpine)/amd64)"),
    ("windows", "windows/*", "qemu.disk(file(\"./f\"), platform: windows/amd64)"),
];

#[test]
fn every_public_recipe_is_documented_with_an_example() {
    let mut recipes = 0;
    for module in reference::standard_library().modules {
        assert!(!module.docs.is_empty(), "{} says nothing at its top", module.path);
        for item in &module.items {
            assert!(!item.docs.is_empty(), "{}: {} has no comment", module.path, item.name);
            if item.kind == Kind::Recipe {
                recipes += 1;
                assert!(!item.examples.is_empty(), "{}: {} has no example", module.path, item.name);
            }
        }
    }
    assert!(recipes > 40, "only {recipes} recipes were found");
}

#[test]
fn examples_compile_and_their_scripts_are_clean() {
    let all = Example::all();
    let mut scripts: Vec<(String, String)> = Vec::new();
    for (on, pattern, source) in SYSTEMS {
        let examples: Vec<_> = all.iter().filter(|example| example.on == on).collect();
        let program = recipes(&examples, pattern, |number, _| {
            format!("image i{number} {{ from = {source}\n use e{number}() }}\noutput o{number} = i{number}\n")
        });
        for node in plan(&program).nodes.iter().filter(|node| node.kind == "sh") {
            if let Some(Value::Script { text, .. }) = node.args.get("script") {
                scripts.push((node.address.to_string(), text.to_string()));
            }
        }
    }
    for example in all.iter().filter(|example| example.is_program()) {
        plan(&example.program());
    }
    let known = |example: &&Example| SYSTEMS.iter().any(|(on, ..)| *on == example.on) || example.is_program();
    assert!(all.iter().all(|example| known(&example)), "an example names a system that no test knows");
    assert!(scripts.len() > 50, "only {} scripts were found", scripts.len());
    shellcheck(&scripts);
}

fn shellcheck(scripts: &[(String, String)]) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("shellcheck");
    // A list of one element makes a loop that runs once, over one literal.
    command.args(["--shell=sh", "--exclude=SC2041,SC2043", "--color=never"]).current_dir(dir.path());
    for (number, (address, text)) in scripts.iter().enumerate() {
        let name = format!("{number}.sh");
        fs::write(dir.path().join(&name), format!("# {}\n{text}\n", address.replace('\n', " "))).expect("script");
        command.arg(name);
    }
    if let Ok(output) = command.output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    } else {
        assert!(std::env::var_os("CI").is_none(), "CI must have shellcheck: see scripts/setup.sh");
        eprintln!("SKIPPED: this machine lacks shellcheck; scripts/setup.sh installs it");
    }
}
