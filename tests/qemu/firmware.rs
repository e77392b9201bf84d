//! What boots a machine and what is in it: secure boot of what is signed, with a screen that others can look at; and a BIOS,
//! with a processor, a board and network cards that the record names.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bed::{has, lacking, must, within};
use crate::guests::{Place, said, skipped, text, unpacked};

/// A raw copy of the disk that all tests share, and where its EFI system partition begins, in bytes.
fn raw_disk(place: &Place, more: &str) -> (PathBuf, u64) {
    place.write(&format!("output bare = disk0\n{more}"));
    place.apply(&[]);
    let raw = place.package.join("changed.raw");
    must(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(place.package.join("out/bare.qcow2")).arg(&raw));
    let table = must(Command::new("sgdisk").arg("-p").arg(&raw));
    let esp = table.lines().find(|line| line.contains("EF00")).expect("an EFI system partition");
    let start: u64 = esp.split_whitespace().nth(1).and_then(|sector| sector.parse().ok()).expect("its start");
    (raw, start * 512)
}

fn copy_in(raw: &Path, at: u64, from: &Path, to: &str) {
    let image = format!("{}@@{at}", raw.display());
    must(Command::new("mcopy").args(["-o", "-i", &image]).arg(from).arg(format!("::{to}")));
}

/// The boot loader that Debian ships signed, in place of the unsigned one.
fn signed_disk(place: &Place) -> bool {
    let Some(signed) = unpacked("bookworm", "signed-boot", &["shim-signed", "grub-efi-amd64-signed"]) else {
        return false;
    };
    let (raw, at) = raw_disk(place, "");
    copy_in(&raw, at, &signed.join("usr/lib/shim/shimx64.efi.signed"), "EFI/BOOT/BOOTX64.EFI");
    copy_in(&raw, at, &signed.join("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"), "EFI/BOOT/grubx64.efi");
    true
}

/// A boot loader for a BIOS on the disk, and the image's kernel beside it.
fn bios_disk(place: &Place) -> bool {
    let Some(syslinux) = unpacked("bookworm", "bios-boot", &["syslinux", "syslinux-common"]) else { return false };
    let (raw, at) = raw_disk(place, "output boot = disk.kernel_and_initrd(base)\n");
    let mut install = Command::new(syslinux.join("usr/bin/syslinux"));
    must(install.args(["-t", &at.to_string(), "-i"]).arg(&raw));
    let out = place.package.join("out");
    must(Command::new("tar").arg("-xf").arg(out.join("boot.tar")).arg("-C").arg(&out));
    let root = must(Command::new("sgdisk").args(["-i", "2"]).arg(&raw));
    let root = root
        .lines()
        .find_map(|line| line.strip_prefix("Partition unique GUID: "))
        .expect("a partition")
        .trim()
        .to_lowercase();
    let line = format!("root=PARTUUID={root} ro console=tty0 console=ttyS0,115200");
    let menu = format!("DEFAULT linux\nLABEL linux\n KERNEL /vmlinuz\n INITRD /initrd.img\n APPEND {line}\n");
    fs::write(out.join("syslinux.cfg"), menu).expect("its menu");
    for name in ["vmlinuz", "initrd.img", "syslinux.cfg"] {
        copy_in(&raw, at, &out.join(name), name);
    }
    let mut record = Command::new("dd");
    record.arg(format!("if={}", syslinux.join("usr/lib/syslinux/mbr/gptmbr.bin").display()));
    must(record.arg(format!("of={}", raw.display())).arg("conv=notrunc"));
    // The partition that this boot record looks for.
    must(Command::new("sgdisk").args(["-A", "1:set:2"]).arg(&raw));
    true
}

fn lacks() -> bool {
    skipped() || ["mcopy", "sgdisk"].iter().any(|program| !has(program) && lacking(program))
}

const SIGNED: &str = r#"
image signed {
  from = qemu.disk(file("./changed.raw"))
  machine = { memory = 512MiB, firmware = uefi_secure, display = "vnc", login = { key = file("./key") } }
  sh "looks" {
    script = """
      echo "secure=$(od -An -tu1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c | tr -d ' ')"
      echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
      """
    network = false
  }
  sh "fails" { script = "echo boot-then=$(cat /proc/sys/kernel/random/boot_id); exit 9" network = false }
}
output o_signed = signed
"#;

