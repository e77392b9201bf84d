//! What the fields of a step do, as root and as an ordinary user.

use std::fs;
use std::process::Command;

use crate::bed::{Bed, Who, must, run, unpack_archive};
use crate::failures::{boxed, text};

/// Applies statements and returns what the exported tree has at `/out`.
fn out(who: Who, statements: &str) -> String {
    let bed = Bed::new(who);
    let package = bed.package("p", &boxed(statements));
    bed.apply(&package, &[]);
    let into = bed.path("tmp/tree");
    unpack_archive(&package.join("out/archive.tar"), &into);
    fs::read_to_string(into.join("root/out")).expect("/out")
}

const USERS: &str = "  write \"users\" { dest = \"/etc/passwd\", text = \"root:x:0:0::/root:/bin/sh\\nann:x:1234:1234::/home/ann:/bin/sh\\n\" }\n  write \"groups\" { dest = \"/etc/group\", text = \"root:x:0:\\nann:x:1234:\\nextra:x:77:ann\\n\" }\n";

fn fields(who: Who) {
    let statements = format!(
        "{USERS}  sh \"make\" {{ script = \"/bin/busybox mkdir -p /work; /bin/busybox touch /out; /bin/busybox chmod 777 /out /work\" }}\n  sh \"fields\" {{\n    script = \"/bin/busybox id >> /out; /bin/busybox pwd >> /out; echo $GREETING >> /out; echo $HOME >> /out; echo $SOURCE_DATE_EPOCH >> /out; exit 3\"\n    user = \"ann\"\n    workdir = \"/work\"\n    env = {{ \"GREETING\" => \"hello  you\" }}\n    exit_codes = [0, 3]\n  }}"
    );
    let found = out(who, &statements);
    assert_eq!(
        found,
        "uid=1234(ann) gid=1234(ann) groups=77(extra),1234(ann)\n/work\nhello you\n/home/ann\n315532800\n"
    );
}

#[test]
fn fields_do_what_they_say_as_root() {
    fields(Who::Root);
}

#[test]
fn fields_do_what_they_say_as_an_ordinary_user() {
    fields(Who::User);
}

#[test]
fn network_false_is_a_loopback_and_nothing_else() {
    for who in [Who::Root, Who::User] {
        let found = out(
            who,
            "  sh \"look\" { script = \"/bin/busybox ls /sys/class/net > /out; /bin/busybox ping -c1 -W2 127.0.0.1 > /dev/null\", network = false }",
        );
        assert_eq!(found, "lo\n", "{who:?}");
    }
}

#[test]
fn a_timeout_ends_all_that_the_step_started() {
    let bed = Bed::new(Who::Root);
    let mark = format!("7{}", std::process::id());
    let package = bed.package(
        "p",
        &boxed(&format!("  sh \"hang\" {{ script = \"/bin/busybox sleep {mark} & wait\", timeout = 1s }}")),
    );
    let output = run(&mut bed.imgc(&["apply", package.to_str().expect("UTF-8")]));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("timeout"), "{said}");
    assert!(
        !run(Command::new("pgrep").args(["-f", &format!("^/bin/busybox sleep {mark}$")])).status.success(),
        "the sleep goes on"
    );
}

#[test]
fn retries_try_again() {
    let bed = Bed::new(Who::Root);
    let package = bed.package("p", &boxed("  sh \"again\" { script = \"echo try >> /tmp/tries; [ $(/bin/busybox wc -l < /tmp/tries) -ge 3 ]\", retries = 2 }"));
    let said = bed.apply(&package, &[]);
    assert!(package.join("out/archive.tar").is_file(), "{said}");
    let package = bed.package("q", &boxed("  sh \"again\" { script = \"exit 9\", retries = 1 }"));
    let output = run(&mut bed.imgc(&["apply", package.to_str().expect("UTF-8")]));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}

#[test]
fn a_trivial_step_leaves_an_empty_layer() {
    let bed = Bed::new(Who::Root);
    let without = bed.package("without", &boxed(""));
    let with = bed.package("with", &boxed("  sh \"true\" { script = \"true\" }"));
    bed.apply(&without, &[]);
    bed.apply(&with, &[]);
    let layers = |package: &std::path::Path| {
        let text = must(Command::new("tar").arg("-xOf").arg(package.join("out/archive.tar")).arg("manifest.json"));
        let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        manifest[0]["Layers"].clone()
    };
    assert_eq!(layers(&with), layers(&without));
}

#[test]
fn a_proxy_reaches_the_step_and_no_fingerprint() {
    let bed = Bed::new(Who::Root);
    let package = bed.package("p", &boxed("  sh \"proxy\" { script = \"echo \\\"$http_proxy\\\" > /out\" }"));
    let path = package.to_str().expect("UTF-8");
    must(bed.imgc(&["apply", path]).env("http_proxy", "http://127.0.0.1:9"));
    let into = bed.path("tmp/tree");
    unpack_archive(&package.join("out/archive.tar"), &into);
    assert_eq!(fs::read_to_string(into.join("root/out")).expect("/out"), "http://127.0.0.1:9\n");
    let plan = must(&mut bed.imgc(&["plan", path]));
    assert!(plan.contains("0 to run"), "{plan}");
}

