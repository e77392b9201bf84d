//! What makes a disk boot: the kernel of the image, a boot loader, and the files that lead from one to the other. Reads
//! the tree and writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use imgc_plan::Platform;
use imgc_store::TreePath;

use crate::disk::DiskError;
use crate::identity::Uuid;
use crate::tree::{Content, FileTree};

/// Where an image says what its kernel is to be passed.
pub(crate) const COMMAND_LINE: &str = "etc/kernel/cmdline";

/// What differs between the machines that disks are made for.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The fallback path of UEFI firmware on the EFI system partition.
    pub(crate) fallback: &'static str,
    /// Type of the root partition (Discoverable Partitions Specification), in printed order.
    pub(crate) root_type: [u8; 16],
    systemd_boot: &'static str,
    grub: &'static str,
    grub_package: &'static str,
    serial: &'static str,
    kernel_package: &'static str,
}

const AMD64: Machine = Machine {
    fallback: "EFI/BOOT/BOOTX64.EFI",
    root_type: *b"\x4f\x68\xbc\xe3\xe8\xcd\x4d\xb1\x96\xe7\xfb\xca\xf9\x84\xb7\x09",
    systemd_boot: "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
    grub: "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi",
    grub_package: "grub-efi-amd64-bin",
    serial: "ttyS0",
    kernel_package: "linux-image-amd64",
};

const ARM64: Machine = Machine {
    fallback: "EFI/BOOT/BOOTAA64.EFI",
    root_type: *b"\xb9\x21\xb0\x45\x1d\xf0\x41\xc3\xaf\x44\x4c\x6f\x28\x0d\x3f\xae",
    systemd_boot: "usr/lib/systemd/boot/efi/systemd-bootaa64.efi",
    grub: "usr/lib/grub/arm64-efi/monolithic/grubaa64.efi",
    grub_package: "grub-efi-arm64-bin",
    serial: "ttyAMA0",
    kernel_package: "linux-image-arm64",
};

impl Machine {
    /// The machine of a platform.
    pub(crate) fn of(platform: &Platform) -> Result<&'static Self, DiskError> {
        match (platform.os.as_str(), platform.arch.as_str()) {
            ("linux", "amd64") => Ok(&AMD64),
            ("linux", "arm64") => Ok(&ARM64),
            _ => Err(DiskError::Platform { platform: platform.clone() }),
        }
    }
}

/// How the kernel finds its root.
#[derive(Debug)]
pub(crate) struct RootIds {
    /// Of the file system.
    pub(crate) file_system: Uuid,
    /// Of the partition.
    pub(crate) partition: Uuid,
}

/// All files of the EFI system partition.
pub(crate) fn files(
    tree: &FileTree,
    machine: &Machine,
    root: &RootIds,
) -> Result<BTreeMap<String, Content>, DiskError> {
    let kernel = Kernel::newest(tree).ok_or(DiskError::NoKernel { package: machine.kernel_package })?;
    let options = kernel.options(machine, root, &own_arguments(tree)?);
    let mut files = BTreeMap::new();
    if let Some((_, loader)) = tree.resolve(&tree_path(machine.systemd_boot)) {
        files.insert(machine.fallback.to_owned(), loader.clone());
        kernel.systemd_boot(&options, &mut files);
        return Ok(files);
    }
    let (grub, bytes) = grub(tree, machine)?;
    files.insert(machine.fallback.to_owned(), grub);
    let config = kernel.grub_config(&options, root);
    for dir in prefixes(&bytes) {
        files.insert(format!("EFI/{dir}/grub.cfg"), Content::Bytes(config.clone().into_bytes()));
    }
    Ok(files)
}

/// What is loaded where there is no boot loader: `vmlinuz`, `initrd.img` where the image has one, and `cmdline`. Where the
/// root is, whoever loads them has to say.
pub(crate) fn loose(tree: &FileTree, machine: &Machine) -> Result<BTreeMap<&'static str, Content>, DiskError> {
    let kernel = Kernel::newest(tree).ok_or(DiskError::NoKernel { package: machine.kernel_package })?;
    let mut arguments = own_arguments(tree)?;
    if !arguments.iter().any(|argument| argument.starts_with("console=")) {
        arguments.insert(0, format!("console={},115200", machine.serial));
    }
    let line = Content::Bytes(format!("{}\n", arguments.join(" ")).into_bytes());
    let mut files = BTreeMap::from([("vmlinuz", kernel.image.1.clone()), ("cmdline", line)]);
    files.extend(kernel.initrd.map(|(_, initrd)| ("initrd.img", initrd.clone())));
    Ok(files)
}

