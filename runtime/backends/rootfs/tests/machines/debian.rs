//! Debian by mmdebstrap: locked, exact, equal for everyone.

use std::collections::BTreeMap;

use imgc_backend::Backend as _;
use imgc_plan::lock::Pin;
use imgc_plan::{Locked, Record, Value};

use crate::Test;
use crate::bed::{Bed, as_user, platform_arg, print_state, printed_state, source};

pub(crate) const TESTS: &[Test] = &[
    ("unknown_packages_and_suites_are_said", unknown_packages_and_suites_are_said),
    ("debian_is_equal_for_everyone", debian_is_equal_for_everyone),
];

fn args(suite: &str, packages: &[&str]) -> Record {
    let packages = packages.iter().map(|name| Value::Text((*name).into())).collect();
    let suite = ("suite".into(), Value::Text(suite.into()));
    BTreeMap::from([suite, ("packages".into(), Value::List(packages)), platform_arg()])
}

fn unknown_packages_and_suites_are_said() {
    let bed = Bed::new();
    let lock = |suite: &str, packages: &[&str]| {
        bed.runtime.block_on(bed.backend.lock(&source("rootfs.debian", args(suite, packages)), &bed.cx))
    };
    let error = lock("bookworm", &["no-such-package-here"]).unwrap_err();
    assert_eq!(error.to_string(), "the suite bookworm has no package `no-such-package-here`");
    let error = lock("buster-on-ice", &[]).unwrap_err();
    assert!(error.to_string().starts_with("cannot fetch the suite buster-on-ice"), "{error}");
    assert!(lock("-o", &[]).unwrap_err().to_string().contains("not the name of a suite"));
}

fn debian_is_equal_for_everyone() {
    let bed = Bed::new();
    let node = source("rootfs.debian", args("bookworm", &["openssh-server"]));
    let locked: Locked = match std::env::var_os("IMGC_TEST_LOCK") {
        Some(path) => serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
        None => bed.runtime.block_on(bed.backend.lock(&node, &bed.cx)).unwrap(),
    };
    let layer = bed.runtime.block_on(bed.backend.import(&node, &locked, &bed.cx)).unwrap();
    print_state(&bed, &layer);
    let mut live = bed.open(&layer);
    let said = live.must("dpkg --audit; cat /etc/apt/sources.list; ls /dev /etc/ssh; test ! -s /etc/machine-id");
    assert!(said.starts_with("deb http://deb.debian.org/debian bookworm main\n"), "{said}");
    assert!(!said.contains("ssh_host_"), "{said}");
    live.close();
    let file = std::env::temp_dir().join(format!("imgc-lock-{}", std::process::id()));
    std::fs::write(&file, serde_json::to_vec(&locked).unwrap()).unwrap();
    if let Some(text) = as_user("debian_is_equal_for_everyone", &[("IMGC_TEST_LOCK", &file)]) {
        assert_eq!(printed_state(&text), layer.state.digest().to_string(), "root and user differ");
        gone_version_is_named(&bed, &locked);
    }
    let _ = std::fs::remove_file(&file);
}

fn gone_version_is_named(bed: &Bed, locked: &Locked) {
    let mut locked = locked.clone();
    let Some(Pin::List(packages)) = locked.pins.get_mut("packages") else { panic!("no packages") };
    let wget = packages.iter_mut().find(|pin| pin.starts_with("openssh-server=")).unwrap();
    *wget = "openssh-server=1:0.1-1=00".to_owned();
    let node = source("rootfs.debian", args("bookworm", &["openssh-server"]));
    let error = bed.runtime.block_on(bed.backend.import(&node, &locked, &bed.cx)).unwrap_err();
    assert!(error.to_string().contains("no longer serves openssh-server 1:0.1-1"), "{error}");
    assert!(error.help().unwrap().contains("imgc update debian:bookworm"), "{error}");
}
