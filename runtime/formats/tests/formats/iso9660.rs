//! Volumes, read by programs that are not ours.

use std::process::Command;

use imgc_formats::iso9660::{IsoError, image};

fn output(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn on_disk(bytes: &[u8]) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.iso");
    std::fs::write(&path, bytes).unwrap();
    (dir, path.display().to_string())
}

#[test]
fn both_kinds_of_names_lead_to_the_content() {
    let big = vec![7; 5000];
    let files: [(&str, &[u8]); 5] = [
        ("user-data", b"#cloud-config\n"),
        ("meta-data", b"{}"),
        ("network-config", &big),
        ("empty", b""),
        ("User.Datum", b"x"),
    ];
    let (_dir, path) = on_disk(&image("cidata", &files).unwrap());
    for extension in ["-R", "-J"] {
        for (name, content) in files {
            let read = output("isoinfo", &["-i", &path, extension, "-x", &format!("/{name}")]);
            assert_eq!(read, content, "{extension} {name}");
        }
    }
    let listed = String::from_utf8(output("isoinfo", &["-i", &path, "-f"])).unwrap();
    assert!(listed.contains("/USER_DAT.;1") && listed.contains("/USER.DAT;1"), "{listed}");
    let described = String::from_utf8(output("isoinfo", &["-i", &path, "-d"])).unwrap();
    assert!(described.contains("Volume id: cidata") && described.contains("Joliet with UCS level 3"), "{described}");
    assert!(described.contains("Rock Ridge signatures version 1 found"), "{described}");
    // What cloud-init asks to find the disc.
    let found = String::from_utf8(output("blkid", &["-p", "-o", "export", &path])).unwrap();
    assert!(found.contains("LABEL=cidata") && found.contains("TYPE=iso9660"), "{found}");
}

#[test]
fn many_files_take_more_than_one_sector_of_directory() {
    let names: Vec<String> = (0..100).map(|n| format!("answer-file-with-a-long-name-{n:03}.cfg")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    let (_dir, path) = on_disk(&image("ANSWERS", &files).unwrap());
    for name in [&names[0], &names[57], &names[99]] {
        for extension in ["-R", "-J"] {
            assert_eq!(output("isoinfo", &["-i", &path, extension, "-x", &format!("/{name}")]), name.as_bytes());
        }
    }
}

#[test]
fn what_a_disc_cannot_have_is_refused() {
    let one: &[(&str, &[u8])] = &[("a", b"")];
    assert!(matches!(image("", one), Err(IsoError::Label { .. })));
    assert!(matches!(image("much too long a label", one), Err(IsoError::Label { .. })));
    for name in ["", "..", "a/b", "a;1", &"x".repeat(65), "a\nb"] {
        assert!(matches!(image("l", &[(name, b"")]), Err(IsoError::Name { .. })), "{name:?}");
    }
    assert!(matches!(image("l", &[("a", b""), ("A", b"")]), Err(IsoError::Twice { .. })));
    assert_eq!(image("l", one), image("l", one));
}
