//! `imgc check --fix`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::bed::Bed;

const PROGRAM: &str = "let a = { b: 1 } // kept\noutput o = [a.b 2]\noutput size = \"\\{sise}\"\nlet size_of = 1\n";

#[test]
fn what_is_certain_is_written_and_nothing_is_lost() {
    let bed = Bed::new(PROGRAM);
    fs::set_permissions(bed.path("main.imgc"), fs::Permissions::from_mode(0o640)).expect("mode");
    let said = bed.imgc(&["check", "--fix"]);
    said.fails(1, &["mended 2 places in 1 file", "sise"]);
    let text = fs::read_to_string(bed.path("main.imgc")).expect("file");
    assert_eq!(text, PROGRAM.replace("b: 1", "b = 1").replace("a.b 2", "a.b, 2"));
    let mode = fs::metadata(bed.path("main.imgc")).expect("file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fs::read_dir(bed.package()).expect("folder").count(), 1, "something was left behind");
    let again = bed.imgc(&["check", "--fix"]);
    assert!(!again.err.contains("mended"), "{}", again.err);
}

#[test]
fn what_is_probable_is_written_on_demand_and_choices_are_left() {
    let bed = Bed::new("param size: Size = 5M\noutput o = \"\\{sise}\"\nimport \"./b.imgc\"\noutput p = b.c\n");
    bed.write("b.imgc", "let c = [1 2]\n");
    bed.imgc(&["check", "--fix=maybe"]).fails(1, &["5M", "in 2 files"]);
    let main = fs::read_to_string(bed.path("main.imgc")).expect("file");
    assert!(main.contains("\\{size}") && main.contains("= 5M\n"), "{main}");
    assert_eq!(fs::read_to_string(bed.path("b.imgc")).expect("file"), "pub let c = [1, 2]\n");
}

#[test]
fn a_dry_run_prints_a_patch_and_writes_nothing() {
    let bed = Bed::new(PROGRAM);
    let said = bed.imgc(&["check", "--fix", "--dry-run"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.starts_with("--- a/main.imgc\n+++ b/main.imgc\n@@ "), "{}", said.out);
    assert!(said.out.contains("\n-let a = { b: 1 } // kept\n") && said.out.contains("\n+let a = { b = 1 } // kept\n"));
    assert_eq!(fs::read_to_string(bed.path("main.imgc")).expect("file"), PROGRAM);
    let bed = Bed::new("output o = 1\n");
    assert_eq!(bed.must(&["check", "--fix", "--dry-run"]), "");
}

#[test]
fn a_link_stays_a_link() {
    let bed = Bed::new("");
    bed.write("real/program.imgc", PROGRAM);
    fs::remove_file(bed.path("main.imgc")).expect("file");
    symlink("real/program.imgc", bed.path("main.imgc")).expect("link");
    bed.imgc(&["check", "--fix"]).fails(1, &["mended 2 places"]);
    assert!(fs::symlink_metadata(bed.path("main.imgc")).expect("link").is_symlink());
    assert!(fs::read_to_string(bed.path("real/program.imgc")).expect("file").contains("[a.b, 2]"));
}

#[test]
fn a_dry_run_needs_a_fix() {
    Bed::new("output o = 1\n").imgc(&["check", "--dry-run"]).fails(2, &["--fix"]);
}

#[test]
fn quotes_that_are_too_many_are_taken_away_and_missing_ones_are_put() {
    let wrong = r#"param limit: Size = "4GB"
param pause: Duration = "1h30m"
param count: Int? = "3"
param port: Port = "80"
param mode: Mode = "0644"
param quiet: Bool = "true"
param target: Platform = "linux/amd64"
param format: Format = "qcow2"
param release: String = 12
param names: List<String> = "a"

output o = "\{limit}\{pause}\{count ?? 0}\{port}\{mode}\{quiet}\{target}\{format}\{release}\{names.join("")}"
"#;
    let bed = Bed::new(wrong);
    let said = bed.imgc(&["check", "--fix"]);
    assert!(said.code == Some(0) && said.err.contains("mended 10 places in 1 file"), "{}", said.err);
    let mut right = wrong.to_owned();
    for value in ["4GB", "1h30m", "3", "80", "true", "linux/amd64", "qcow2"] {
        right = right.replace(&format!("\"{value}\""), value);
    }
    let right = right.replace("\"0644\"", "0o644").replace("= 12", "= \"12\"").replace("= \"a\"", "= [\"a\"]");
    assert_eq!(fs::read_to_string(bed.path("main.imgc")).expect("file"), right);
}
