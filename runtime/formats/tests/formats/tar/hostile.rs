//! Archives that mean harm: each is refused or defused, with a message of its own, and nothing is written outside.

use std::path::{Path, PathBuf};

use imgc_formats::tar::{Limits, UnpackOptions, Unpacked, unpack};
use imgc_store::{EntryKind, TreePath};

use super::build::{Raw, Tar, record};
use super::{options, unpack_bytes};

/// A directory with something beside the place that is unpacked into.
struct Arena {
    dir: tempfile::TempDir,
    before: Vec<(PathBuf, Vec<u8>)>,
}

impl Arena {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("into")).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/victim"), "untouched").unwrap();
        let before = Self::look(dir.path());
        Self { dir, before }
    }

    fn inside(&self) -> PathBuf {
        self.dir.path().join("into")
    }

    fn look(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![dir.to_owned()];
        while let Some(at) = open.pop() {
            for entry in std::fs::read_dir(&at).unwrap() {
                let path = entry.unwrap().path();
                if path == dir.join("into") {
                } else if path.symlink_metadata().unwrap().is_dir() {
                    open.push(path);
                } else {
                    found.push((path.clone(), std::fs::read(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(Self::look(self.dir.path()), self.before, "something was written outside");
            assert!(!Path::new("/imgc-hostile").exists(), "something was written to the root of the host");
        }
    }
}

/// The message an archive is refused with.
fn refused(bytes: &[u8]) -> String {
    let arena = Arena::new();
    match unpack_bytes(bytes, &arena.inside()) {
        Ok(found) => panic!("accepted: {found:?}"),
        Err(error) => error.to_string(),
    }
}

fn refused_limits(bytes: &[u8], limits: Limits) -> String {
    let arena = Arena::new();
    let options = UnpackOptions { limits, ..options() };
    unpack(&mut std::io::Cursor::new(bytes), &arena.inside(), &options).unwrap_err().to_string()
}

fn accepted(bytes: &[u8]) -> (Unpacked, Arena) {
    let arena = Arena::new();
    let found = unpack_bytes(bytes, &arena.inside()).unwrap();
    found.manifest.validate().unwrap();
    (found, arena)
}

fn paths(found: &Unpacked) -> Vec<String> {
    found.manifest.entries.iter().map(|e| String::from_utf8_lossy(&e.path.0).into_owned()).collect()
}

#[test]
fn upward_paths() {
    let expected = "the archive is refused at `../outside/victim`: its path leads upwards with `..`";
    assert_eq!(refused(&Tar::new().file("../outside/victim", b"evil").end()), expected);
    assert!(refused(&Tar::new().file("a/../../outside/victim", b"evil").end()).contains("leads upwards"));
    assert!(refused(&Tar::new().dir("a/..").end()).contains("leads upwards"));
    let pax = Tar::new().pax(&[("path", "../outside/victim")]).file("fine", b"evil").end();
    assert!(refused(&pax).contains("leads upwards"));
    let gnu = Tar::new().member("@LongLink", b'L', "", b"../outside/victim\0").file("fine", b"evil").end();
    assert!(refused(&gnu).contains("leads upwards"));
    assert!(refused(&Tar::new().file("../.wh.outside", b"").end()).contains("leads upwards"));
}

#[test]
fn absolute_paths_count_from_the_root_of_the_tree() {
    let (found, arena) = accepted(&Tar::new().file("/imgc-hostile", b"defused").end());
    assert_eq!(paths(&found), ["imgc-hostile"]);
    assert_eq!(std::fs::read(arena.inside().join("imgc-hostile")).unwrap(), b"defused");
}

#[test]
fn symbolic_links_are_never_passed() {
    let archive = |to: &str| Tar::new().symlink("link", to).file("link/victim", b"evil").end();
    let expected = "the archive is refused at `link/victim`: its path goes through the symbolic link `/link`";
    assert_eq!(refused(&archive("../outside")), expected);
    assert_eq!(refused(&archive("/")), expected);
    assert_eq!(refused(&archive(".")), expected);
    let deep = Tar::new().symlink("a", "b").symlink("b", "..").file("a/b/victim", b"evil").end();
    assert!(refused(&deep).contains("symbolic link `/a`"));
    let whiteout = Tar::new().symlink("link", "../outside").file("link/.wh.victim", b"").end();
    assert!(refused(&whiteout).contains("symbolic link `/link`"));
    let opaque = Tar::new().symlink("link", "../outside").file("link/.wh..wh..opq", b"").end();
    assert!(refused(&opaque).contains("symbolic link `/link`"));
}

#[test]
fn symbolic_links_are_replaced_not_written_through() {
    let (_, arena) = accepted(&Tar::new().symlink("a", "../outside/victim").file("a", b"new").end());
    assert_eq!(std::fs::read(arena.inside().join("a")).unwrap(), b"new");
    assert!(arena.inside().join("a").symlink_metadata().unwrap().is_file());
    let (found, arena) = accepted(&Tar::new().symlink("a", "../outside").dir("a").file("a/victim", b"new").end());
    assert_eq!(paths(&found), ["a", "a/victim"]);
    assert!(arena.inside().join("a").symlink_metadata().unwrap().is_dir());
    // Attributes of a link are the link's.
    let (_, arena) = accepted(&Tar::new().symlink("a", "../outside/victim").end());
    let victim = arena.dir.path().join("outside/victim").metadata().unwrap();
    assert!(victim.modified().unwrap() > std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000));
}

#[test]
fn hard_links_stay_inside() {
    let link = |to: &str| refused(&Tar::new().hardlink("a", to).end());
    assert!(link("/etc/passwd").ends_with("it is a hard link to the absolute path `/etc/passwd`"));
    assert!(link("../outside/victim").ends_with("it is a hard link to `../outside/victim`, which leads upwards"));
    assert!(link("missing").ends_with("it is a hard link to `/missing`, which is no file that came before it"));
    assert!(link("a").ends_with("it is a hard link to itself"));
    assert!(link("./").ends_with("it is a hard link to the directory `/`"));
    assert!(
        refused(&Tar::new().dir("d").hardlink("a", "d").end()).ends_with("it is a hard link to the directory `/d`")
    );
    let through = Tar::new().symlink("out", "../outside").hardlink("a", "out/victim").end();
    assert!(refused(&through).contains("which is no file that came before it"));
    // A link that replaces the directory its target is in.
    let own = Tar::new().file("d/f", b"1").hardlink("d", "d/f").end();
    assert!(refused(&own).contains("which is no file that came before it"));
    // To a symbolic link: it becomes another such link, whose target nobody follows.
    let (found, _arena) =
        accepted(&Tar::new().symlink("a", "../outside/victim").hardlink("b", "a").file("b", b"x").end());
    assert_eq!(paths(&found), ["a", "b"]);
}

#[test]
fn device_nodes_are_left_out() {
    let (found, arena) = accepted(&Tar::new().member("sda", b'4', "", b"").member("dev/null", b'3', "", b"").end());
    assert_eq!(paths(&found), [""; 0]);
    assert_eq!(found.skipped.iter().map(|s| s.what.as_str()).collect::<Vec<_>>(), ["device node"; 2]);
    assert_eq!(std::fs::read_dir(arena.inside()).unwrap().count(), 0);
}

#[test]
fn overlay_attributes_are_left_out() {
    let pax = [("SCHILY.xattr.user.overlay.redirect", "/../../outside"), ("SCHILY.xattr.trusted.overlay.opaque", "y")];
    let (found, _arena) = accepted(&Tar::new().pax(&pax).dir("a").end());
    assert_eq!(found.manifest.entries[0].xattrs.len(), 0);
    assert_eq!(found.skipped.len(), 2);
}

#[test]
fn later_members_replace_earlier_ones() {
    let twice = Tar::new().file("a", b"old and long").hardlink("b", "a").file("a", b"new").end();
    let (found, arena) = accepted(&twice);
    assert_eq!(std::fs::read(arena.inside().join("a")).unwrap(), b"new");
    assert_eq!(std::fs::read(arena.inside().join("b")).unwrap(), b"old and long");
    assert!(found.manifest.entries.iter().all(|e| matches!(e.kind, EntryKind::File { .. })));
    let (found, _arena) = accepted(&Tar::new().file("d/e/f", b"").file("d", b"flat").end());
    assert_eq!(paths(&found), ["d"]);
    assert!(refused(&Tar::new().file("d", b"").file("d/e", b"").end()).ends_with("`/d`, which is no directory"));
}

#[test]
fn the_root_stays_a_directory() {
    assert!(refused(&Tar::new().file(".", b"x").end()).ends_with("it would replace the root directory"));
    assert!(refused(&Tar::new().symlink("./", "/etc").end()).ends_with("it would replace the root directory"));
    assert!(refused(&Tar::new().file(".wh..wh..opq", b"").end()).contains("all of the layers below at the root"));
    for name in [".wh.", "a/.wh..", "a/.wh..."] {
        assert!(refused(&Tar::new().file(name, b"").end()).ends_with("it is a whiteout of nothing"), "{name}");
    }
    assert!(refused(&Tar::new().file("", b"").end()).ends_with("it has no name"));
}

#[test]
fn bombs() {
    let many = (0..20).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), b"")).end();
    let few = Limits { entries: 10, ..Limits::default() };
    assert_eq!(refused_limits(&many, few), "the archive is refused: it has more than 10 members");
    let large = Tar::new().file("a", &[0; 600]).file("b", &[0; 600]).end();
    let small = Limits { content: 1000, ..Limits::default() };
    assert_eq!(refused_limits(&large, small), "the archive is refused: it has more than 1000 bytes of content");
    // A size that is only claimed is refused before anything is read or reserved.
    let claimed = Raw { size: b"77777777777\0".to_vec(), ..Raw::new("a", b'0', "", b"") };
    assert!(refused_limits(&Tar::new().raw(&claimed).end(), small).contains("1000 bytes of content"));
    let zeros = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 64 << 20), 1).unwrap();
    assert!(refused_limits(&zeros, small).contains("more than 1000 bytes after its end"));
    let memory = Limits { metadata: 1000, ..Limits::default() };
    assert!(refused_limits(&many, memory).contains("1000 bytes of names and attributes"));
}

