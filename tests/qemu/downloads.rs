//! `qemu.disk` from an address: goes on after a cut, is verified, is fetched once for all packages, and a file that is
//! another one now is told with both digests.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::bed::{Bed, Who, has, lacking, must, run};
use crate::guests::text;

/// What a server has seen and what it does.
#[derive(Default)]
struct Served {
    file: Vec<u8>,
    /// The connection ends after so many bytes of a body, for so many answers.
    cut: Option<(usize, u32)>,
    /// The first byte that each request asked for, and how many were sent.
    asked: Vec<(usize, usize)>,
}

/// A server of one file at every path, with ranges.
#[derive(Clone)]
struct Server {
    served: Arc<Mutex<Served>>,
    port: u16,
}

impl Server {
    fn new(file: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("address").port();
        let server = Self { served: Arc::new(Mutex::new(Served { file, ..Served::default() })), port };
        let mine = server.clone();
        // Ends with the test's process.
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| mine.answer(stream)));
        server
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut from = None;
        let mut lines = BufReader::new(stream.try_clone().expect("socket")).lines();
        while let Some(Ok(line)) = lines.next() {
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                from = range.trim_end_matches('-').parse::<usize>().ok();
            }
        }
        let mut served = self.served.lock().expect("lock");
        let all = served.file.len();
        let start = from.unwrap_or(0);
        if start >= all {
            let _ =
                write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            served.asked.push((start, 0));
            return;
        }
        let body = served.file[start..].to_vec();
        let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let sent = match &mut served.cut {
            Some((bytes, times)) if *times > 0 => {
                *times -= 1;
                body.len().min(*bytes)
            }
            _ => body.len(),
        };
        served.asked.push((start, sent));
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent]));
    }

    fn asked(&self) -> Vec<(usize, usize)> {
        std::mem::take(&mut self.served.lock().expect("lock").asked)
    }

    fn set(&self, change: impl FnOnce(&mut Served)) {
        change(&mut self.served.lock().expect("lock"));
    }

    fn program(&self, digest: &str) -> String {
        let digest = if digest.is_empty() { String::new() } else { format!(", digest: \"sha256:{digest}\"") };
        format!(
            "image vm {{ from = qemu.disk(\"http://127.0.0.1:{}/disk.qcow2\"{digest}) }}\noutput kept = vm\n",
            self.port
        )
    }
}

/// A disk of a few MiB that no compressor makes smaller, with its SHA-256.
fn disk(bed: &Bed, name: &str, seed: u64) -> (Vec<u8>, String) {
    let (raw, path): (PathBuf, PathBuf) = (bed.path(&format!("{name}.raw")), bed.path(name));
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56).to_le_bytes()[0]
    };
    fs::write(&raw, std::iter::repeat_with(next).take(3 << 20).collect::<Vec<u8>>()).expect("raw");
    must(Command::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]).arg(&raw).arg(&path));
    let sum = must(Command::new("sha256sum").arg(&path));
    (fs::read(&path).expect("disk"), sum.split(' ').next().expect("digest").to_owned())
}

#[test]
fn a_download_goes_on_after_a_cut_and_two_packages_share_it() {
    if !has("qemu-img") || !has("qemu-system-x86_64") {
        lacking("QEMU");
        return;
    }
    let bed = Bed::new(Who::Root);
    let (file, digest) = disk(&bed, "one.qcow2", 1);
    let size = file.len();
    let server = Server::new(file);
    server.set(|served| served.cut = Some((1_000_000, 2)));
    let program = server.program(&digest);
    let (one, two) = (bed.package("one", &program), bed.package("two", &program));
    // Both at once: one fetches, the other waits for it.
    let children: Vec<_> = [&one, &two]
        .into_iter()
        .map(|package| {
            let mut imgc = bed.imgc(&["apply", package.to_str().expect("UTF-8")]);
            imgc.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("imgc")
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success(), "{}", text(&output));
    }
    let asked = server.asked();
    assert_eq!(asked, [(0, 1_000_000), (1_000_000, 1_000_000), (2_000_000, size - 2_000_000)], "each byte once");
    bed.apply(&bed.package("three", &program), &[]);
    assert_eq!(server.asked(), [], "it is in the store");
    let kept = fs::read_dir(bed.path("cache/downloads")).expect("folder").count();
    assert_eq!(kept, 0, "what was on its way is gone");
}

#[test]
fn a_file_that_changed_at_its_address_is_told_with_both_digests() {
    if !has("qemu-img") || !has("qemu-system-x86_64") {
        lacking("QEMU");
        return;
    }
    let bed = Bed::new(Who::Root);
    let ((file, digest), (other, changed)) = (disk(&bed, "one.qcow2", 1), disk(&bed, "two.qcow2", 2));
    let server = Server::new(file);
    // No digest in the program: the lock has it.
    let package = bed.package("locked", &server.program(""));
    bed.apply(&package, &[]);
    let lock = fs::read_to_string(package.join("imgc.lock")).expect("lock");
    assert!(lock.contains(&digest), "{lock}");
    server.set(|served| served.file = other);
    let elsewhere = Bed::new(Who::Root);
    let copy = elsewhere.package("locked", &server.program(""));
    fs::write(copy.join("imgc.lock"), &lock).expect("lock");
    let output = run(elsewhere.imgc(&["apply", copy.to_str().expect("UTF-8")]).arg("--locked"));
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    for part in ["is another one now", &digest, &changed, "imgc update"] {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
    // What it said to do does it.
    must(&mut elsewhere.imgc(&["-C", copy.to_str().expect("UTF-8"), "update"]));
    elsewhere.apply(&copy, &[]);
    assert!(fs::read_to_string(copy.join("imgc.lock")).expect("lock").contains(&changed));
}

#[test]
fn a_server_that_keeps_cutting_ends_the_apply_and_nothing_is_lost() {
    if !has("qemu-img") || !has("qemu-system-x86_64") {
        lacking("QEMU");
        return;
    }
    let bed = Bed::new(Who::Root);
    let (file, digest) = disk(&bed, "one.qcow2", 1);
    let size = file.len();
    let server = Server::new(file);
    server.set(|served| served.cut = Some((100_000, 5)));
    let package = bed.package("cut", &server.program(&digest));
    let output = run(&mut bed.imgc(&["apply", package.to_str().expect("UTF-8")]));
    let said = text(&output);
    assert!(
        !output.status.success() && said.contains("cannot download") && said.contains("goes on from there"),
        "{said}"
    );
    server.asked();
    bed.apply(&package, &[]);
    assert_eq!(server.asked(), [(500_000, size - 500_000)]);
}
