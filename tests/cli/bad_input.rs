//! What bad input gets: a diagnostic with a place, exit code 1, nothing started.

use std::fs;

use crate::bed::Bed;

/// A program around one statement of an image.
fn image(statements: &str) -> String {
    format!("image box {{\n  from = rootfs.scratch()\n{statements}\n}}\noutput archive = oci.archive(box)\n")
}

/// Checks, plans and applies a program: each must refuse with this code and these words.
fn refused(program: &str, expected: &[&str]) {
    let bed = Bed::new(program);
    for command in ["check", "plan", "apply"] {
        bed.imgc(&[command]).fails(1, expected);
    }
    assert!(!bed.path("out").exists() && bed.runs() == 0, "something was started");
}

/// As [`refused`], for what only a plan can know.
fn refused_by_plan(bed: &Bed, expected: &[&str]) {
    for command in ["plan", "apply"] {
        bed.imgc(&[command]).fails(1, expected);
    }
    assert!(!bed.path("out").exists() && bed.runs() == 0, "something was started");
}

#[test]
fn an_unknown_item() {
    refused("imgae box {}\n", &["IMG0", "main.imgc:1:1"]);
}

#[test]
fn an_unknown_field() {
    refused(&image("  write \"x\" { dest = \"/x\", txt = \"\" }"), &["IMG", "txt", "main.imgc:3"]);
}

#[test]
fn an_unknown_name() {
    refused(&image("  write \"x\" { dest = \"/x\", text = nobody }"), &["IMG1", "nobody", "main.imgc:3"]);
}

#[test]
fn an_unknown_param() {
    let bed = Bed::new(&image("  write \"x\" { dest = \"/x\", text = \"\" }"));
    bed.imgc(&["plan", "--set", "nobody=1"]).fails(1, &["nobody"]);
    bed.imgc(&["apply", "--set", "nobody=1"]).fails(1, &["nobody"]);
}

#[test]
fn an_argument_of_the_wrong_type_or_out_of_range() {
    let bed = Bed::new("param n: Int where n in 1..=3\noutput text = \"\\{n}\"\n");
    bed.imgc(&["plan", "--set", "n=many"]).fails(1, &["many", "Int"]);
    bed.imgc(&["plan", "--set", "n=7"]).fails(1, &["IMG", "main.imgc:1"]);
    bed.imgc(&["plan"]).fails(1, &["IMG", "`n`"]);
}

#[test]
fn a_type_that_does_not_fit() {
    refused(&image("  write \"x\" { dest = \"/x\", text = 5 }"), &["IMG2", "main.imgc:3"]);
}

#[test]
fn a_bare_m() {
    refused(&image("  sh \"x\" { script = \"true\", timeout = 5M }"), &["IMG", "5M", "main.imgc:3"]);
}

#[test]
fn a_missing_file() {
    refused(&image("  copy \"x\" { src = file(\"./none\"), dest = \"/x\" }"), &["IMG", "none", "main.imgc:3"]);
}

#[test]
fn a_path_outside_the_package() {
    refused(&image("  copy \"x\" { src = file(\"../../etc/passwd\"), dest = \"/x\" }"), &["IMG", "main.imgc:3"]);
}

#[test]
fn a_link_that_leaves_the_package() {
    let bed = Bed::new(&image("  copy \"x\" { src = dir(\"./site\"), dest = \"/x\" }"));
    bed.write("site/a", "");
    std::os::unix::fs::symlink("/etc/passwd", bed.path("site/link")).expect("link");
    refused_by_plan(&bed, &["IMG", "site/link", "main.imgc:3"]);
}

#[test]
fn images_that_stand_on_each_other() {
    refused("image a { from = b }\nimage b { from = a }\noutput x = oci.archive(a)\n", &["IMG1032", "main.imgc:"]);
}

#[test]
fn a_step_on_the_wrong_platform() {
    refused(&image("  powershell \"x\" { script = \"true\" }"), &["IMG", "main.imgc:3"]);
}

#[test]
fn an_output_of_a_wrong_type() {
    refused("output x: Size = \"text\"\n", &["IMG2", "main.imgc:1"]);
}

#[test]
fn two_items_of_one_name() {
    refused("let a = 1\nlet a = 2\n", &["IMG1", "main.imgc:2"]);
}

#[test]
fn a_file_of_two_mebibytes() {
    refused(&" ".repeat(2 << 20), &["IMG", "1 MiB"]);
}

#[test]
fn ten_thousand_open_brackets() {
    refused(&format!("let a = {}", "[".repeat(10_000)), &["IMG0", "main.imgc:1"]);
}

#[test]
fn invalid_utf8() {
    let bed = Bed::new("");
    bed.write("main.imgc", b"let a = \"\xff\"\n");
    for command in ["check", "plan", "apply"] {
        bed.imgc(&[command]).fails(1, &["UTF-8"]);
    }
    bed.imgc(&["fmt"]).fails(1, &["UTF-8"]);
}

#[test]
fn an_empty_file() {
    let bed = Bed::new("");
    bed.imgc(&["check"]).fails(1, &["IMG5013", "no outputs"]);
    refused_by_plan(&bed, &["IMG5013", "no outputs"]);
}

#[test]
fn what_is_not_built_yet_says_so() {
    let program = image("  write \"x\" { dest = \"/x\", text = \"\" }")
        + "test serves of box { sh \"a\" { script = \"true\" } }\n";
    let bed = Bed::new(&program);
    bed.must(&["check"]);
    bed.imgc(&["apply", "serves"]).fails(2, &["`serves` is a test", "imgc test 'serves'"]);
    bed.write(
        "main.imgc",
        "image vm { from = docker.image(\"debian:12\", platform: linux(debian)/amd64) }\noutput kept = vm\n",
    );
    bed.must(&["check"]);
    bed.imgc(&["apply"]).fails(4, &["not built yet"]);
}

#[test]
fn files_around_the_program() {
    let bed = Bed::new(&image("  write \"x\" { dest = \"/x\", text = \"\" }"));
    bed.write("imgc.toml", "nmae = \"x\"\n");
    bed.imgc(&["check"]).fails(1, &["imgc.toml", "nmae"]);
    bed.write("imgc.toml", "");
    bed.write("imgc.lock", "version = 9\n");
    let before = fs::read(bed.path("imgc.lock")).expect("lock");
    bed.imgc(&["plan"]).fails(1, &["imgc.lock", "version 9"]);
    assert_eq!(fs::read(bed.path("imgc.lock")).expect("lock"), before);
    bed.write("imgc.lock", "version = [");
    bed.imgc(&["plan"]).fails(1, &["imgc.lock"]);
    bed.imgc(&["plan", "--vars", "none.toml"]).fails(1, &["none.toml"]);
    bed.imgc(&["check", "none.imgc"]).fails(1, &["none.imgc", "does not exist"]);
    bed.imgc(&["plan", "--set", "a"]).fails(2, &["NAME=VALUE"]);
}
