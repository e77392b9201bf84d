//! The machine record of `stdlib/qemu.imgc`, as the runtime reads it.

use imgc_backend::{BackendError, Fault, Refusal, Text};
use serde::{Deserialize, Serialize};

/// The shape of a machine. Every field has the default that the standard library declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Machine {
    /// In bytes.
    pub(crate) memory: u64,
    pub(crate) cpus: u32,
    /// QEMU's name of a CPU model; none: the host's under KVM, all that TCG can do otherwise.
    pub(crate) cpu: Option<String>,
    /// QEMU's name of a machine type.
    pub(crate) board: Option<String>,
    pub(crate) firmware: Firmware,
    pub(crate) accelerator: Accelerator,
    /// Whether there is a TPM 2.0.
    pub(crate) tpm: bool,
    /// Size of the root disk; none: as large as it was.
    pub(crate) disk: Option<u64>,
    /// Further disks, empty at first.
    pub(crate) disks: Vec<Disk>,
    /// Network cards; the first one carries the forwarded port.
    pub(crate) nics: Vec<Nic>,
    pub(crate) display: Display,
    pub(crate) seed: Option<Seed>,
    pub(crate) login: Login,
    /// Further arguments.
    pub(crate) qemu_args: Vec<String>,
}

/// A further disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disk {
    /// In bytes.
    pub(crate) size: u64,
    /// `virtio`, `scsi`, `sata`, `ide` or `nvme`.
    pub(crate) bus: String,
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nic {
    /// As QEMU names it.
    pub(crate) model: String,
}

/// Whether there is a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Display {
    None,
    Vnc,
}

/// What cloud-init finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seed {
    pub(crate) instance: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) user_data: Text,
    pub(crate) network: Option<String>,
}

/// How a build gets into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Option<Text>,
    /// The private key.
    pub(crate) key: Option<Key>,
    pub(crate) port: u16,
    /// In milliseconds: how long it may take until the guest answers.
    pub(crate) timeout: u64,
}

/// A private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Key {
    /// In a file.
    File(imgc_plan::FileRef),
    /// Itself.
    Text(Text),
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accelerator {
    Auto,
    Kvm,
    Hvf,
    Whpx,
    Tcg,
}

/// What boots the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Firmware {
    Bios,
    Uefi,
    UefiSecure,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            cpus: 2,
            cpu: None,
            board: None,
            firmware: Firmware::Bios,
            accelerator: Accelerator::Auto,
            tpm: false,
            disk: None,
            disks: Vec::new(),
            nics: vec![Nic { model: "virtio-net-pci".to_owned() }],
            display: Display::None,
            seed: None,
            login: Login::default(),
            qemu_args: Vec::new(),
        }
    }
}

impl Default for Login {
    fn default() -> Self {
        Self { user: "root".to_owned(), password: None, key: None, port: 22, timeout: 600_000 }
    }
}

/// Options that set one thing, which a field of the record sets already, or which would take the guest out of our hands.
const OURS: [(&str, &str); 39] = [
    ("m", "memory"),
    ("smp", "cpus"),
    ("cpu", "cpu"),
    ("machine", "board"),
    ("M", "board"),
    ("accel", "accelerator"),
    ("enable-kvm", "accelerator"),
    ("bios", "firmware"),
    ("pflash", "firmware"),
    ("display", "display"),
    ("nographic", "display"),
    ("curses", "display"),
    ("vga", "display"),
    ("vnc", "display"),
    ("nic", "nics"),
    ("net", "nics"),
    ("hda", "disk"),
    ("serial", ""),
    ("qmp", ""),
    ("monitor", ""),
    ("mon", ""),
    ("name", ""),
    ("S", ""),
    ("incoming", ""),
    ("loadvm", ""),
    ("snapshot", ""),
    ("daemonize", ""),
    ("pidfile", ""),
    ("mem-path", "memory"),
    ("mem-prealloc", "memory"),
    ("readconfig", ""),
    ("no-shutdown", ""),
    ("numa", "memory"),
    ("kernel", ""),
    ("initrd", ""),
    ("append", ""),
    ("boot", ""),
    ("set", ""),
    ("action", ""),
];

impl Machine {
    /// Reads the record out of a plan; null is a record that says nothing.
    pub(crate) fn read(record: &serde_json::Value) -> Result<Self, BackendError> {
        let serde_json::Value::Object(fields) = record else { return Ok(Self::default()) };
        let said = fields.iter().filter(|(_, value)| !value.is_null());
        let said: serde_json::Map<_, _> = said.map(|(name, value)| (name.clone(), value.clone())).collect();
        serde_json::from_value(said.into())
            .map_err(|error| BackendError::Internal { message: format!("the machine record: {error}") })
    }

    /// The machine type as QEMU names it.
    pub(crate) fn board(&self, arch: &str) -> &str {
        match (&self.board, arch) {
            (Some(board), _) => board,
            (None, "amd64" | "386") => "q35",
            (None, _) => "virt",
        }
    }

