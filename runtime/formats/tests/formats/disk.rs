//! Whole disks against `sgdisk`, `fsck.fat`, `e2fsck`, `mtools` and `qemu-img`.

use std::path::Path;

use imgc_formats::disk::{self, Boot, DiskFormat, DiskSpec};
use imgc_plan::Digest;

use crate::host_tree;

#[test]
#[ignore = "by hand"]
fn by_hand() {
    let tree = host_tree::read(Path::new(&std::env::var("TREE").unwrap()));
    let out = std::env::var("OUT").unwrap();
    let format = if out.ends_with("qcow2") { DiskFormat::Qcow2 } else { DiskFormat::Raw };
    let size = std::env::var("SIZE").map_or(2 << 30, |size| size.parse().unwrap());
    let platform = "linux(debian)/amd64".parse().unwrap();
    let seed = Digest::of(b"seed");
    let spec = DiskSpec { size, format, boot: Boot::Uefi, platform: &platform, epoch: 1_700_000_000, seed, tree };
    let start = std::time::Instant::now();
    disk::build(&spec, Path::new(&out)).unwrap_or_else(|error| panic!("{error}: {:?}", error.help()));
    println!("{:?}", start.elapsed());
}
