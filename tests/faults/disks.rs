//! Disks that are full, read-only, or somewhere else.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, Said, builds, has, lacking, program};

/// A file system mounted for one test.
struct Disk<'a> {
    at: &'a Path,
}

impl<'a> Disk<'a> {
    fn mount(at: &'a Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).expect("folder");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status().expect("mount");
        status.success().then_some(Self { at })
    }

    /// Free bytes.
    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.at).expect("statvfs");
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.at).status();
    }
}

/// A file that takes all of a disk but so much.
fn fill(disk: &Disk<'_>, leave: u64) {
    let filler = disk.at.join("filler");
    let _ = fs::remove_file(&filler);
    let size = disk.free().saturating_sub(leave);
    let file = fs::File::create(&filler).expect("filler");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size).expect("filler");
}

#[test]
fn a_disk_that_is_full_at_any_point_costs_a_message_and_nothing_else() {
    if !builds() {
        return;
    }
    let mut bed = Bed::new(&program(4));
    bed.apply();
    let expected = bed.archive();
    let at = bed.path("disk");
    let Some(disk) = Disk::mount(&at, "size=24m,mode=0755") else {
        lacking("the right to mount");
        return;
    };
    bed.cache = at.join("cache");
    let (mut failed, mut leave) = (0, 0);
    loop {
        crate::bed::remove(&bed.cache);
        fs::remove_dir_all(bed.path("package/out")).expect("out");
        fill(&disk, leave);
        let said = bed.run(&["apply", "--format", "json"]);
        assert!(!said.err.contains("panicked") && !said.err.contains("internal error"), "{leave}: {}", said.err);
        fs::remove_file(at.join("filler")).expect("filler");
        if said.code != Some(0) {
            assert_eq!(said.code, Some(4), "{leave}: {}{}", said.out, said.err);
            let told = said.err.contains("space") || said.err.contains("full");
            assert!(told, "{leave}: {}", said.err);
            failed += 1;
        }
        let again = bed.apply();
        assert!(bed.archive() == expected, "{leave} bytes left: other bytes");
        assert_eq!(again.code, Some(0));
        bed.nothing_is_left(&format!("{leave} bytes left"));
        if said.code == Some(0) {
            break;
        }
        leave += 64 << 10;
    }
    eprintln!("full at {failed} places, 64 KiB apart");
    assert!(failed > 20, "{failed}");
    drop(disk);
}

#[test]
fn a_read_only_disk_is_refused_with_the_way_out() {
    if !builds() {
        return;
    }
    let mut bed = Bed::new(&program(1));
    let at = bed.path("disk");
    let Some(disk) = Disk::mount(&at, "size=1m") else {
        lacking("the right to mount");
        return;
    };
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&at).status().expect("mount").success());
    bed.cache = at.join("cache");
    let said = bed.run(&["apply"]);
    assert_eq!(said.code, Some(4), "{}", said.err);
    assert!(said.err.contains("read-only") && said.err.contains("--cache-dir"), "{}", said.err);
    drop(disk);
}

/// A real file system over the network protocol of `sshfs`, its server started by hand: no port, no key.
#[test]
fn a_network_disk_is_refused_with_the_way_out() {
    const SERVER: &str = "/usr/lib/openssh/sftp-server";
    if !builds() || !has("sshfs") || !(Path::new(SERVER).exists() || lacking(SERVER)) {
        return;
    }
    if !Path::new("/dev/fuse").exists() {
        lacking("/dev/fuse");
        return;
    }
    let mut bed = Bed::new(&program(1));
    let (at, far) = (bed.path("disk"), bed.path("far"));
    fs::create_dir(&at).expect("folder");
    fs::create_dir(&far).expect("folder");
    let wrapper = bed.path("server");
    fs::write(&wrapper, format!("#!/bin/sh\nexec {SERVER}\n")).expect("wrapper");
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
    let source = format!("nowhere:{}", far.display());
    let option = format!("ssh_command={}", wrapper.display());
    let mounted = Command::new("sshfs").arg(source).arg(&at).args(["-o", &option]).status().expect("sshfs");
    if !mounted.success() {
        lacking("an sshfs that can mount here");
        return;
    }
    bed.cache = at.join("cache");
    let said = bed.run(&["apply"]);
    let unmounted = Command::new("umount").arg(&at).status().expect("umount");
    assert!(unmounted.success());
    assert_eq!(said.code, Some(4), "{}", said.err);
    assert!(said.err.contains("sshfs") && said.err.contains("--cache-dir"), "{}", said.err);
    assert!(!far.join("cache/index.sqlite").exists());
}

#[test]
fn a_store_of_a_newer_imgc_is_left_as_it_is() {
    let bed = Bed::new(&program(1));
    fs::create_dir(&bed.cache).expect("folder");
    fs::write(bed.cache.join("version"), "99\n").expect("version");
    for command in [&["apply"][..], &["plan"], &["cache", "ls"], &["cache", "gc"], &["clean"]] {
        let said: Said = bed.run(command);
        if builds() {
            assert_eq!(said.code, Some(4), "{command:?}: {}", said.err);
            assert!(said.err.contains("newer imgc") && said.err.contains("99"), "{}", said.err);
        }
    }
    assert_eq!(crate::bed::entries(&bed.cache).len(), 1);
}
