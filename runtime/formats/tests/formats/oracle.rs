//! Programs of this host that judge what was written. One that is missing fails the test.

use std::path::Path;
use std::process::Command;

/// Runs a program that must end well; gives all that it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    String::from_utf8_lossy(&run_bytes(program, args)).into_owned()
}

/// As [`run`], byte for byte.
pub(crate) fn run_bytes(program: &str, args: &[&str]) -> Vec<u8> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(args).env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let mut said = output.stdout;
    said.extend_from_slice(&output.stderr);
    let text = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{program} {args:?} ended with {}:\n{text}", output.status);
    said
}

/// The text of a path.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `e2fsck` finds nothing to mend.
pub(crate) fn check_ext4(image: &Path) {
    let said = run("e2fsck", &["-fn", text(image)]);
    assert!(!said.contains("Fix") && !said.contains("WARNING"), "{said}");
}

/// The answer of `debugfs` to one request.
pub(crate) fn debugfs(image: &Path, request: &str) -> String {
    run("debugfs", &["-R", request, text(image)])
}
