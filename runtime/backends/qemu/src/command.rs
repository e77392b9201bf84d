//! The command line of a guest.
//!
//! It comes in two parts. What [`fixed`] says is the machine as the guest sees it: a memory part fits only where that is
//! the same. The rest is where its disks and its memory are this time. All files are named relative to the machine's own
//! directory, in which QEMU runs.

use std::path::{Path, PathBuf};

use imgc_plan::Platform;
use serde_json::{Value, json};

use crate::further::Further;
use crate::host::{Firmwares, Host};
use crate::record::{Accelerator, Display, Machine};

/// Names in a machine's directory.
pub(crate) mod file {
    pub(crate) const QMP: &str = "qmp.sock";
    pub(crate) const AGENT: &str = "agent.sock";
    pub(crate) const CONSOLE: &str = "serial.sock";
    pub(crate) const SERIAL: &str = "serial.log";
    pub(crate) const VNC: &str = "vnc.sock";
    pub(crate) const VARS: &str = "firmware-vars.fd";
    pub(crate) const RAM: &str = "ram";
    pub(crate) const STATE: &str = "state";
    pub(crate) const DISK: &str = "disk";
    pub(crate) const SEED: &str = "seed.iso";
    pub(crate) const TPM: &str = "tpm.sock";
}

/// The name of the agent's port in the guest.
pub(crate) const AGENT_PORT: &str = "org.imgc.agent.0";

/// A disk image of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    /// `qcow2` or `raw`.
    pub(crate) format: String,
}

/// Where the guest's memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ram {
    /// In the file [`file::RAM`], which others can read while the guest is stopped.
    Shared,
    /// As this file says at first; what the guest writes is its own.
    Private(PathBuf),
    /// Nowhere but in QEMU.
    Anonymous,
}

/// The machine as the guest sees it.
pub(crate) fn fixed(
    machine: &Machine,
    accelerator: Accelerator,
    firmwares: Option<&Firmwares>,
    platform: &Platform,
) -> Vec<String> {
    let mut line = Line::default();
    line.add(&["-nodefaults", "-no-user-config"]);
    let smm = if firmwares.is_some_and(|files| files.secure) { ",smm=on" } else { "" };
    line.option("-machine", format!("{},memory-backend=ram{smm}", machine.board(&platform.arch)));
    let (accel, cpu) = accelerated(accelerator);
    line.option("-accel", accel);
    line.option("-cpu", machine.cpu.as_deref().unwrap_or(cpu));
    line.option("-smp", machine.cpus.to_string());
    line.option("-m", format!("{}k", machine.memory >> 10));
    if let Some(files) = firmwares {
        let code = files.code.display();
        line.option("-drive", format!("if=pflash,format=raw,unit=0,readonly=on,file={code}"));
        line.option("-drive", format!("if=pflash,format=raw,unit=1,file={}", file::VARS));
        if files.secure {
            line.option("-global", "driver=cfi.pflash01,property=secure,value=on");
        }
    }
    line.option("-device", "virtio-blk-pci,drive=top,id=disk0,bootindex=0");
    line.option("-device", "virtio-rng-pci");
    line.option("-device", "virtio-serial-pci");
    line.option("-device", format!("virtserialport,chardev=agent,name={AGENT_PORT}"));
    for (n, nic) in machine.nics.iter().enumerate() {
        let mac = format!("52:54:00:12:34:{:02x}", 0x56 + n % 0xa0);
        line.option("-device", format!("{},netdev=net{n},id=nic{n},mac={mac}", nic.model));
    }
    if platform.arch == "amd64" {
        // Also where nobody watches: of a guest that fails the screen is kept. A small video memory, since it is saved
        // with every layer.
        line.option("-device", "VGA,vgamem_mb=4");
    }
    disks(&mut line, machine);
    if machine.tpm {
        line.option("-tpmdev", "emulator,id=tpm0,chardev=tpm");
        line.option(
            "-device",
            if platform.arch == "amd64" { "tpm-tis,tpmdev=tpm0" } else { "tpm-tis-device,tpmdev=tpm0" },
        );
    }
    if machine.seed.is_some() {
        line.option("-device", "virtio-blk-pci,drive=seed,id=seed");
    }
    line.0.extend(machine.qemu_args.iter().cloned());
    line.0
}