#[test]
fn names_without_end() {
    let long = |len: usize| "n".repeat(len);
    let pax = |path: &str| refused(&Tar::new().pax(&[("path", path)]).file("x", b"").end());
    assert!(pax(&long(256)).ends_with("a part of its path has more than 255 bytes"));
    assert!(pax(&[long(200).as_str(); 21].join("/")).ends_with("its path has more than 4000 bytes"));
    assert!(pax(&["d"; 600].join("/")).ends_with("its path goes more than 512 directories deep"));
    assert!(pax("a\0b").ends_with("its PAX records are malformed"));
    let huge = Tar::new().member("pax", b'x', "", record("comment", &long(900_000)).as_bytes());
    let limits = Limits { records: 500_000, ..Limits::default() };
    assert!(refused_limits(&huge.file("x", b"").end(), limits).ends_with("its records have more than 500000 bytes"));
    // Only claimed: nothing is reserved for it.
    let claimed = Raw { size: b"77777777777\0".to_vec(), ..Raw::new("pax", b'x', "", b"") };
    assert!(refused(&Tar::new().raw(&claimed).end()).ends_with("its records have more than 1048576 bytes"));
}

#[test]
fn records_that_two_readers_read_differently() {
    let bad = |records: &[u8]| refused(&Tar::new().member("pax", b'x', "", records).file("x", b"").end());
    for records in [b"99 path=a\n".as_slice(), b"x path=a\n", b"10 path=aa", b"5 =a\n", b"0 path=a\n", b"7 path\n"] {
        assert!(bad(records).ends_with("its PAX records are malformed"), "{records:?}");
    }
    let twice = Tar::new().pax(&[("path", "a")]).pax(&[("path", "../b")]).file("x", b"").end();
    assert!(refused(&twice).ends_with("it has the same kind of records twice"));
    let global = Tar::new().member("g", b'g', "", record("path", "../b").as_bytes()).file("x", b"").end();
    assert!(refused(&global).ends_with("global PAX records would change the members after them"));
    let (found, _arena) =
        accepted(&Tar::new().member("g", b'g', "", record("comment", "c").as_bytes()).file("x", b"").end());
    assert_eq!(paths(&found), ["x"]);
}

