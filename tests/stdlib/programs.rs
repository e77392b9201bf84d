//! The programs of `examples/real/`: they check and plan, and say at apply what is not built yet.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Each program with what it says at apply.
const PROGRAMS: [&str; 6] = ["matrix", "cloud-image", "windows-server", "kubernetes-node", "installer", "build-host"];

fn imgc(program: &str, args: &[&str], state: &Path) -> std::process::Output {
    let dir =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").join("examples/real").join(program);
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
    command.args(args).arg(dir).env("IMGC_CACHE", state.join("cache")).env("XDG_STATE_HOME", state.join("state"));
    for secret in ["IMGC_BUILD_PASSWORD", "IMGC_INSTALL_PASSWORD"] {
        command.env(secret, "only for this test");
    }
    command.output().expect("imgc")
}

#[test]
fn every_real_program_checks_without_a_warning() {
    let state = tempfile::tempdir().expect("a folder");
    for program in PROGRAMS {
        let output = imgc(program, &["check"], state.path());
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.trim().is_empty(), "{program}: {said}");
    }
}

#[test]
fn every_real_program_is_formatted() {
    let state = tempfile::tempdir().expect("a folder");
    for program in PROGRAMS {
        let output = imgc(program, &["fmt", "--check"], state.path());
        assert!(output.status.success(), "{program} is not formatted: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// What a backend that is not there would build is refused before anything starts, with the environment's exit code.
#[test]
fn what_is_not_built_yet_says_so_at_apply() {
    let state = tempfile::tempdir().expect("a folder");
    // The two others are machines of QEMU on disks from the network: those are built.
    for program in PROGRAMS.into_iter().filter(|program| !["matrix", "cloud-image"].contains(program)) {
        let out = state.path().join("out").to_string_lossy().into_owned();
        let output = imgc(program, &["apply", "--out-dir", &out], state.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{program}: {said}");
        assert!(said.contains("not built yet"), "{program}: {said}");
        assert!(
            !Path::new(&out).exists() || fs::read_dir(&out).expect("out").next().is_none(),
            "{program} built something"
        );
    }
}
