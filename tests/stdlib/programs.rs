//! The programs of `examples/real/`: they check and plan, and say at apply what is not built yet.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// A program of `examples/real/`.
struct Program {
    name: &'static str,
    /// What `apply` is given; `@` stands for the address of a server that has a file, and not the right one.
    args: &'static [&'static str],
    /// What `apply` ends with.
    code: i32,
    /// What it says about the first thing that it cannot do.
    says: &'static [&'static str],
}

/// The digest of a file that nobody has.
const WANTED: &str = "digest=sha256:5555555555555555555555555555555555555555555555555555555555555555";

/// The same of the program that has a medium for each cloud.
const CLOUD: &str = "cloud_digest=sha256:5555555555555555555555555555555555555555555555555555555555555555";

const PROGRAMS: [Program; 6] = [
    // Machines of QEMU: what is refused is the file that stands in the place of the wanted one.
    Program { name: "matrix", args: &["--set", "mirror=@"], code: 3, says: &["debian-12-genericcloud-amd64.qcow2"] },
    Program {
        name: "cloud-image",
        args: &["--set", "image=@/cloud.qcow2", "--set", WANTED],
        code: 3,
        says: &["cloud.qcow2 is another one now", "5555555555555555"],
    },
    // What no backend builds: every kind of it is named before anything starts.
    Program {
        name: "windows-server",
        args: &["--set", "medium=@/windows.iso", "--set", WANTED],
        code: 4,
        says: &["`qemu.iso` is not built yet"],
    },
    Program {
        name: "kubernetes-node",
        args: &["--set", CLOUD],
        code: 4,
        says: &["`aws.image` is not built yet", "`aws.ami` is not built yet"],
    },
    Program { name: "installer", args: &[], code: 4, says: &["`qemu.iso` is not built yet"] },
    Program {
        name: "build-host",
        args: &[],
        code: 4,
        says: &["`docker.image` is not built yet", "`docker.tag` is not built yet"],
    },
];

/// A server that has the same few bytes at every path; ends with the test's process.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().expect("socket")).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nno disk");
        }
    });
    format!("http://{address}")
}

fn imgc(program: &str, args: &[&str], state: &Path) -> std::process::Output {
    let dir = state.join(program);
    if !dir.exists() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").join("examples/real");
        // `apply` may write its lock.
        let copied = Command::new("cp").arg("-r").arg(examples.join(program)).arg(&dir).status().expect("cp");
        assert!(copied.success(), "{program} cannot be copied");
    }
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
    for Program { name: program, .. } in PROGRAMS {
        let output = imgc(program, &["check"], state.path());
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.trim().is_empty(), "{program}: {said}");
    }
}

#[test]
fn every_real_program_is_formatted() {
    let state = tempfile::tempdir().expect("a folder");
    for Program { name: program, .. } in PROGRAMS {
        let output = imgc(program, &["fmt", "--check"], state.path());
        assert!(output.status.success(), "{program} is not formatted: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// What cannot be done is refused before anything is built, and said so that one knows what to do.
#[test]
fn each_says_at_apply_what_it_cannot_do_yet() {
    let state = tempfile::tempdir().expect("a folder");
    let address = server();
    for Program { name, args, code, says } in PROGRAMS {
        let out = state.path().join("out").to_string_lossy().into_owned();
        let given: Vec<String> = args.iter().map(|arg| arg.replace('@', &address)).collect();
        let args: Vec<&str> =
            ["apply", "--out-dir", &out].into_iter().chain(given.iter().map(String::as_str)).collect();
        let output = imgc(name, &args, state.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {said}");
        // Long lines are broken where the terminal ends.
        let said = said.split_whitespace().filter(|word| !word.chars().all(|c| "│┆".contains(c)));
        let said = said.collect::<Vec<_>>().join(" ");
        for wanted in says {
            assert!(said.contains(wanted), "{name} does not say `{wanted}`: {said}");
        }
        assert!(
            !Path::new(&out).exists() || fs::read_dir(&out).expect("out").next().is_none(),
            "{name} built something"
        );
    }
}