#[test]
fn sparse_files() {
    let expected = "it is a sparse file; pack it without `--sparse`";
    assert!(refused(&Tar::new().member("a", b'S', "", b"").end()).ends_with(expected));
    let pax = Tar::new().pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "9999999999")]).file("a", b"").end();
    assert!(refused(&pax).ends_with(expected));
}

#[test]
fn impossible_numbers() {
    let size =
        |size: &[u8]| refused(&Tar::new().raw(&Raw { size: size.to_vec(), ..Raw::new("a", b'0', "", b"") }).end());
    assert!(size(b"12345678z\0\0\0").ends_with("its size is no number that could be meant"));
    assert!(size(&[0xff; 12]).ends_with("its size is no number that could be meant"));
    assert!(size(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).contains("its size is no"));
    let pax = |key: &str, value: &str| refused(&Tar::new().pax(&[(key, value)]).file("a", b"").end());
    assert!(pax("size", "9223372036854775807").contains("its size is no number"));
    assert!(pax("size", "-1").contains("its size is no number"));
    assert!(pax("uid", "-1").contains("its uid is no number"));
    assert!(pax("uid", "4294967295").ends_with("its owner 4294967295:0 is no possible one"));
    assert!(pax("mtime", "soon").contains("its mtime is no number"));
    let unknown = refused(&Tar::new().member("a", b'Q', "", b"").end());
    assert!(unknown.ends_with("it is of the unknown type 'Q'"));
}

