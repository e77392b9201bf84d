//! `[settings.limits]`: what may be used at once.

use std::fs;

use crate::bed::{Bed, Who, must};
use crate::failures::BOX;

/// The most nodes that ran at one time, by the events of an apply.
fn most(limits: &str) -> usize {
    let bed = Bed::new(Who::Root);
    let images = (0..3).map(|n| {
        let step = format!("  sh \"slow\" {{ script = \"/bin/busybox sleep 0.5; echo {n} > /n\", network = false }}");
        format!("image i{n} {{\n{BOX}{step}\n}}\noutput o{n} = oci.archive(i{n})\n")
    });
    let package = bed.package("p", &images.collect::<Vec<_>>().concat());
    fs::write(package.join("imgc.toml"), limits).expect("imgc.toml");
    let path = package.to_str().expect("UTF-8");
    let (mut now, mut most) = (0_usize, 0);
    for line in must(&mut bed.imgc(&["apply", path, "--jobs", "3", "--format", "json"])).lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        match event["event"].as_str() {
            Some("started") => now += 1,
            Some("finished") => now -= 1,
            Some(_) | None => {}
        }
        most = most.max(now);
    }
    assert_eq!(now, 0, "everything ended");
    most
}

#[test]
fn limits_of_the_package_hold() {
    assert!(most("") > 1, "without limits steps that only wait run side by side");
    assert_eq!(most("[settings.limits]\nbackends = { rootfs = 1 }\n"), 1);
    assert!(most("[settings.limits]\ncpus = 2\n") <= 2);
    // Each of these is larger than that alone: such a one runs alone.
    assert_eq!(most("[settings.limits]\nmemory = \"1MiB\"\n"), 1);
}
