//! Whole disks against `sgdisk`, `fsck.fat`, `e2fsck`, `mtools` and `qemu-img`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use imgc_formats::disk::{self, Boot, DiskError, DiskFormat, DiskSpec};
use imgc_formats::region::Cancel;
use imgc_formats::tree::{Content, FileTree, Node, NodeKind};
use imgc_plan::{Digest, Platform};
use imgc_store::TreePath;
use tempfile::TempDir;

use crate::oracle;

const MIB: u64 = 1 << 20;
const GRUB: &str = "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi";
const SYSTEMD_BOOT: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";

fn tree(files: &[(&str, &[u8])]) -> FileTree {
    let node = |bytes: &[u8]| Node::of_root(NodeKind::File(Content::Bytes(bytes.to_vec())), 0o644, 1);
    let nodes = files.iter().map(|(path, bytes)| (TreePath(path.as_bytes().to_vec()), node(bytes)));
    FileTree::new(nodes.collect(), 1).unwrap()
}

/// What every image here has: two kernels, of which the second is newer, and a boot loader.
fn bootable() -> FileTree {
    tree(&[
        ("boot/vmlinuz-6.1.0-9-amd64", b"old"),
        ("boot/vmlinuz-6.1.0-10-amd64", &b"k".repeat(100_000)),
        ("boot/initrd.img-6.1.0-10-amd64", &b"i".repeat(300_000)),
        ("etc/fstab", b"# comment\n/dev/sda1 / ext4 defaults 0 1\ntmpfs /tmp tmpfs nosuid 0 0\n"),
        (GRUB, b"MZ /EFI/debian"),
    ])
}

fn build(tree: FileTree, size: u64, format: DiskFormat, out: &Path) -> Result<(), DiskError> {
    let platform: Platform = "linux(debian)/amd64".parse().unwrap();
    let seed = Digest::of(b"seed");
    let spec = DiskSpec {
        size,
        format,
        boot: Boot::Uefi,
        platform: &platform,
        epoch: 1_700_000_000,
        seed,
        tree,
        cancel: Cancel::NEVER,
    };
    disk::build(&spec, out)
}

