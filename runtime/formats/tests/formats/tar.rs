//! Tar: canonical packing, unpacking against GNU tar, and both together as a round trip.

#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

mod build;
mod hostile;
mod property;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use imgc_formats::tar::{
    Limits, Owners, PackError, PackOptions, UnpackError, UnpackOptions, Unpacked, Whiteouts, pack, packed_size, unpack,
};
use imgc_plan::Digest;
use imgc_store::{Entry, EntryKind, Manifest, TreePath};

use self::build::Tar;

const EPOCH: i64 = 1_700_000_000;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn options() -> UnpackOptions<'static> {
    UnpackOptions {
        epoch: EPOCH,
        opaque_xattr: if is_root() { "trusted.overlay.opaque" } else { "user.overlay.opaque" },
        whiteouts: Whiteouts::Oci,
        owners: if is_root() { Owners::Set } else { Owners::Record },
        below: &[],
        limits: Limits::default(),
    }
}

pub(crate) fn unpack_bytes(bytes: &[u8], into: &Path) -> Result<Unpacked, UnpackError> {
    unpack(&mut std::io::Cursor::new(bytes), into, &options())
}

pub(crate) fn pack_bytes(manifest: &Manifest, dir: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    pack(manifest, dir, &mut out, &PackOptions::default()).unwrap();
    assert_eq!(out.len() as u64, packed_size(manifest, &PackOptions::default()).unwrap());
    out
}

fn entry(path: &str, kind: EntryKind) -> Entry {
    let mode = match kind {
        EntryKind::Dir { .. } => 0o755,
        EntryKind::Symlink { .. } => 0o777,
        EntryKind::Whiteout => 0,
        EntryKind::File { .. } | EntryKind::Hardlink { .. } | EntryKind::Fifo => 0o644,
    };
    let mtime = if kind == EntryKind::Whiteout { 0 } else { EPOCH - 5 };
    Entry { path: TreePath(path.into()), kind, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() }
}

fn file(path: &str, content: &[u8]) -> Entry {
    entry(path, EntryKind::File { digest: Digest::of(content), size: content.len() as u64 })
}

/// A tree with everything that layers hold.
fn everything() -> (Manifest, tempfile::TempDir) {
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(130));
    let capability = vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let dir = |path: &str| entry(path, EntryKind::Dir { opaque: false });
    let mut entries = vec![
        Entry { mode: 0o1777, ..dir("") },
        dir(&"d".repeat(120)),
        file(&long, b"deep"),
        dir("etc"),
        entry("etc/gone", EntryKind::Whiteout),
        file("etc/hosts", b"127.0.0.1 localhost\n"),
        entry("etc/link", EntryKind::Symlink { target: b"../usr/bin/ping".to_vec() }),
        entry("etc/far", EntryKind::Symlink { target: vec![b'x'; 300] }),
        entry("opaque", EntryKind::Dir { opaque: true }),
        file("opaque/kept", b""),
        entry("pipe", EntryKind::Fifo),
        dir("usr"),
        dir("usr/bin"),
        Entry {
            mode: 0o755,
            xattrs: BTreeMap::from([("security.capability".to_owned(), capability)]),
            ..file("usr/bin/ping", &vec![7; 100_000])
        },
        Entry { mode: 0o4755, uid: 3_000_000, gid: 5, ..file("usr/bin/su", b"su") },
        Entry {
            mode: 0o4755,
            uid: 3_000_000,
            gid: 5,
            ..entry("usr/bin/su2", EntryKind::Hardlink { to: TreePath(b"usr/bin/su".to_vec()) })
        },
        Entry { xattrs: BTreeMap::from([("user.note".to_owned(), b"a=b\n\0c".to_vec())]), ..file("usr/note", b"n") },
    ];
    let mut odd = file("x", b"odd");
    odd.path = TreePath(b"usr/\xff\xfe name\n".to_vec());
    entries.push(odd);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let ping = vec![7; 100_000];
    let contents: [(&[u8], &[u8]); 7] = [
        (long.as_bytes(), b"deep"),
        (b"etc/hosts", b"127.0.0.1 localhost\n"),
        (b"opaque/kept", b""),
        (b"usr/bin/ping", &ping),
        (b"usr/bin/su", b"su"),
        (b"usr/note", b"n"),
        (b"usr/\xff\xfe name\n", b"odd"),
    ];
    let temp = tempfile::tempdir().unwrap();
    for (path, content) in contents {
        let at = TreePath(path.to_vec()).on(temp.path());
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
    }
    (Manifest { entries }, temp)
}

