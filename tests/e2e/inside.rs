//! imgc inside a container, its store on the container's own overlay file system.

use crate::bed::{Bed, Who, has, lacking, must, repository, shared};
use crate::engines::Docker;

#[test]
fn imgc_builds_inside_a_container() {
    if !has("dockerd") && lacking("dockerd (package docker.io)") {
        return;
    }
    // The container is made by imgc itself: Debian, and the binary that is tested.
    let bed = shared();
    let outer = bed.path("outer");
    std::fs::create_dir(&outer).expect("folder");
    std::fs::copy(env!("CARGO_BIN_EXE_imgc"), outer.join("imgc")).expect("binary");
    let text = "image tool {\n  from = rootfs.debian(suite: \"bookworm\")\n  copy \"imgc\" { src = file(\"./imgc\"), dest = \"/usr/local/bin/imgc\", mode = 0o755 }\n}\noutput archive = oci.archive(tool, tag: \"tool:latest\")\n";
    std::fs::write(outer.join("main.imgc"), text).expect("program");
    bed.apply(&outer, &[]);

    let inner = bed.package(
        "inner",
        "image box {\n  from = rootfs.scratch()\n  copy \"shell\" { src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }\n  sh \"one\" { script = \"echo one > /one\", network = false }\n  sh \"two\" { script = \"echo two > /two; echo more >> /one\", network = false }\n}\noutput archive = oci.archive(box)\n",
    );
    let outside = Bed::new(Who::Root);
    let copy = outside.path("inner");
    must(std::process::Command::new("cp").arg("-R").arg(&inner).arg(&copy));
    outside.apply(&copy, &[]);

    let docker = Docker::start();
    let image = docker.load(&outer.join("out/archive.tar"));
    let mount = format!("{}:/inner", inner.display());
    let said = must(docker.client().args([
        "run",
        "--rm",
        "--cap-add=SYS_ADMIN",
        "--cap-add=NET_ADMIN",
        "--security-opt=seccomp=unconfined",
        "--security-opt=apparmor=unconfined",
        "-v",
        &mount,
        &image,
        "/usr/local/bin/imgc",
        "apply",
        "/inner",
    ]));
    assert_eq!(Bed::sums(&inner), Bed::sums(&copy), "equal inside and outside; inside said:\n{said}");
    assert!(repository().join("examples").is_dir());
}