/// The bytes of a partition, as `sgdisk` has it, in a file of its own.
fn partition(disk: &Path, number: u32, out: &Path) {
    let said = oracle::run("sgdisk", &["-i", &number.to_string(), oracle::text(disk)]);
    let sector = |name: &str| -> u64 {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    let (first, last) = (sector("First sector:"), sector("Last sector:"));
    let mut from = File::open(disk).unwrap();
    from.seek(SeekFrom::Start(first * 512)).unwrap();
    std::io::copy(&mut from.take((last + 1 - first) * 512), &mut File::create(out).unwrap()).unwrap();
}

#[test]
fn a_raw_disk_is_whole() {
    let dir = TempDir::new().unwrap();
    let (out, esp, root) = (dir.path().join("disk"), dir.path().join("esp"), dir.path().join("root"));
    build(bootable(), 300 * MIB, DiskFormat::Raw, &out).unwrap();
    let meta = fs::metadata(&out).unwrap();
    assert_eq!((meta.len(), meta.mode() & 0o777), (300 * MIB, 0o644));
    assert!(meta.blocks() * 512 < 20 * MIB, "{} blocks are not sparse", meta.blocks());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(oracle::run("sgdisk", &["-v", oracle::text(&out)]).contains("No problems found"));
    partition(&out, 1, &esp);
    partition(&out, 2, &root);
    oracle::run("fsck.fat", &["-n", oracle::text(&esp)]);
    oracle::check_ext4(&root);

    let uuid = oracle::run("dumpe2fs", &["-h", oracle::text(&root)]);
    let uuid = uuid.lines().find_map(|line| line.strip_prefix("Filesystem UUID:")).unwrap().trim().to_owned();
    let config = oracle::run("mtype", &["-i", oracle::text(&esp), "::EFI/debian/grub.cfg"]);
    assert!(config.contains(&format!("root=UUID={uuid} ro console=tty0 console=ttyS0,115200")), "{config}");
    assert!(config.contains("initrd /boot/initrd.img-6.1.0-10-amd64"), "{config}");
    let fstab = oracle::debugfs(&root, "cat /etc/fstab");
    assert!(fstab.contains(&format!("UUID={uuid} / ext4")), "{fstab}");
    assert!(fstab.contains("tmpfs /tmp") && !fstab.contains("/dev/sda1"), "{fstab}");
    assert!(oracle::debugfs(&root, "stat /etc/machine-id").contains("Size: 0"));
}

#[test]
fn systemd_boot_of_the_image_gets_kernel_and_initrd() {
    let dir = TempDir::new().unwrap();
    let (out, esp) = (dir.path().join("disk"), dir.path().join("esp"));
    let mut tree = bootable();
    let loader = NodeKind::File(Content::Bytes(b"MZ systemd-boot".to_vec()));
    tree.insert(&TreePath(SYSTEMD_BOOT.as_bytes().to_vec()), Node::of_root(loader, 0o755, 0)).unwrap();
    build(tree, 300 * MIB, DiskFormat::Raw, &out).unwrap();
    partition(&out, 1, &esp);
    oracle::run("fsck.fat", &["-n", oracle::text(&esp)]);
    let content = |path: &str| oracle::run_bytes("mtype", &["-i", oracle::text(&esp), path]);
    assert_eq!(content("::EFI/BOOT/BOOTX64.EFI"), b"MZ systemd-boot");
    assert_eq!(content("::imgc/vmlinuz"), b"k".repeat(100_000));
    assert_eq!(content("::imgc/initrd.img"), b"i".repeat(300_000));
    let entry = String::from_utf8(content("::loader/entries/imgc.conf")).unwrap();
    assert!(entry.contains("initrd /imgc/initrd.img\noptions root=UUID="), "{entry}");
}

#[test]
fn the_kernel_gets_what_the_image_says() {
    let dir = TempDir::new().unwrap();
    let (out, esp) = (dir.path().join("disk"), dir.path().join("esp"));
    let with = |text: &str| {
        let mut tree = bootable();
        let file = NodeKind::File(Content::Bytes(text.as_bytes().to_vec()));
        tree.insert(&TreePath(b"etc/kernel/cmdline".to_vec()), Node::of_root(file, 0o644, 0)).unwrap();
        build(tree, 300 * MIB, DiskFormat::Raw, &out)?;
        partition(&out, 1, &esp);
        let config = oracle::run("mtype", &["-i", oracle::text(&esp), "::EFI/debian/grub.cfg"]);
        let line = config.lines().find_map(|line| line.trim().strip_prefix("linux ")).unwrap();
        Ok::<_, DiskError>(line.split_once(" root=UUID=").unwrap().1.split_once(' ').unwrap().1.to_owned())
    };
    // The consoles of every machine stay where the image names none; a root that it names is not the disk's.
    assert_eq!(with("quiet root=/dev/sda1\n").unwrap(), "ro console=tty0 console=ttyS0,115200 quiet");
    assert_eq!(with("rw console=ttyS1,9600 a.b=c\n").unwrap(), "rw console=ttyS1,9600 a.b=c");
    assert_eq!(with("\n").unwrap(), "ro console=tty0 console=ttyS0,115200");
    for wrong in ["a;reboot", "a='b c'", "${x}"] {
        let error = with(wrong).unwrap_err();
        assert!(error.to_string().contains("/etc/kernel/cmdline"), "{error}");
    }
}

#[test]
fn qcow2_holds_the_same_disk() {
    let dir = TempDir::new().unwrap();
    let (raw, qcow2) = (dir.path().join("raw"), dir.path().join("qcow2"));
    // The last cluster is not a whole one, and there are several tables of the second level.
    for size in [300 * MIB + 512 * 77, 3000 * MIB] {
        build(bootable(), size, DiskFormat::Raw, &raw).unwrap();
        build(bootable(), size, DiskFormat::Qcow2, &qcow2).unwrap();
        let said = oracle::run("qemu-img", &["check", oracle::text(&qcow2)]);
        assert!(said.contains("No errors were found"), "{said}");
        oracle::run("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", oracle::text(&raw), oracle::text(&qcow2)]);
        let info = oracle::run("qemu-img", &["info", oracle::text(&qcow2)]);
        assert!(info.contains(&format!("({size} bytes)")), "{info}");
        assert!(fs::metadata(&qcow2).unwrap().len() < 20 * MIB);
    }
}