    /// Refuses what cannot be, before anything runs.
    pub(crate) fn check(&self, host_memory: u64, host_cpus: u32) -> Result<(), Refusal> {
        let refuse = |message: String, help: &str, fault| Err(Refusal { message, help: Some(help.to_owned()), fault });
        if self.memory < 32 << 20 {
            return refuse(
                "a machine with less than 32 MiB of memory cannot boot".to_owned(),
                "raise `memory`",
                Fault::Program,
            );
        }
        if self.cpus == 0 || self.cpus > 512 {
            return refuse(format!("a machine cannot have {} CPUs", self.cpus), "`cpus` is 1 to 512", Fault::Program);
        }
        if host_memory > 0 && self.memory > host_memory {
            let (wanted, there) = (self.memory >> 20, host_memory >> 20);
            let message = format!("the machine asks for {wanted} MiB of memory, and this host has {there} MiB");
            return refuse(message, "lower `memory` in the image's `machine` record", Fault::Environment);
        }
        // Two, which is what a record that says nothing asks for, share one processor without harm.
        if host_cpus > 0 && self.cpus > host_cpus.max(Self::default().cpus) {
            let message = format!("the machine asks for {} CPUs, and this host has {host_cpus}", self.cpus);
            return refuse(message, "lower `cpus` in the image's `machine` record", Fault::Environment);
        }
        self.check_arguments()
    }

    /// Arguments only add: one that sets what imgc sets, or that names a thing as imgc names one, is refused.
    fn check_arguments(&self) -> Result<(), Refusal> {
        let refuse = |message: String, help: String| Err(Refusal { message, help: Some(help), fault: Fault::Program });
        let mut arguments = self.qemu_args.iter().peekable();
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix('-') else {
                return refuse(
                    format!("`{argument}` in `qemu_args` belongs to no option"),
                    "write an option and its value as two texts: `[\"-device\", \"virtio-balloon-pci\"]`".to_owned(),
                );
            };
            let option = option.trim_start_matches('-');
            let value = arguments.next_if(|value| !value.starts_with('-')).map_or("", String::as_str);
            let given = format!("-{option} {value}");
            let given = given.trim_end();
            if let Some((_, field)) = OURS.iter().find(|(name, _)| *name == option) {
                let help = match *field {
                    "" => "leave it out: imgc needs this option itself".to_owned(),
                    field => format!("set `{field}` in the `machine` record instead"),
                };
                let ours = match *field {
                    "" => "imgc's own".to_owned(),
                    field => format!("the record's `{field}`"),
                };
                return refuse(format!("`{given}` in `qemu_args` would replace {ours}"), help);
            }
            if let Some(name) = value.split(',').find_map(named).filter(|name| is_ours(name)) {
                return refuse(
                    format!("`{given}` in `qemu_args` has the name `{name}`, which a part of imgc's own has"),
                    "give it another name".to_owned(),
                );
            }
        }
        Ok(())
    }
}

/// The name in a property of an option's value.
fn named(property: &str) -> Option<&str> {
    property.strip_prefix("id=").or_else(|| property.strip_prefix("node-name="))
}

/// Whether a part that imgc gives to QEMU has this name.
fn is_ours(name: &str) -> bool {
    const NAMES: [&str; 13] =
        ["ram", "top", "disk0", "seed", "agent", "serial0", "tpm", "tpm0", "scsi", "sata", "net", "nic", "extra"];
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit());
    NAMES.contains(&name) || ["net", "nic", "extra", "layer", "top"].contains(&plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(Machine::read(&serde_json::Value::Null).unwrap(), Machine::default());
        let machine = Machine::read(&json!({"memory": 512 << 20, "cpu": null, "firmware": "uefi"})).unwrap();
        assert_eq!((machine.memory, machine.firmware, machine.cpu), (512 << 20, Firmware::Uefi, None));
        assert!(Machine::read(&json!({"memroy": 1})).is_err());
    }

    #[test]
    fn arguments_that_replace_are_refused() {
        let check = |args: &[&str]| {
            let qemu_args = args.iter().map(|&arg| arg.to_owned()).collect();
            Machine { qemu_args, ..Machine::default() }.check(0, 0)
        };
        assert!(check(&["-device", "virtio-rng-pci"]).is_ok());
        let refused = check(&["-m", "4G"]).unwrap_err();
        assert_eq!(refused.message, "`-m 4G` in `qemu_args` would replace the record's `memory`");
        assert_eq!(refused.help.as_deref(), Some("set `memory` in the `machine` record instead"));
        assert!(check(&["--daemonize"]).is_err());
        let named = check(&["-device", "virtio-blk-pci,drive=x,id=disk0"]).unwrap_err();
        assert!(named.message.contains("has the name `disk0`"), "{named}");
        assert!(check(&["-device", "virtio-blk-pci,id=mine", "-no-reboot"]).is_ok());
        assert!(check(&["virtio"]).unwrap_err().message.contains("belongs to no option"));
    }

    #[test]
    fn a_machine_larger_than_the_host_is_refused() {
        let refused = Machine::default().check(512 << 20, 2).unwrap_err();
        assert_eq!(refused.fault, Fault::Environment);
        assert!(refused.message.contains("this host has 512 MiB"), "{refused}");
        let four = Machine { cpus: 4, ..Machine::default() };
        assert_eq!(four.check(0, 3).unwrap_err().message, "the machine asks for 4 CPUs, and this host has 3");
        assert!(four.check(0, 4).is_ok() && four.check(0, 0).is_ok() && Machine::default().check(0, 1).is_ok());
    }
}
