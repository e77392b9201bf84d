//! Debian's archive through a mirror: asked for everything, and in nothing that is built.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::bed::{Bed, Who, free_port, has, lacking, must, run, shared};
use crate::failures::text;

const PROGRAM: &str =
    "image base {\n  from = rootfs.debian(suite: \"bookworm\")\n}\noutput archive = oci.archive(base)\n";

/// Where the mirror has its files from.
const ARCHIVE: &str = "deb.debian.org";

/// A mirror on loopback that writes down what it is asked for and fetches it from the archive.
struct Mirror {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || answer(&stream, &seen));
            }
        });
        Self { port, asked }
    }

    /// Every path that was asked for.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("lock").clone()
    }
}

/// Answers the one request of a connection with what the archive says.
fn answer(stream: &TcpStream, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    // The head ends with an empty line; a GET has no body.
    if lines.by_ref().find(String::is_empty).is_none() {
        return;
    }
    let Ok(mut archive) = TcpStream::connect((ARCHIVE, 80)) else { return };
    let head = format!("GET {path} HTTP/1.1\r\nHost: {ARCHIVE}\r\nConnection: close\r\n\r\n");
    asked.lock().expect("lock").push(path);
    let mut stream = stream;
    if archive.write_all(head.as_bytes()).is_ok() {
        let _ = std::io::copy(&mut archive, &mut stream);
    }
}

fn package(bed: &Bed, toml: &str) -> std::path::PathBuf {
    let package = bed.package("p", PROGRAM);
    fs::write(package.join("imgc.toml"), toml).expect("imgc.toml");
    bed.own();
    package
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}/debian")
}

fn path_of(package: &Path) -> &str {
    package.to_str().expect("UTF-8")
}

#[test]
fn a_debian_mirror_is_asked_for_everything_and_is_in_nothing() {
    if !has("mmdebstrap") && lacking("mmdebstrap") {
        return;
    }
    let (mirror, bed) = (Mirror::start(), Bed::new(Who::Root));
    // The mirror of imgc.toml is dead: what the environment says counts.
    let toml = format!("[settings.mirrors.debian]\nbookworm = \"{}\"\n", address(free_port()));
    let mirrored = package(&bed, &toml);
    must(bed.imgc(&["apply", path_of(&mirrored)]).env("IMGC_DEBIAN_MIRROR", address(mirror.port)));
    let asked = mirror.asked();
    let count = |what: &str| asked.iter().filter(|path| path.contains(what)).count();
    assert!(count("/debian/dists/bookworm/InRelease") > 0, "{asked:?}");
    assert!(count("/debian-security/dists/bookworm-security/InRelease") > 0, "{asked:?}");
    assert!(count(".deb") > 50, "every package came through the mirror: {asked:?}");
    // The same lock without a mirror gives the same bytes, and nobody is asked again for what is there.
    let plain = shared();
    let direct = package(&plain, "");
    fs::copy(mirrored.join("imgc.lock"), direct.join("imgc.lock")).expect("imgc.lock");
    plain.apply(&direct, &[]);
    assert_eq!(Bed::sums(&direct), Bed::sums(&mirrored), "a mirror is in no byte");
    let lock = fs::read_to_string(mirrored.join("imgc.lock")).expect("imgc.lock");
    assert!(!lock.contains("127.0.0.1"), "{lock}");
}

#[test]
fn a_dead_debian_mirror_is_named() {
    if !has("mmdebstrap") && lacking("mmdebstrap") {
        return;
    }
    let bed = Bed::new(Who::Root);
    let dead = address(free_port());
    let package = package(&bed, &format!("[settings.mirrors.debian]\nbookworm = \"{dead}\"\n"));
    let output = run(&mut bed.imgc(&["apply", path_of(&package)]));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&dead) && said.contains("imgc.toml"), "{said}");
    assert!(!package.join("imgc.lock").exists(), "nothing was locked");
}
