//! Values of the build stage: files of other images, artifacts as files, digests in scripts and outputs.

use std::fs;
use std::path::Path;

use crate::bed::{Bed, Who, run, unpack_archive};
use crate::failures::text;

const BASE: &str = "image base {\n  from = rootfs.scratch()\n  copy \"busybox\" { src = file(\"busybox\"), dest = \"/bin/busybox\" }\n  copy \"shell\" { src = file(\"busybox\"), dest = \"/bin/sh\" }\n}\n";

/// A builder whose script writes `app` and `also`, and an image that takes the app out of it.
fn program(app: &str, also: &str, path: &str) -> String {
    format!(
        "{BASE}image builder {{\n  from = base\n  sh \"make\" {{\n    script = \"/bin/busybox mkdir -p /out/share/deep; echo {app} > /out/real; /bin/busybox chmod 700 /out/real; /bin/busybox ln -s real /out/app; echo data > /out/share/deep/x; /bin/busybox ln -s deep/x /out/share/link; echo {also} > /also\"\n  }}\n  sh \"more\" {{ script = \"echo more > /out/share/y\" }}\n}}\nlet pack = oci.archive(builder)\nimage web {{\n  from = base\n  copy \"app\" {{ src = builder.file(\"{path}\"), dest = \"/opt/\" }}\n  copy \"share\" {{ src = builder.dir(\"/out/share\"), dest = \"/opt/share\", mode = 0o600, owner = \"7:8\" }}\n  sh \"after\" {{ script = \"/bin/busybox ls -lnR /opt > /list; /bin/busybox cat /opt/app /opt/share/link /opt/share/y >> /list\" }}\n}}\noutput archive = oci.archive(web)\n"
    )
}

fn package(bed: &Bed, program: &str) -> std::path::PathBuf {
    bed.package("p", program)
}

fn plan(bed: &Bed, package: &Path) -> String {
    text(&run(&mut bed.imgc(&["plan", package.to_str().expect("UTF-8")])))
}

fn taken(who: Who) {
    let bed = Bed::new(who);
    let package = package(&bed, &program("one", "one", "/out/app"));
    bed.apply(&package, &[]);
    let into = bed.path("tmp/tree");
    unpack_archive(&package.join("out/archive.tar"), &into);
    let list = fs::read_to_string(into.join("root/list")).expect("/list");
    // The link was followed and its own name kept; modes are those of copied files; the files come from two layers.
    assert!(list.contains("-rwxr-xr-x    1 0        0") && list.contains(" app\n"), "{list}");
    assert!(list.contains("-rw-------    1 7        8") && list.contains(" link -> deep/x\n"), "{list}");
    assert!(list.ends_with("one\ndata\nmore\n"), "{list}");
}

#[test]
fn files_and_directories_come_out_of_another_image_as_root() {
    taken(Who::Root);
}

#[test]
fn files_and_directories_come_out_of_another_image_as_an_ordinary_user() {
    taken(Who::User);
}

#[test]
fn a_change_that_leaves_the_file_as_it_was_stops_there() {
    let bed = Bed::new(Who::Root);
    let first = package(&bed, &program("one", "one", "/out/app"));
    bed.apply(&first, &[]);
    // The builder leaves something else, but not in what is taken.
    let again = package(&bed, &program("one", "two", "/out/app"));
    let said = plan(&bed, &again);
    let pending = said.lines().find(|line| line.contains("copy \"app\"")).unwrap_or_default();
    assert!(pending.trim_start().starts_with("? "), "what the builder leaves is not known yet:\n{said}");
    let output = run(&mut bed.imgc(&["apply", "--format", "json", again.to_str().expect("UTF-8")]));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let ran = |name: &str| said.lines().any(|line| line.contains("\"started\"") && line.contains(name));
    assert!(ran("builder/sh"), "{said}");
    assert!(!ran("web/"), "nothing of web runs again:\n{said}");
    // Now the file changes, and the plan says which.
    let third = package(&bed, &program("other", "two", "/out/app"));
    bed.apply(&third, &[]);
    let into = bed.path("tmp/tree");
    unpack_archive(&third.join("out/archive.tar"), &into);
    assert_eq!(fs::read_to_string(into.join("root/opt/app")).expect("/opt/app"), "other\n");
}

