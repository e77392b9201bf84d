//! What goes wrong outside the program: the exit code, the message, and that the next apply goes on from there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::bed::{Bed, Running, Who, as_root, free_port, has, is_root, lacking, must, run, within};

/// An image's first lines: nothing but busybox.
pub(crate) const BOX: &str = "  from = rootfs.scratch()\n  copy \"shell\" { src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }\n  copy \"tools\" { src = file(\"./busybox\"), dest = \"/bin/busybox\", mode = 0o755 }\n";

/// A program on busybox with these statements.
pub(crate) fn boxed(statements: &str) -> String {
    format!("image box {{\n{BOX}{statements}\n}}\noutput archive = oci.archive(box)\n")
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn apply(bed: &Bed, package: &Path) -> Output {
    run(&mut bed.imgc(&["apply", package.to_str().expect("UTF-8")]))
}

#[test]
fn a_failing_script_shows_its_place_its_last_lines_and_its_log() {
    let bed = Bed::new(Who::Root);
    let script = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done; exit 7";
    let package = bed.package(
        "p",
        &boxed(&format!("  sh \"first\" {{ script = \"echo ok > /ok\" }}\n  sh \"bad\" {{ script = \"{script}\" }}")),
    );
    let output = apply(&bed, &package);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for expected in ["main.imgc", "exit code 7", "line 11", "line 30", ".log"] {
        assert!(said.contains(expected), "`{expected}` is missing in:\n{said}");
    }
    let fixed = fs::read_to_string(package.join("main.imgc")).expect("program").replace("exit 7", "exit 0");
    fs::write(package.join("main.imgc"), fixed).expect("program");
    let plan = text(&run(&mut bed.imgc(&["plan", package.to_str().expect("UTF-8")])));
    assert!(
        plan.lines().any(|l| l.contains("first") && l.trim_start().starts_with('=')),
        "what was built stays cached:\n{plan}"
    );
    bed.apply(&package, &[]);
}

/// imgc with its store on a file system of its own in a mount namespace of its own.
fn in_mounts(bed: &Bed, setup: &str, package: &Path) -> Output {
    let script = format!("set -e; {setup}; exec \"$0\" apply \"$1\"");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script])
        .arg(bed.path("imgc"))
        .arg(package)
        .env("IMGC_CACHE", bed.path("cache"))
        .env("XDG_STATE_HOME", bed.path("state"))
        .env("NO_COLOR", "1");
    run(&mut command)
}

#[test]
fn a_full_disk_and_a_read_only_store_are_the_environments_fault() {
    if !is_root() {
        eprintln!("SKIPPED: needs root to mount");
        return;
    }
    let bed = Bed::new(Who::Root);
    let package = bed
        .package("p", &boxed("  sh \"big\" { script = \"/bin/busybox dd if=/dev/urandom of=/big bs=1M count=40\" }"));
    let cache = bed.path("cache");
    let full = in_mounts(&bed, &format!("mount -t tmpfs -o size=24m none {}", cache.display()), &package);
    let said = text(&full);
    assert_eq!(full.status.code(), Some(4), "{said}");
    assert!(said.contains("space"), "{said}");

    let dir = cache.display();
    let read_only = in_mounts(&bed, &format!("mount --bind {dir} {dir}; mount -o remount,bind,ro {dir}"), &package);
    let said = text(&read_only);
    assert_eq!(read_only.status.code(), Some(4), "{said}");
    assert!(said.contains("read-only") || said.contains("Read-only"), "{said}");
    bed.apply(&package, &[]);
}