/// The TPM of a machine: the program, and the socket that QEMU reaches it by. It begins anew with each boot from a layer.
pub(crate) fn tpm() -> (Vec<String>, String) {
    let control = format!("type=unixio,path={}", file::TPM);
    let words = ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=.", "--ctrl", &control];
    (words.iter().map(|&word| word.to_owned()).collect(), file::TPM.to_owned())
}

/// An accelerator as QEMU names it, and the processor that guests get where nothing else is said.
pub(crate) fn accelerated(accelerator: Accelerator) -> (&'static str, &'static str) {
    match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Hvf => ("hvf", "host"),
        Accelerator::Whpx => ("whpx", "max"),
        Accelerator::Tcg | Accelerator::Auto => ("tcg,thread=multi", "max"),
    }
}

/// The whole command line: the program first.
pub(crate) fn whole(
    host: &Host,
    fixed: &[String],
    machine: &Machine,
    chain: &[Image],
    further: &[Further],
    ram: &Ram,
    incoming: bool,
) -> Vec<String> {
    let mut line = Line(vec![host.program.display().to_string()]);
    line.0.extend(fixed.iter().cloned());
    line.option("-object", memory(machine.memory, ram));
    nodes(&mut line, chain, "top", "layer");
    if machine.seed.is_some() {
        let node = json!({"driver": "raw", "node-name": "seed", "read-only": true,
            "file": {"driver": "file", "filename": file::SEED}});
        line.option("-blockdev", node.to_string());
    }
    for (n, disk) in further.iter().enumerate() {
        nodes(&mut line, &disk.chain, &extra_disk(n), &format!("below{n}-"));
    }
    for n in 0..machine.nics.len() {
        // Port 0: the kernel chooses one that is free, and nobody can take it in between.
        let forward = match n {
            0 => format!(",hostfwd=tcp:127.0.0.1:0-:{}", machine.login.port),
            // Each network has other addresses: else answers to what came by the first card would leave by another one.
            _ => format!(",net=10.0.{}.0/24", 2 + n % 250),
        };
        line.option("-netdev", format!("user,id=net{n}{forward}"));
    }
    line.option("-chardev", format!("socket,id=agent,path={},server=on,wait=off", file::AGENT));
    let serial =
        format!("socket,id=serial0,path={},server=on,wait=off,logfile={},logappend=on", file::CONSOLE, file::SERIAL);
    line.option("-chardev", serial);
    line.option("-serial", "chardev:serial0");
    if machine.tpm {
        line.option("-chardev", format!("socket,id=tpm,path={}", file::TPM));
    }
    line.option("-qmp", format!("unix:{},server=on,wait=off", file::QMP));
    // A socket costs nothing until somebody looks, and a guest that is kept after a failure can be looked at.
    line.option(
        "-display",
        match machine.display {
            Display::Vnc => "vnc=127.0.0.1:0,to=999".to_owned(),
            Display::None => format!("vnc=unix:{}", file::VNC),
        },
    );
    line.add(&["-S"]);
    if incoming {
        line.option("-incoming", "defer");
    }
    line.0
}

/// The further disks as devices.
fn disks(line: &mut Line, machine: &Machine) {
    if machine.disks.iter().any(|disk| disk.bus == "scsi") {
        line.option("-device", "virtio-scsi-pci,id=scsi");
    }
    if machine.disks.iter().any(|disk| disk.bus == "sata") {
        line.option("-device", "ich9-ahci,id=sata");
    }
    for (n, disk) in machine.disks.iter().enumerate() {
        let device = match disk.bus.as_str() {
            "scsi" => "scsi-hd,bus=scsi.0".to_owned(),
            "sata" => format!("ide-hd,bus=sata.{n}"),
            "ide" => "ide-hd".to_owned(),
            "nvme" => "nvme".to_owned(),
            _ => "virtio-blk-pci".to_owned(),
        };
        line.option("-device", format!("{device},drive=extra{n},id=extra{n},serial=extra{n}"));
    }
}