#[test]
fn round_trip_keeps_everything() {
    let (manifest, dir) = everything();
    let bytes = pack_bytes(&manifest, dir.path());
    let into = tempfile::tempdir().unwrap();
    let found = unpack_bytes(&bytes, into.path()).unwrap();
    assert_eq!(found.manifest, manifest);
    assert_eq!(found.skipped, []);
    found.manifest.validate().unwrap();
    // What was unpacked packs to the same bytes again.
    assert_eq!(pack_bytes(&found.manifest, into.path()), bytes);

    let stat = |path: &str| into.path().join(path).symlink_metadata().unwrap();
    assert!(stat("pipe").file_type().is_fifo());
    assert!(stat("etc/gone").file_type().is_char_device());
    assert_eq!(stat("etc/gone").rdev(), 0);
    assert_eq!(stat("usr/bin/su").ino(), stat("usr/bin/su2").ino());
    assert_eq!(stat("usr/bin/su").mode() & 0o7777, 0o4755);
    assert_eq!(stat("usr").mtime(), EPOCH - 5);
    let marker = get_xattr(&into.path().join("opaque"), options().opaque_xattr);
    assert_eq!(marker.as_deref(), Some(b"y".as_slice()));
    if is_root() {
        assert_eq!((stat("usr/bin/su").uid(), stat("usr/bin/su").gid()), (3_000_000, 5));
        let ping = &manifest.get(&TreePath(b"usr/bin/ping".to_vec())).unwrap().xattrs["security.capability"];
        assert_eq!(get_xattr(&into.path().join("usr/bin/ping"), "security.capability").as_ref(), Some(ping));
    }
}

fn get_xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut buffer = [0_u8; 256];
    let read = rustix::fs::lgetxattr(path, name, &mut buffer).ok()?;
    Some(buffer[..read].to_vec())
}

#[test]
fn compressed_archives_are_the_same_tree() {
    use std::io::Write as _;
    let (manifest, dir) = everything();
    let bytes = pack_bytes(&manifest, dir.path());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    for compressed in [gzip.finish().unwrap(), zstd::encode_all(bytes.as_slice(), 1).unwrap()] {
        let into = tempfile::tempdir().unwrap();
        assert_eq!(unpack_bytes(&compressed, into.path()).unwrap().manifest, manifest);
        // Cut anywhere, it is no tree.
        let into = tempfile::tempdir().unwrap();
        let error = unpack_bytes(&compressed[..compressed.len() / 2], into.path()).unwrap_err();
        assert!(matches!(error, UnpackError::Truncated { .. } | UnpackError::Read { .. }), "{error}");
    }
}