#[test]
fn two_applies_in_one_folder_both_end_well() {
    let bed = Bed::new(Who::Root);
    let package = bed.package("p", &boxed("  sh \"slow\" { script = \"read -r t < /proc/sys/kernel/random/uuid; echo $t > /token; /bin/busybox sleep 2\" }"));
    let path = package.to_str().expect("UTF-8");
    let start = || bed.imgc(&["apply", path]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("imgc");
    let (first, second) = (start(), start());
    for child in [first, second] {
        let output = child.wait_with_output().expect("wait");
        assert!(output.status.success(), "{}", text(&output));
    }
    let sums = Bed::sums(&package);
    bed.apply(&package, &[]);
    assert_eq!(Bed::sums(&package), sums);
}

/// Debian's registry on loopback, once it answers.
fn registry(dir: &Path, port: u16) -> Running {
    fs::create_dir(dir).expect("folder");
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        dir.display()
    );
    fs::write(dir.join("config.yml"), config).expect("config");
    let mut serve = Command::new("docker-registry");
    serve.arg("serve").arg(dir.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(serve.spawn().expect("docker-registry"));
    let url = format!("http://127.0.0.1:{port}/v2/");
    within(Duration::from_secs(30), "the registry answers", || {
        run(Command::new("curl").args(["-fsS", &url])).status.success().then_some(())
    });
    running
}

#[test]
fn a_registry_that_refuses_and_one_that_serves() {
    for program in ["docker-registry", "skopeo"] {
        if !has(program) && lacking(program) {
            return;
        }
    }
    let bed = Bed::new(Who::Root);
    let package = bed.package(
        "base",
        &boxed("  sh \"mark\" { script = \"echo base > /base\" }")
            .replace("oci.archive(box)", "oci.archive(box, tag: \"base:1\")"),
    );
    bed.apply(&package, &[]);
    let port = free_port();
    let program = format!(
        "image top {{\n  from = rootfs.oci(\"127.0.0.1:{port}/base:1\")\n  sh \"more\" {{ script = \"/bin/busybox cat /base > /top\" }}\n}}\noutput archive = oci.archive(top)\n"
    );
    let top = bed.package("top", &program);
    let refused = apply(&bed, &top);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");

    let _registry = registry(&bed.path("registry"), port);
    let from = format!("oci-archive:{}", package.join("out/archive.tar").display());
    must(Command::new("skopeo").args([
        "copy",
        "-q",
        "--dest-tls-verify=false",
        &from,
        &format!("docker://127.0.0.1:{port}/base:1"),
    ]));
    bed.apply(&top, &[]);
    let lock = fs::read_to_string(top.join("imgc.lock")).expect("imgc.lock");
    assert!(lock.contains("sha256:"), "the tag is pinned to a digest:\n{lock}");
    let layers = bed.path("layers");
    crate::bed::unpack_archive(&top.join("out/archive.tar"), &layers);
    assert_eq!(fs::read_to_string(layers.join("root/top")).expect("/top"), "base\n");

    // The same bytes as a file and as a folder, without a registry.
    must(Command::new("cp").arg(package.join("out/archive.tar")).arg(top.join("base.tar")));
    let program = fs::read_to_string(top.join("main.imgc"))
        .expect("program")
        .replace(&format!("\"127.0.0.1:{port}/base:1\""), "file(\"./base.tar\")");
    fs::write(top.join("main.imgc"), program).expect("program");
    let sums = Bed::sums(&top);
    bed.apply(&top, &[]);
    assert_eq!(Bed::sums(&top), sums, "an archive gives what the registry gave");
}

#[test]
fn a_killed_mmdebstrap_is_said_and_leaves_nothing() {
    if !has("mmdebstrap") && lacking("mmdebstrap") {
        return;
    }
    let bed = Bed::new(Who::Root);
    let package = bed.package(
        "p",
        "image base {\n  from = rootfs.debian(suite: \"bookworm\")\n}\noutput archive = oci.archive(base)\n",
    );
    let child = bed
        .imgc(&["apply", package.to_str().expect("UTF-8")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("imgc");
    let dir = bed.path("cache").display().to_string();
    let pid = within(Duration::from_secs(300), "mmdebstrap runs", || {
        let found = run(as_root("pgrep").args(["-f", &format!("mmdebstrap.*{dir}")]));
        String::from_utf8_lossy(&found.stdout).lines().next().map(str::to_owned)
    });
    must(as_root("kill").args(["-KILL", &pid]));
    let output = child.wait_with_output().expect("wait");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("mmdebstrap"), "{said}");
    assert_eq!(fs::read_dir(bed.path("cache/scratch")).expect("scratch").count(), 0, "scratch");
}