/// The paths of the files that [`loose`] is made of; of all others neither content nor presence counts.
pub(crate) fn sources(tree: &FileTree, machine: &Machine) -> Result<Vec<TreePath>, DiskError> {
    let kernel = Kernel::newest(tree).ok_or(DiskError::NoKernel { package: machine.kernel_package })?;
    let line = tree_path(COMMAND_LINE);
    let line = tree.resolve(&line).map(|(path, _)| path.clone());
    let boot = std::iter::once(kernel.image.0).chain(kernel.initrd.map(|(path, _)| path));
    Ok(boot.cloned().chain(line).collect())
}

/// What the image asks to be passed to its kernel, in the file that systemd's `kernel-install` reads, too.
///
/// How the root is found is not the image's to say: it cannot know its own disk.
fn own_arguments(tree: &FileTree) -> Result<Vec<String>, DiskError> {
    let Some((_, content)) = tree.resolve(&tree_path(COMMAND_LINE)) else { return Ok(Vec::new()) };
    let bytes = match content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::Host { path, .. } => {
            fs::read(path).map_err(DiskError::io(format!("cannot read {}", path.display())))?
        }
    };
    let text = String::from_utf8(bytes).map_err(|_| DiskError::CommandLine { why: "it is not UTF-8".to_owned() })?;
    let mut arguments = Vec::new();
    for argument in text.split_ascii_whitespace() {
        // Nothing that would need quoting in a loader's configuration.
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.,:=/@%+-~^".contains(c);
        if !argument.chars().all(plain) {
            return Err(DiskError::CommandLine { why: format!("`{}` cannot be passed on", argument.escape_debug()) });
        }
        if !argument.starts_with("root=") {
            arguments.push(argument.to_owned());
        }
    }
    Ok(arguments)
}

/// GRUB as one file: that of the image, else that of this host; and its bytes.
fn grub(tree: &FileTree, machine: &Machine) -> Result<(Content, Vec<u8>), DiskError> {
    let on_host = Path::new("/").join(machine.grub);
    let read = |path: &Path| fs::read(path).map_err(DiskError::io(format!("cannot read {}", path.display())));
    match tree.resolve(&tree_path(machine.grub)) {
        Some((_, Content::Bytes(bytes))) => Ok((Content::Bytes(bytes.clone()), bytes.clone())),
        Some((_, content @ Content::Host { path, .. })) => Ok((content.clone(), read(path)?)),
        None if on_host.is_file() => {
            let bytes = read(&on_host)?;
            Ok((Content::Bytes(bytes.clone()), bytes))
        }
        None => Err(DiskError::NoBootLoader {
            in_image: format!("/{}", machine.systemd_boot),
            on_host,
            package: machine.grub_package,
        }),
    }
}

/// The directories below `EFI` where this GRUB looks for its configuration: distributions build in their own name.
fn prefixes(grub: &[u8]) -> Vec<&'static str> {
    let holds = |text: &str| grub.windows(text.len()).any(|window| window == text.as_bytes());
    let known = [("debian", "/EFI/debian"), ("ubuntu", "/EFI/ubuntu")];
    let found: Vec<_> = known.into_iter().filter(|(_, prefix)| holds(prefix)).map(|(dir, _)| dir).collect();
    if found.is_empty() { vec!["debian"] } else { found }
}

/// A kernel in the image, with its initial RAM disk.
#[derive(Debug)]
struct Kernel<'a> {
    version: &'a str,
    image: (&'a TreePath, &'a Content),
    initrd: Option<(&'a TreePath, &'a Content)>,
    /// Names that stay right when the image upgrades its kernel, where there are such.
    image_name: String,
    initrd_name: Option<String>,
}