#[test]
fn a_path_that_is_not_there_names_the_image_and_the_path() {
    let bed = Bed::new(Who::Root);
    for (path, why) in [("/out/none", "it is not there"), ("/out/share", "it is a directory")] {
        let package = package(&bed, &program("one", "one", path));
        let output = run(&mut bed.imgc(&["apply", package.to_str().expect("UTF-8")]));
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("cannot take {path} out of the image `builder`: {why}")), "{said}");
    }
}

#[test]
fn artifacts_are_files_and_have_digests_and_sizes() {
    let bed = Bed::new(Who::Root);
    let package = bed.package(
        "p",
        &format!(
            "{BASE}let pack = oci.archive(base)\nimage web {{\n  from = base\n  copy \"pack\" {{ src = pack, dest = \"/pack.tar\" }}\n  sh \"look\" {{\n    script = \"\"\"\n      echo \\{{pack.size}} \"\\{{pack.digest}}\" '\\{{base.digest}}' > /said\n      echo \"sha256:$(/bin/busybox sha256sum /pack.tar | /bin/busybox cut -d' ' -f1)\" >> /said\n      \"\"\"\n  }}\n  write \"about\" {{ dest = \"/about\", text = \"made of \\{{pack.digest}}\" }}\n}}\noutput archive = oci.archive(web)\noutput facts = {{ digest = pack.digest, text = \"of \\{{web.digest}}\" }}\n"
        ),
    );
    let said = bed.apply(&package, &[]);
    let into = bed.path("tmp/tree");
    unpack_archive(&package.join("out/archive.tar"), &into);
    let inside = fs::read_to_string(into.join("root/said")).expect("/said");
    let words: Vec<&str> = inside.split_whitespace().collect();
    assert_eq!(words.len(), 4, "{inside}");
    assert_eq!(words[1], words[3], "the digest is that of the file: {inside}");
    assert!(words[2].starts_with("blake3:"), "{inside}");
    assert_eq!(fs::read_to_string(into.join("root/about")).expect("/about"), format!("made of {}", words[1]));
    assert!(said.contains(words[1]) && said.contains("of blake3:"), "outputs are shown:\n{said}");
    let shown = text(&run(bed.imgc(&["show", package.to_str().expect("UTF-8")]).env("NO_COLOR", "1")));
    assert!(shown.contains(words[1]), "{shown}");
}

#[test]
fn a_file_of_an_image_is_an_output_and_a_directory_says_what_to_do() {
    for who in [Who::Root, Who::User] {
        let bed = Bed::new(who);
        let outputs = |what: &str| {
            format!(
                "{BASE}image builder {{\n  from = base\n  sh \"make\" {{ script = \"/bin/busybox mkdir -p /out/deep; echo one > /out/app.txt; echo two > /out/deep/x\" }}\n}}\n{what}\n"
            )
        };
        let package = bed.package(
            "p",
            &outputs(
                "output app = builder.file(\"/out/app.txt\")\noutput many = { \"x\" => builder.file(\"/out/deep/x\") }",
            ),
        );
        bed.apply(&package, &[]);
        assert_eq!(fs::read_to_string(package.join("out/app.txt")).expect("app"), "one\n");
        assert_eq!(fs::read_to_string(package.join("out/many/x")).expect("x"), "two\n");
        assert_eq!(Bed::sums(&package).len(), 2, "both are in SHA256SUMS");
        // What its user removed is there again, and nothing ran for it.
        fs::remove_file(package.join("out/app.txt")).expect("removed");
        let said = bed.apply(&package, &[]);
        assert_eq!(fs::read_to_string(package.join("out/app.txt")).expect("app"), "one\n", "{said}");
        let tree = bed.package("tree", &outputs("output tree = builder.dir(\"/out\")"));
        let output = run(&mut bed.imgc(&["apply", tree.to_str().expect("UTF-8")]));
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("Dir cannot be an output") && said.contains("oci.archive"), "{said}");
    }
}
