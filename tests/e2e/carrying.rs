//! Layers that go from one store to another by `cache export` and `cache import`, as an ordinary user.

use crate::bed::{Bed, Who, must, run};
use crate::failures::{boxed, text};

/// Files of several owners and modes, which a user has under subordinate ids.
const STEPS: &str = "  sh \"files\" { script = \"/bin/busybox mkdir -p /d/e; echo one > /d/one; /bin/busybox ln /d/one /d/two; /bin/busybox chown 7:8 /d/one; /bin/busybox chmod 4710 /d/one; /bin/busybox chown 65534 /d/e\" }\n  sh \"more\" { script = \"echo more > /d/more; /bin/busybox rm /d/two\" }";

#[test]
fn an_ordinary_user_takes_layers_to_another_store_and_builds_nothing_again() {
    let bed = Bed::new(Who::User);
    let package = bed.package("p", &boxed(STEPS));
    bed.apply(&package, &[]);
    let sums = Bed::sums(&package);
    must(&mut bed.imgc(&["cache", "export", "depot", "--all"]));
    let other = bed.path("other").display().to_string();
    must(&mut bed.imgc(&["cache", "import", "depot", "--cache-dir", &other]));
    std::fs::remove_dir_all(package.join("out")).expect("out");
    let path = package.to_str().expect("UTF-8");
    let again = run(&mut bed.imgc(&["apply", path, "--cache-dir", &other]));
    assert!(again.status.success() && text(&again).contains("0 nodes run"), "{}", text(&again));
    assert_eq!(Bed::sums(&package), sums, "the same bytes");
    must(&mut bed.imgc(&["cache", "verify", "--cache-dir", &other]));
    let seen = run(&mut bed.imgc(&[
        "-C",
        "p",
        "shell",
        "--cache-dir",
        &other,
        "box/sh \"more\"",
        "--",
        "/bin/busybox",
        "stat",
        "-c",
        "%u:%g %a",
        "/d/one",
    ]));
    assert_eq!(String::from_utf8_lossy(&seen.stdout), "7:8 4710\n", "{}", text(&seen));
}