/// The name of a further disk.
pub(crate) fn extra_disk(n: usize) -> String {
    format!("extra{n}")
}

fn memory(size: u64, ram: &Ram) -> String {
    match ram {
        Ram::Shared => format!("memory-backend-file,id=ram,size={size},mem-path={},share=on", file::RAM),
        Ram::Private(path) => format!("memory-backend-file,id=ram,size={size},mem-path={},share=off", comma(path)),
        Ram::Anonymous => format!("memory-backend-ram,id=ram,size={size}"),
    }
}

/// A chain of images, the lowest first, as nodes; the highest is named `top` and written to, the others are numbered.
fn nodes(line: &mut Line, chain: &[Image], top_name: &str, below_name: &str) {
    let mut below: Option<String> = None;
    for (n, image) in chain.iter().enumerate() {
        let top = n + 1 == chain.len();
        let name = if top { top_name.to_owned() } else { format!("{below_name}{n}") };
        line.option("-blockdev", node(&name, image, below.as_deref(), !top).to_string());
        below = Some(name);
    }
}

/// One image as a node. What the guest flushes is made durable when the layer is committed, not before.
pub(crate) fn node(name: &str, image: &Image, below: Option<&str>, read_only: bool) -> Value {
    let file = json!({"driver": "file", "filename": image.path.display().to_string(), "read-only": read_only,
        "cache": {"no-flush": true}, "discard": "unmap"});
    let discard = if read_only { "ignore" } else { "unmap" };
    let zeroes = if read_only { "off" } else { "unmap" };
    if image.format == "qcow2" {
        return json!({"driver": "qcow2", "node-name": name, "read-only": read_only, "discard": discard,
            "detect-zeroes": zeroes, "file": file, "backing": below});
    }
    json!({"driver": image.format, "node-name": name, "read-only": read_only, "discard": discard, "file": file})
}

/// In QEMU's option lists a comma in a value is written twice.
fn comma(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[derive(Debug, Default)]
struct Line(Vec<String>);

impl Line {
    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|&word| word.to_owned()));
    }

    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(firmwares: Option<&Firmwares>) -> Vec<String> {
        let platform = Platform { os: "linux".into(), distro: None, arch: "amd64".into() };
        let line = fixed(&Machine::default(), Accelerator::Tcg, firmwares, &platform);
        line.chunks(2).map(|pair| pair.join(" ")).collect()
    }

    #[test]
    fn firmware_that_checks_signatures_is_out_of_the_guests_reach() {
        let files = |secure| Firmwares { code: "/code.fd".into(), vars: "/vars.fd".into(), secure };
        let has = |line: &[String], option: &str| line.iter().any(|given| given == option);
        let secure = options(Some(&files(true)));
        assert!(has(&secure, "-machine q35,memory-backend=ram,smm=on"), "{secure:?}");
        assert!(has(&secure, "-global driver=cfi.pflash01,property=secure,value=on"), "{secure:?}");
        assert!(has(&secure, "-drive if=pflash,format=raw,unit=0,readonly=on,file=/code.fd"), "{secure:?}");
        assert!(has(&secure, "-drive if=pflash,format=raw,unit=1,file=firmware-vars.fd"), "{secure:?}");
        let plain = options(Some(&files(false)));
        assert!(has(&plain, "-machine q35,memory-backend=ram"), "{plain:?}");
        assert!(!plain.iter().any(|given| given.starts_with("-global")), "{plain:?}");
        assert!(!options(None).iter().any(|given| given.contains("pflash")));
    }
}