#[test]
fn the_epoch_of_the_package_counts_at_once() {
    let bed = Bed::new(Who::Root);
    let package = bed.package("p", &boxed("  sh \"time\" { script = \"echo $SOURCE_DATE_EPOCH > /out\" }"));
    bed.apply(&package, &[]);
    fs::write(package.join("imgc.toml"), "name = \"p\"\n\n[settings]\nepoch = 1000000000\n").expect("imgc.toml");
    bed.apply(&package, &[]);
    let into = bed.path("tmp/tree");
    unpack_archive(&package.join("out/archive.tar"), &into);
    assert_eq!(fs::read_to_string(into.join("root/out")).expect("/out"), "1000000000\n");
    let listed = must(Command::new("stat").args(["-c", "%Y"]).arg(into.join("root/out")));
    assert_eq!(listed, "1000000000\n");
}

#[test]
fn a_certificate_authority_reaches_the_step_and_no_layer() {
    let bed = Bed::new(Who::Root);
    let pem = "-----BEGIN CERTIFICATE-----\nbm90IGEgcmVhbCBvbmU=\n-----END CERTIFICATE-----\n";
    fs::write(bed.path("ca.pem"), pem).expect("ca.pem");
    let statements = "  sh \"look\" { script = \"/bin/busybox grep -c bm90IGEgcmVhbCBvbmU= $SSL_CERT_FILE > /out\" }";
    let package = bed.package("p", &boxed(statements));
    must(bed.imgc(&["apply", package.to_str().expect("UTF-8")]).env("IMGC_CA_FILE", bed.path("ca.pem")));
    let into = bed.path("tmp/tree");
    unpack_archive(&package.join("out/archive.tar"), &into);
    assert_eq!(fs::read_to_string(into.join("root/out")).expect("/out"), "1\n");
    let held = run(Command::new("grep").args(["-r", "-l", "bm90IGEgcmVhbCBvbmU="]).arg(bed.path("cache/trees")));
    assert_eq!(String::from_utf8_lossy(&held.stdout), "", "a layer holds the certificate");
}

#[test]
fn an_archive_is_a_source() {
    for who in [Who::Root, Who::User] {
        let bed = Bed::new(who);
        let package = bed.package("p", "image box {\n  from = rootfs.tar(file(\"./base.tar\"))\n  sh \"look\" { script = \"/bin/busybox cat /etc/name > /out\" }\n}\noutput archive = oci.archive(box)\n");
        let root = bed.path("root");
        fs::create_dir_all(root.join("bin")).expect("folder");
        fs::create_dir_all(root.join("etc")).expect("folder");
        fs::write(root.join("etc/name"), "from a tar file\n").expect("name");
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox");
        std::os::unix::fs::symlink("busybox", root.join("bin/sh")).expect("sh");
        must(
            Command::new("tar")
                .args(["--owner=0", "--group=0", "-C"])
                .arg(&root)
                .arg("-cf")
                .arg(package.join("base.tar"))
                .arg("."),
        );
        bed.own();
        bed.apply(&package, &[]);
        let into = bed.path("tmp/tree");
        unpack_archive(&package.join("out/archive.tar"), &into);
        assert_eq!(fs::read_to_string(into.join("root/out")).expect("/out"), "from a tar file\n", "{who:?}");
    }
}

#[test]
fn a_group_that_is_asked_for_takes_the_place_of_roots() {
    let statements = "  write \"secret\" { dest = \"/secret\", text = \"s\\n\", mode = 0o640 }\n  sh \"make\" { script = \"/bin/busybox touch /out; /bin/busybox chmod 666 /out\" }\n  sh \"look\" { script = \"/bin/busybox id -G > /out; /bin/busybox cat /secret 2> /dev/null || echo no >> /out\", user = \"4000:4000\" }";
    assert_eq!(out(Who::Root, statements), "4000\nno\n");
}

#[test]
fn a_step_as_root_cannot_change_the_machines_kernel() {
    let statements = "  sh \"try\" { script = \"if echo x > /proc/sys/kernel/hostname; then echo changed > /out; else echo refused > /out; fi 2> /dev/null\" }";
    assert_eq!(out(Who::Root, statements), "refused\n");
}

#[test]
fn a_file_takes_its_name_along_where_the_destination_ends_in_a_slash() {
    let bed = Bed::new(Who::Root);
    let program = boxed("  copy \"named\" { src = file(\"./one.conf\"), dest = \"/etc/\" }");
    let package = bed.package("p", &program);
    fs::write(package.join("one.conf"), "same").expect("one.conf");
    fs::write(package.join("two.conf"), "same").expect("two.conf");
    bed.apply(&package, &[]);
    fs::write(package.join("main.imgc"), program.replace("one.conf", "two.conf")).expect("program");
    bed.apply(&package, &[]);
    let into = bed.path("tmp/tree");
    unpack_archive(&package.join("out/archive.tar"), &into);
    assert!(into.join("root/etc/two.conf").is_file(), "the old name was found in the store");
    assert!(!into.join("root/etc/one.conf").exists());
}
