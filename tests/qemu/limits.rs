//! Guests at one time: as many as the package's limits leave room for, seen among the processes of the host.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::bed::{Running, within};
use crate::guests::{Place, skipped, vm};
use crate::resuming::unlike_any_other;

/// Three guests on the booted one, each of which only waits.
fn waiting(run: &str) -> String {
    format!(
        "{}image waiting for n in [1, 2, 3] {{ from = vm\n  sh \"waits\" {{ script = \"sleep 6; : \\{{n}} {run}\" network = false }}\n}}\n\
         output waited = waiting\n",
        vm()
    )
}

/// The most guests that ran at once.
fn most(place: &Place, limits: &str) -> usize {
    place.write(&waiting(&unlike_any_other()));
    fs::write(place.package.join("imgc.toml"), format!("name = \"vm\"\nedition = 1\n{limits}")).expect("settings");
    let log = place.bed.path("limits.log");
    let out = fs::File::create(&log).expect("log");
    let mut imgc = place.bed.imgc(&["apply", "-j", "8", place.package.to_str().expect("UTF-8")]);
    imgc.stdin(Stdio::null()).stdout(out.try_clone().expect("log")).stderr(out);
    let mut child = Running(imgc.spawn().expect("imgc"));
    let mut most = 0;
    let status = within(Duration::from_secs(600), "the guests wait and end", || {
        most = most.max(place.running().len());
        child.0.try_wait().expect("its state")
    });
    assert!(status.success(), "{status}\n{}", fs::read_to_string(&log).unwrap_or_default());
    assert!(place.running().is_empty(), "a guest is left");
    most
}

#[test]
fn machine_limits_hold_for_guests() {
    if skipped() {
        return;
    }
    let place = Place::new(&format!("{}output ready = vm\n", vm()));
    place.apply(&[]);
    assert_eq!(most(&place, ""), 3, "without limits three guests that wait run side by side");
    // Each of them takes 768 MiB of the host, 512 of which are its own, and two processors of the eight that `-j 8` stands for.
    let two = most(&place, "[settings.limits]\nmemory = \"1600MiB\"\n");
    assert_eq!(two, 2, "two guests fit into that memory");
    let one = most(&place, "[settings.limits]\nmachines = 1\n");
    assert_eq!(one, 1, "one machine at a time");
}