impl<'a> Kernel<'a> {
    /// The one in `/boot` with the highest version.
    fn newest(tree: &'a FileTree) -> Option<Self> {
        let kernels = tree.children(tree_path("boot")).filter_map(|(path, _)| {
            let version = std::str::from_utf8(&path.0).ok()?.strip_prefix("boot/vmlinuz-")?;
            // Nothing that would need quoting in a loader's configuration.
            let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
            (version.chars().all(plain) && tree.resolve(path).is_some()).then_some((version, path))
        });
        let (version, path) = kernels.max_by(|(a, _), (b, _)| version_key(a).cmp(&version_key(b)))?;
        let image = tree.resolve(path)?;
        let initrd_paths = ["initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initramfs-{}"];
        let initrd_path = initrd_paths
            .into_iter()
            .map(|pattern| tree_path(&format!("boot/{}", pattern.replace("{}", version))))
            .find(|path| tree.resolve(path).is_some());
        let initrd = initrd_path.as_ref().and_then(|path| tree.resolve(path));
        let is = |name: &str, what: &TreePath| tree.resolve(&tree_path(name)).is_some_and(|(path, _)| path == what);
        let links = [("vmlinuz", "initrd.img"), ("boot/vmlinuz", "boot/initrd.img")]
            .into_iter()
            .find(|(kernel, ramdisk)| is(kernel, image.0) && initrd.is_none_or(|(path, _)| is(ramdisk, path)));
        let (image_name, initrd_name) = match links {
            Some((kernel, ramdisk)) => (kernel.to_owned(), initrd.map(|_| ramdisk.to_owned())),
            None => (format!("boot/vmlinuz-{version}"), initrd_path.map(|path| crate::tree::show(&path))),
        };
        Some(Self { version, image, initrd, image_name, initrd_name })
    }

    /// The kernel's command line. Only an initial RAM disk can find a file system by its UUID. What the image says comes
    /// last, so that it wins; one that names a console names all of them.
    fn options(&self, machine: &Machine, root: &RootIds, own: &[String]) -> String {
        let root = match self.initrd {
            Some(_) => format!("UUID={}", root.file_system),
            None => format!("PARTUUID={}", root.partition),
        };
        let mut options = format!("root={root}");
        if !own.iter().any(|argument| argument == "rw" || argument == "ro") {
            options.push_str(" ro");
        }
        if !own.iter().any(|argument| argument.starts_with("console=")) {
            options.push_str(" console=tty0 console=");
            options.push_str(machine.serial);
            options.push_str(",115200");
        }
        for argument in own {
            options.push(' ');
            options.push_str(argument);
        }
        options
    }

    fn grub_config(&self, options: &str, root: &RootIds) -> String {
        let initrd = self.initrd_name.as_ref().map(|name| format!("  initrd /{name}\n")).unwrap_or_default();
        format!(
            "set default=0\nset timeout=1\nsearch --no-floppy --fs-uuid --set=root {}\nmenuentry 'Linux' {{\n  \
             linux /{} {options}\n{initrd}}}\n",
            root.file_system, self.image_name
        )
    }

    /// systemd-boot reads only its own partition, so kernel and RAM disk are copied there.
    fn systemd_boot(&self, options: &str, files: &mut BTreeMap<String, Content>) {
        let mut entry = format!("title Linux\nversion {}\nlinux /imgc/vmlinuz\n", self.version);
        files.insert("imgc/vmlinuz".to_owned(), self.image.1.clone());
        if let Some((_, initrd)) = self.initrd {
            entry.push_str("initrd /imgc/initrd.img\n");
            files.insert("imgc/initrd.img".to_owned(), initrd.clone());
        }
        entry = format!("{entry}options {options}\n");
        files.insert("loader/entries/imgc.conf".to_owned(), Content::Bytes(entry.into_bytes()));
        files.insert("loader/loader.conf".to_owned(), Content::Bytes(b"timeout 1\ndefault imgc.conf\n".to_vec()));
    }
}

/// Numbers compare as numbers: 6.1.0-10 is newer than 6.1.0-9.
fn version_key(version: &str) -> Vec<(u64, &str)> {
    let mut key = Vec::new();
    let mut rest = version;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let text = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (text, later) = after.split_at(text);
        key.push((number.parse().unwrap_or_default(), text));
        rest = later;
    }
    key
}

pub(crate) fn tree_path(path: &str) -> TreePath {
    TreePath(path.as_bytes().to_vec())
}