#[test]
fn truncated_and_garbage() {
    let whole = Tar::new().file("a", &[b'x'; 2000]).file("b", b"b").end();
    for (cut, message) in [
        (0, "this is not a tar archive"),
        (100, "this is not a tar archive"),
        (700, "the archive ends too early, after 700 bytes"),
        (2561, "the archive ends too early"),
        (3072, "the archive ends too early"),
    ] {
        assert!(refused(&whole[..cut]).starts_with(message), "{cut}: {}", refused(&whole[..cut]));
    }
    assert!(refused(&[b'x'; 5000]).starts_with("this is not a tar archive"));
    let mut damaged = whole.clone();
    damaged[2600] ^= 1;
    assert_eq!(refused(&damaged), "the archive is damaged: no valid header after 2560 bytes");
    assert!(refused(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7]).starts_with("cannot read the archive"));
    assert!(refused(&[0x28, 0xb5, 0x2f, 0xfd, 9, 9, 9, 9, 9, 9]).starts_with("cannot read the archive"));
    assert!(refused(&[0x1f, 0x8b, 8]).starts_with("the archive ends too early"));
}

#[test]
fn a_plain_archive_must_have_its_end() {
    let cut = Tar::new().file("a", b"1").cut();
    let (found, _arena) = accepted(&cut);
    assert_eq!(paths(&found), ["a"]);
    let arena = Arena::new();
    let options = UnpackOptions { whiteouts: imgc_formats::tar::Whiteouts::Plain, ..options() };
    let error = unpack(&mut cut.as_slice(), &arena.inside(), &options).unwrap_err();
    assert_eq!(error.to_string(), "the archive ends too early, after 1024 bytes");
}

#[test]
fn times_are_clamped() {
    let later =
        Tar::new().pax(&[("mtime", "99999999999")]).file("a", b"").pax(&[("mtime", "-5.5")]).file("b", b"").end();
    let (found, _arena) = accepted(&later);
    let mtime = |name: &str| found.manifest.get(&TreePath(name.into())).unwrap().mtime;
    assert_eq!((mtime("a"), mtime("b")), (super::EPOCH, 0));
}
