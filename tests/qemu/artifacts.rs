//! Disks in all formats, compressed, with their checksums; and a kernel without its disk. Nothing boots here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bed::{Bed, Who, has, lacking, must};

/// An image that has all that a disk asks of it, and nothing more: it is for looking at, not for booting.
const PROGRAM: &str = r#"
image tiny {
  from = rootfs.scratch()
  write "old" { dest = "/boot/vmlinuz-6.1.0-9" text = "the old kernel\n" }
  write "kernel" { dest = "/boot/vmlinuz-6.1.0-10" text = "the kernel\n" }
  write "initrd" { dest = "/boot/initrd.img-6.1.0-10" text = "its initial RAM disk\n" }
  write "line" { dest = "/etc/kernel/cmdline" text = "quiet root=/dev/nowhere\n" }
}
let disk0 = disk.image(tiny, size: 80MiB)
output base = disk0
output converted = {
  raw = disk.convert(disk0, format: raw),
  qcow2 = disk.convert(disk0, format: qcow2),
  vmdk = disk.convert(disk0, format: vmdk),
  vhd = disk.convert(disk0, format: vhd),
  vhdx = disk.convert(disk0, format: vhdx),
}
output back = disk.convert(disk.convert(disk0, format: vhdx), format: raw)
let packed = disk.compress(disk0, level: 19)
output zst = packed
output gz = disk.compress(disk0, method: gz, file: "base.raw.gz")
output xz = disk.compress(disk.convert(disk0, format: qcow2), method: xz, level: 1)
output sum = disk.checksum(packed, algorithm: sha512, name: "zst.raw.zst")
output same = disk.checksum(disk0)
output boot = disk.kernel_and_initrd(tiny)
"#;

fn built() -> Option<(Bed, PathBuf)> {
    if let Some(missing) = ["qemu-img", "sgdisk", "xz"].into_iter().find(|program| !has(program)) {
        lacking(missing);
        return None;
    }
    let bed = Bed::new(Who::Root);
    let package = bed.package("disks", PROGRAM);
    bed.apply(&package, &[]);
    Some((bed, package))
}

#[test]
fn a_disk_in_every_format_is_the_same_disk() {
    let Some((bed, package)) = built() else { return };
    let out = package.join("out");
    let base = out.join("base.raw");
    for (format, name, checked) in [
        ("raw", "raw", false),
        ("qcow2", "qcow2", true),
        ("vmdk", "vmdk", true),
        ("vhd", "vpc", false),
        ("vhdx", "vhdx", true),
    ] {
        let file = out.join(format!("converted/{format}.{format}"));
        let info = must(Command::new("qemu-img").args(["info", "--output=json", "-f", name]).arg(&file));
        let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
        assert_eq!(info["virtual-size"], 80 << 20, "{format}: {info}");
        assert!(info["backing-filename"].is_null(), "{format}: {info}");
        // What needs no more than its blocks takes no more on the disk.
        assert!(info["actual-size"].as_u64() < Some(40 << 20), "{format}: {info}");
        if checked {
            must(Command::new("qemu-img").args(["check", "-q", "-f", name]).arg(&file));
        }
        must(Command::new("qemu-img").args(["compare", "-q", "-f", "raw", "-F", name]).arg(&base).arg(&file));
    }
    assert_eq!(fs::read(&base).expect("disk"), fs::read(out.join("back.raw")).expect("disk"), "there and back");
    compressed_files_are_the_disks(&out, &base);
    a_kernel_comes_without_its_disk(&out, &bed.path("boot"));
    all_of_it_is_the_same_again(&package);
}

fn compressed_files_are_the_disks(out: &Path, base: &Path) {
    let sum = |bytes: &Path| must(Command::new("sha256sum").arg(bytes)).split(' ').next().map(str::to_owned);
    for (program, file, of) in [
        ("zstd", "zst.raw.zst", base.to_owned()),
        ("gzip", "base.raw.gz", base.to_owned()),
        ("xz", "xz.qcow2.xz", out.join("converted/qcow2.qcow2")),
    ] {
        if !has(program) {
            continue;
        }
        let plain = out.join("plain");
        let into = fs::File::create(&plain).expect("file");
        let status = Command::new(program).arg("-dc").arg(out.join(file)).stdout(into).status().expect(program);
        assert!(status.success(), "{program} does not read {file}");
        assert_eq!(sum(&plain), sum(&of), "{file}");
        fs::remove_file(&plain).expect("removed");
    }
    must(Command::new("sha512sum").args(["-c", "sum.sums"]).current_dir(out));
    let line = fs::read_to_string(out.join("same.sums")).expect("checksum");
    assert_eq!(line.strip_suffix("  -\n").map(str::to_owned), sum(base), "{line}");
}

fn a_kernel_comes_without_its_disk(out: &Path, into: &Path) {
    fs::create_dir_all(into).expect("folder");
    must(Command::new("tar").arg("-xf").arg(out.join("boot.tar")).arg("-C").arg(into));
    let read = |name: &str| fs::read_to_string(into.join(name)).expect(name);
    assert_eq!(read("vmlinuz"), "the kernel\n", "the newest one");
    assert_eq!(read("initrd.img"), "its initial RAM disk\n");
    assert_eq!(read("cmdline"), "console=ttyS0,115200 quiet\n", "where the root is, is not for the image to say");
}

/// Built anew in another store, in another folder: what can have one form has it.
fn all_of_it_is_the_same_again(package: &Path) {
    let (other, again) = built().expect("as before");
    let canonical = |sums: BTreeMap<String, String>| -> BTreeMap<String, String> {
        // Their formats have an identifier or a time of their own, which `qemu-img` makes up.
        let made_up = |file: &str| ["vmdk", "vhd", "vhdx"].iter().any(|format| file.ends_with(format));
        sums.into_iter().filter(|(file, _)| !made_up(file)).collect()
    };
    let (first, second) = (canonical(Bed::sums(package)), canonical(Bed::sums(&again)));
    assert_eq!(first, second);
    assert_eq!(first.len(), 10, "{first:?}");
    drop(other);
}

#[test]
fn what_cannot_be_made_is_refused_with_its_reason() {
    let bed = Bed::new(Who::Root);
    let apply = |program: &str| {
        let package = bed.package("refused", program);
        let output = crate::bed::run(bed.imgc(&["apply", package.to_str().expect("UTF-8")]).args(["--locked"]));
        assert!(!output.status.success());
        crate::guests::text(&output)
    };
    let image = "image tiny { from = rootfs.scratch()\n write \"x\" { dest = \"/x\" text = \"x\" } }\n";
    let none = apply(&format!("{image}output o = disk.kernel_and_initrd(tiny)\n"));
    assert!(none.contains("the image holds no kernel"), "{none}");
    let level = apply(&format!("{image}output o = disk.compress(oci.archive(tiny), method: xz, level: 19)\n"));
    assert!(level.contains("level"), "{level}");
}