#[test]
fn equal_input_gives_equal_bytes() {
    let build_in = |format| {
        let dir = TempDir::new().unwrap();
        let mut tree = bootable();
        for n in 0..300 {
            let path = dir.path().join(format!("content{n}"));
            let bytes = vec![u8::try_from(n % 250).unwrap() + 1; n * 997];
            fs::write(&path, &bytes).unwrap();
            let content = Content::Host { path, size: bytes.len() as u64, digest: Some(Digest::of(&bytes)) };
            let node = Node::of_root(NodeKind::File(content), 0o644, 5);
            tree.insert(&TreePath(format!("srv/{n}").into_bytes()), node).unwrap();
        }
        let out = dir.path().join("out");
        build(tree, 400 * MIB, format, &out).unwrap();
        let mut hasher = Vec::new();
        File::open(&out).unwrap().read_to_end(&mut hasher).unwrap();
        Digest::of(&hasher)
    };
    assert_eq!(build_in(DiskFormat::Raw), build_in(DiskFormat::Raw));
    assert_eq!(build_in(DiskFormat::Qcow2), build_in(DiskFormat::Qcow2));
}

#[test]
fn errors_say_what_to_do() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let fail = |tree, size| build(tree, size, DiskFormat::Raw, &out).unwrap_err();
    let help = |error: &DiskError| error.help().unwrap_or_default();

    let error = fail(tree(&[("etc/hostname", b"x")]), 300 * MIB);
    assert!(error.to_string().contains("no kernel") && help(&error).contains("linux-image-amd64"), "{error}");
    let error = fail(bootable(), 300 * MIB + 1);
    assert!(error.to_string().contains("not a multiple of 512"), "{error}");
    for size in [0, 512, 60 * MIB, 66 * MIB] {
        let error = fail(bootable(), size);
        assert!(matches!(error, DiskError::DoesNotFit { .. }), "{size}: {error}");
    }
    let mut large = bootable();
    let content = Content::Bytes(vec![1; 500 << 20]);
    large.insert(&TreePath(b"big".to_vec()), Node::of_root(NodeKind::File(content), 0o644, 0)).unwrap();
    let error = fail(large.clone(), 512 * MIB);
    assert!(error.to_string().contains("needs 501 MiB") && error.to_string().contains("`size` leaves 4"), "{error}");
    let enough = help(&error);
    let enough: u64 = enough.split_once("size: ").unwrap().1.split_once("MiB").unwrap().0.parse().unwrap();
    build(large, enough * MIB, DiskFormat::Raw, &out).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let platform: Platform = "linux/riscv64".parse().unwrap();
    let tree = FileTree::new(BTreeMap::new(), 0).unwrap();
    let seed = Digest::of(b"");
    let format = DiskFormat::Raw;
    let spec = DiskSpec {
        size: MIB,
        format,
        boot: Boot::Uefi,
        platform: &platform,
        epoch: 0,
        seed,
        tree,
        cancel: Cancel::NEVER,
    };
    assert!(matches!(disk::build(&spec, &out), Err(DiskError::Platform { .. })));
}

#[test]
fn a_disk_that_nobody_wants_any_more_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("disk.raw");
    let platform: Platform = "linux/amd64".parse().unwrap();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    // Wanted for the first few writes.
    let gone = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3;
    let spec = DiskSpec {
        size: 512 * MIB,
        format: DiskFormat::Qcow2,
        boot: Boot::Uefi,
        platform: &platform,
        epoch: 0,
        seed: Digest::of(b""),
        tree: bootable(),
        cancel: Cancel(&gone),
    };
    assert!(disk::build(&spec, &out).is_err());
    assert!(asked.into_inner() > 3);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