#[test]
fn machine_secure_boot_starts_what_is_signed_and_shows_it() {
    if lacks() {
        return;
    }
    let place = Place::new("");
    if !signed_disk(&place) {
        return;
    }
    place.write(SIGNED);
    // The first port of screens is taken, by us where by nobody else.
    let taken = TcpListener::bind("127.0.0.1:5900");
    let failed = place.try_apply(&["--on-error", "keep"]);
    drop(taken);
    let told = text(&failed);
    assert!(!failed.status.success(), "{told}");
    // Four bytes of attributes, then whether signatures are checked.
    assert!(said(&told, "secure=").ends_with('1'), "{told}");
    assert_eq!(said(&told, "boot-then="), said(&told, " boot="), "{told}");

    // The picture that was kept and the screen that can be watched are of one size.
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let port = flat.split("(VNC) 127.0.0.1:").nth(1).expect("an address of this host");
    let port: u16 =
        port.split(|c: char| !c.is_ascii_digit()).next().and_then(|port| port.parse().ok()).expect("a port");
    assert_ne!(port, 5900, "the port is taken");
    let watched = screen_size(port);
    let unbroken: String = told.split_whitespace().collect();
    let png = unbroken.split("screeniskeptin").nth(1).and_then(|rest| rest.split(".png").next()).expect("a picture");
    let kept = picture_size(Path::new(&format!("{png}.png")));
    assert_eq!(kept, watched);
    assert!(kept.0 >= 640 && kept.1 >= 400, "{kept:?}");

    must(&mut place.bed.imgc(&["clean"]));
    within(Duration::from_secs(20), "`imgc clean` ends it", || place.running().is_empty().then_some(()));
}

/// What a viewer is told of a screen: the handshake of RFB 3.8 (RFC 6143) without a password.
fn screen_size(port: u16) -> (u32, u32) {
    let mut viewer = TcpStream::connect(("127.0.0.1", port)).expect("a VNC server");
    viewer.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    let mut take = |length: usize, answer: &[u8]| {
        let mut bytes = vec![0; length];
        viewer.read_exact(&mut bytes).expect("an answer");
        viewer.write_all(answer).expect("write");
        bytes
    };
    assert_eq!(take(12, b"RFB 003.008\n"), b"RFB 003.008\n");
    let kinds = usize::from(take(1, b"")[0]);
    assert!(take(kinds, &[1]).contains(&1), "it asks for a password");
    assert_eq!(take(4, &[1]), [0; 4]);
    let size = take(4, b"");
    (u32::from(u16::from_be_bytes([size[0], size[1]])), u32::from(u16::from_be_bytes([size[2], size[3]])))
}

/// The size in the first chunk of a PNG.
fn picture_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).expect("the picture");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

fn old(last: &str) -> String {
    format!(
        r#"
image old {{
  from = qemu.disk(file("./changed.raw"))
  machine = {{
    memory = 512MiB
    cpus = 1
    cpu = "Nehalem"
    board = "pc"
    nics = [{{}}, {{ model = "e1000" }}, {{}}]
    login = {{ key = file("./key") }}
  }}
  sh "looks" {{
    script = """
      echo "efi=$(ls -d /sys/firmware/efi 2>/dev/null || echo none)"
      echo "cpu=$(sed -n 's/^model name.*: //p' /proc/cpuinfo)"
      echo "board=$(cat /sys/class/dmi/id/product_name)"
      cards=$(for card in /sys/bus/pci/devices/*; do
        case $(cat "$card/class") in 0x0200*) echo "$(cat "$card/vendor"):$(cat "$card/device")" ;; esac
      done)
      echo "cards=$(echo $cards)"
      echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
      """
  }}
  sh "last" {{ script = "echo {last}; echo boot-then=$(cat /proc/sys/kernel/random/boot_id)" }}
}}
output o_old = old
"#
    )
}

#[test]
fn machine_with_a_bios_has_the_parts_that_its_record_names() {
    if lacks() {
        return;
    }
    let place = Place::new("");
    if !bios_disk(&place) {
        return;
    }
    place.write(&old(&crate::resuming::unlike_any_other()));
    let first = place.apply(&["--rerun", "old/sh \"looks\""]);
    assert_eq!(said(&first, "efi="), "none", "{first}");
    assert!(said(&first, "cpu=").contains("Nehalem"), "{first}");
    assert!(said(&first, "board=").contains("i440FX"), "{first}");
    // Two of virtio, and one of Intel between them.
    assert_eq!(said(&first, "cards="), "0x1af4:0x1000 0x8086:0x100e 0x1af4:0x1000", "{first}");

    place.write(&old(&crate::resuming::unlike_any_other()));
    let edited = place.apply(&[]);
    assert_eq!(said(&edited, "boot-then="), said(&first, " boot="), "it did not go on where it was:\n{edited}");
    assert!(place.running().is_empty(), "a guest is left");
}