#[test]
fn gnu_tar_lists_and_extracts_what_we_pack() {
    let (manifest, dir) = everything();
    let archive = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(archive.path(), pack_bytes(&manifest, dir.path())).unwrap();
    let listed = gnu_tar(&["--numeric-owner", "-tvf"], archive.path());
    for line in [
        "drwxrwxrwt 0/0               0 2023-11-14 22:13 ./",
        "-rwsr-xr-x 3000000/5         2 2023-11-14 22:13 usr/bin/su",
        "hrwsr-xr-x 3000000/5         0 2023-11-14 22:13 usr/bin/su2 link to usr/bin/su",
        "etc/link -> ../usr/bin/ping",
        "etc/.wh.gone",
        "opaque/.wh..wh..opq",
        "usr/\\377\\376 name\\n",
    ] {
        assert!(listed.contains(line), "{line} is missing in:\n{listed}");
    }
    if is_root() {
        let into = tempfile::tempdir().unwrap();
        let to = into.path().to_str().unwrap();
        gnu_tar(&["-C", to, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"], archive.path());
        assert_eq!(std::fs::read(into.path().join("usr/bin/ping")).unwrap(), vec![7; 100_000]);
        let ping = &manifest.get(&TreePath(b"usr/bin/ping".to_vec())).unwrap().xattrs["security.capability"];
        assert_eq!(get_xattr(&into.path().join("usr/bin/ping"), "security.capability").as_ref(), Some(ping));
        assert_eq!(get_xattr(&into.path().join("usr/note"), "user.note").as_deref(), Some(b"a=b\n\0c".as_slice()));
    }
}

#[test]
fn we_unpack_what_gnu_tar_packs() {
    let (manifest, dir) = everything();
    let tree = tempfile::tempdir().unwrap();
    unpack_bytes(&pack_bytes(&manifest, dir.path()), tree.path()).unwrap();
    for format in ["gnu", "pax", "ustar", "v7", "oldgnu"] {
        let archive = tempfile::NamedTempFile::new().unwrap();
        let format = format!("--format={format}");
        let from = tree.path().to_str().unwrap();
        // ustar and v7 cannot hold all of it.
        let some = ["-C", from, "--numeric-owner", "--exclude=d*", "--exclude=*name*", "--exclude=su*", &format, "-cf"];
        Command::new("tar").args(some).arg(archive.path()).args(["./etc/hosts", "./usr"]).output().unwrap();
        let into = tempfile::tempdir().unwrap();
        let found = unpack_bytes(&std::fs::read(archive.path()).unwrap(), into.path()).unwrap().manifest;
        let names: Vec<_> = found.entries.iter().map(|e| String::from_utf8_lossy(&e.path.0).into_owned()).collect();
        assert_eq!(names, ["etc", "etc/hosts", "usr", "usr/bin", "usr/bin/ping", "usr/note"], "{format}");
        let hosts = TreePath(b"etc/hosts".to_vec());
        assert_eq!(found.get(&hosts).unwrap().kind, manifest.get(&hosts).unwrap().kind, "{format}");
        assert_eq!(found.get(&hosts).unwrap().mtime, EPOCH - 5, "{format}");
    }
}

fn gnu_tar(args: &[&str], archive: &Path) -> String {
    let output = Command::new("tar").env("TZ", "UTC").args(args).arg(archive).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn equal_manifests_give_equal_bytes() {
    let (manifest, dir) = everything();
    let first = pack_bytes(&manifest, dir.path());
    let (again, elsewhere) = everything();
    assert_eq!(pack_bytes(&again, elsewhere.path()), first);
}

#[test]
fn content_that_differs_from_the_manifest_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let manifest = Manifest { entries: vec![file("a", b"12345")] };
    let pack_now = || pack(&manifest, temp.path(), &mut Vec::new(), &PackOptions::default()).unwrap_err();
    assert!(matches!(pack_now(), PackError::Read { .. }));
    for (content, expected) in [
        ("123", "`/a` is not what its manifest says: expected 5 bytes, found 3 bytes"),
        ("123456", "`/a` is not what its manifest says: expected 5 bytes, found 6 bytes"),
        ("12346", "`/a` is not what its manifest says: expected content "),
    ] {
        std::fs::write(temp.path().join("a"), content).unwrap();
        assert!(pack_now().to_string().starts_with(expected), "{}", pack_now());
    }
    std::fs::remove_file(temp.path().join("a")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", temp.path().join("a")).unwrap();
    assert!(matches!(pack_now(), PackError::Read { .. }));
}

#[test]
fn what_tar_cannot_hold_is_said() {
    let refused = |entry: Entry, whiteouts| {
        let manifest = Manifest { entries: vec![entry] };
        packed_size(&manifest, &PackOptions { whiteouts }).unwrap_err().to_string()
    };
    assert!(refused(file(".wh.a", b""), Whiteouts::Oci).contains("names that begin with `.wh.`"));
    assert!(refused(entry("a", EntryKind::Whiteout), Whiteouts::Plain).contains("it is a whiteout"));
    assert!(refused(entry("a", EntryKind::Dir { opaque: true }), Whiteouts::Plain).contains("opaque directory"));
    let odd = Entry { xattrs: BTreeMap::from([("user.a=b".to_owned(), vec![])]), ..file("a", b"") };
    assert!(refused(odd, Whiteouts::Oci).contains("`=`"));
}

#[test]
fn directories_left_out_are_as_in_the_layers_below() {
    let below = Manifest {
        entries: vec![
            Entry { mode: 0o1777, uid: 9, ..entry("tmp", EntryKind::Dir { opaque: false }) },
            Entry { mode: 0o700, ..entry("var", EntryKind::Dir { opaque: false }) },
        ],
    };
    let above = Manifest { entries: vec![entry("var", EntryKind::Whiteout)] };
    let bytes = Tar::new().file("tmp/a", b"").file("var/b", b"").file("new/c", b"").end();
    let into = tempfile::tempdir().unwrap();
    let options = UnpackOptions { below: &[&below, &above], ..options() };
    let found = unpack(&mut bytes.as_slice(), into.path(), &options).unwrap().manifest;
    let get = |path: &str| {
        let entry = found.get(&TreePath(path.into())).unwrap();
        (entry.mode, entry.uid)
    };
    assert_eq!((get("tmp"), get("var"), get("new")), ((0o1777, 9), (0o755, 0), (0o755, 0)));
    found.validate().unwrap();
}

#[test]
fn whiteouts_hide_only_what_is_below() {
    let bytes = Tar::new()
        .file(".wh.a", b"")
        .file("a/inner", b"1")
        .file("b", b"2")
        .file(".wh.b", b"")
        .file("c/.wh..wh..opq", b"")
        .file(".wh.d", b"")
        .dir("d")
        .file(".wh..wh.plnk", b"")
        .file("e/.wh.f", b"")
        .end();
    let into = tempfile::tempdir().unwrap();
    let found = unpack_bytes(&bytes, into.path()).unwrap();
    let kinds: Vec<_> = found.manifest.entries.iter().map(|e| (String::from_utf8_lossy(&e.path.0), &e.kind)).collect();
    let kept = |content| EntryKind::File { digest: Digest::of(content), size: 1 };
    let (plain, opaque) = (EntryKind::Dir { opaque: false }, EntryKind::Dir { opaque: true });
    assert_eq!(
        kinds,
        [
            ("a".into(), &opaque),
            ("a/inner".into(), &kept(b"1")),
            ("b".into(), &kept(b"2")),
            ("c".into(), &opaque),
            ("d".into(), &opaque),
            ("e".into(), &plain),
            ("e/f".into(), &EntryKind::Whiteout),
        ]
    );
    assert_eq!(found.skipped.len(), 1);
    found.manifest.validate().unwrap();
}
