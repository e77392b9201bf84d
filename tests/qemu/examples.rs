//! Examples that are virtual machines, applied as their first lines say.

use std::fs;
use std::process::{Command, Stdio};

use crate::bed::{must, run, shared};
use crate::guests::{Place, skipped, text};
use crate::resuming::root_partition;

/// One recipe on two backends leaves the same site in a container and in a machine, and the machine serves it.
#[test]
#[ignore = "installs a web server in an emulated guest and boots it twice: make test-long"]
fn machine_the_example_everywhere_is_the_same_everywhere() {
    if skipped() {
        return;
    }
    let bed = shared();
    let package = bed.example("everywhere");
    let place = Place { bed, package };
    let key = place.package.join("key");
    must(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
    let public = fs::read_to_string(key.with_extension("pub")).expect("key");
    let set = format!("admin_key={}", public.trim());
    for command in ["apply", "test"] {
        let output = run(place.bed.imgc(&[command, "--set", &set]).current_dir(&place.package));
        assert!(output.status.success(), "{command}: {}", text(&output));
    }
    assert!(place.running().is_empty(), "a guest is left");

    let raw = place.bed.path("vm.raw");
    must(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(place.package.join("out/vm.qcow2")).arg(&raw));
    let root = root_partition(&raw);
    let cat = |file: &str| {
        must(Command::new("debugfs").args(["-R", &format!("cat {file}")]).arg(&root).stderr(Stdio::null()))
    };
    let page = fs::read_to_string(place.package.join("site/index.html")).expect("the page");
    assert_eq!(cat("/var/www/html/index.html"), page, "the machine has another page");

    let image = place.bed.path("container");
    fs::create_dir_all(&image).expect("folder");
    must(Command::new("tar").arg("-xf").arg(place.package.join("out/packed.tar")).arg("-C").arg(&image));
    let blobs = must(Command::new("find").arg(image.join("blobs")).args(["-type", "f"]));
    let holds = |blob: &&str| {
        let mut tar = Command::new("tar");
        let page = run(tar.args(["-xOf", blob, "var/www/html/index.html"]));
        page.status.success() && page.stdout == fs::read(place.package.join("site/index.html")).expect("the page")
    };
    assert!(blobs.lines().any(|blob| holds(&blob)), "the container has no such page");
}
