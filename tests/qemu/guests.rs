//! What the tests of virtual machines share: the program, the disk it stands on, and a look at what runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::bed::{Bed, has, lacking, must, repository, run, shared};

/// Whether this machine lacks what these tests need.
pub(crate) fn skipped() -> bool {
    let needed = ["qemu-system-x86_64", "qemu-img", "mmdebstrap", "e2fsck", "ssh-keygen"];
    if let Some(missing) = needed.into_iter().find(|program| !has(program)) {
        return lacking(missing);
    }
    if !Path::new("/usr/share/OVMF/OVMF_CODE.fd").exists() {
        return lacking("OVMF");
    }
    false
}

/// Packages of a suite of Debian's archive, unpacked beside what is compiled; none where they cannot be had.
pub(crate) fn unpacked(suite: &str, name: &str, packages: &[&str]) -> Option<PathBuf> {
    let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut unpack = Command::new(repository().join("scripts/unpack.sh"));
    let output = run(unpack.arg(suite).arg(&to).args(packages));
    if !output.status.success() {
        lacking(&format!("{packages:?} of {suite}: {}", text(&output)));
        return None;
    }
    Some(to)
}

/// The base image: small, reached by a key that all tests of one run share, as it is an argument of the image.
pub(crate) fn base() -> String {
    let public = key().1;
    format!(
        r#"
image base {{
  from = rootfs.debian(suite: "bookworm", packages: ["systemd-sysv", "udev", "linux-image-cloud-amd64", "openssh-server"])
  use net.dhcp()
  use ssh.authorized_key("root", "{public}")
}}
let disk0 = disk.image(base, size: 2GiB, format: qcow2, boot: uefi)
"#
    )
}

/// A machine with all that a record can give it, and one layer on it that the tests of a run share: whoever comes first
/// boots it, everybody else resumes it. What an older imgc kept of it might not fit, so it is another one with each.
pub(crate) fn vm() -> String {
    let program = fs::metadata(env!("CARGO_BIN_EXE_imgc")).expect("imgc");
    let made =
        program.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).expect("a time");
    VM.replace("BUILD", &made.as_millis().to_string())
}

const VM: &str = r##"
image vm {
  from = qemu.disk(disk0)
  machine = {
    memory = 512MiB
    firmware = uefi
    tpm = true
    disks = [{ size = 64MiB }]
    seed = { hostname = "seeded", user_data = "#cloud-config\n{}\n" }
    login = { key = file("./key") }
  }
  sh "ready" { script = "echo ready >/root/ready; : BUILD" network = false }
}
"##;

fn key() -> (PathBuf, String) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join("qemu-key");
    let lock = fs::File::create(dir.join("qemu-key.lock")).expect("lock");
    lock.lock().expect("lock");
    if !path.exists() {
        must(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "qemu", "-f"]).arg(&path));
    }
    (path.clone(), fs::read_to_string(path.with_extension("pub")).expect("public key").trim().to_owned())
}

/// A folder with a program on the shared store.
pub(crate) struct Place {
    pub(crate) bed: Bed,
    pub(crate) package: PathBuf,
}

impl Place {
    /// A package with the base image and this program.
    pub(crate) fn new(program: &str) -> Self {
        let bed = shared();
        let package = bed.path("vm");
        fs::create_dir_all(&package).expect("folder");
        fs::copy(key().0, package.join("key")).expect("key");
        let place = Self { bed, package };
        place.write(program);
        place
    }

    /// Replaces the program.
    pub(crate) fn write(&self, program: &str) {
        fs::write(self.package.join("main.imgc"), format!("{}{program}", base())).expect("program");
    }

    /// `imgc apply` with these arguments, however it ends.
    pub(crate) fn try_apply(&self, args: &[&str]) -> Output {
        run(self.bed.imgc(&["apply", self.package.to_str().expect("UTF-8")]).args(args))
    }

    /// `imgc apply`, which must succeed; all that it says.
    pub(crate) fn apply(&self, args: &[&str]) -> String {
        let output = self.try_apply(args);
        let said = text(&output);
        assert!(output.status.success(), "apply {args:?} failed: {}\n{said}", output.status);
        said
    }

    /// The guests that run on this place's store: their process ids.
    pub(crate) fn running(&self) -> Vec<u32> {
        let store = fs::canonicalize(self.bed.path("cache")).expect("store");
        let store = store.to_str().expect("UTF-8").to_owned();
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            // Wherever the program is; keepers and shells only name it.
            let program = line.split('\0').next().unwrap_or_default();
            program.rsplit('/').next().is_some_and(|name| name.starts_with("qemu-system")) && line.contains(&store)
        })
        .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A guest that a failed test kept would be taken for one that the next test left.
        if std::thread::panicking() {
            let _ = self.bed.imgc(&["clean"]).output();
        }
        if let Ok(store) = fs::canonicalize(self.bed.path("cache")) {
            trim(&store.join("memory"));
        }
    }
}

/// Every layer of every test keeps 300 MB of memory, and the disks of those who run the tests are not endless: what was used
/// longest ago goes, but for guests that have just booted, on which all tests stand. One test makes about ten of them.
fn trim(memory: &Path) {
    const KEPT: usize = 16;
    let parts = fs::read_dir(memory).into_iter().flatten().flatten();
    let steps = parts.filter(|part| !part.file_name().to_string_lossy().starts_with("booted-"));
    let mut steps: Vec<_> = steps
        .filter_map(|part| Some((fs::metadata(part.path().join("part.json")).ok()?.modified().ok()?, part.path())))
        .collect();
    steps.sort();
    for (_, part) in steps.iter().rev().skip(KEPT) {
        let _ = fs::remove_dir_all(part);
    }
}

/// Both streams of a command.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What follows a word on a line of some output.
pub(crate) fn said<'a>(output: &'a str, word: &str) -> &'a str {
    let line = output.lines().filter_map(|line| line.split_once(word)).next_back();
    line.unwrap_or_else(|| panic!("nothing says `{word}`:\n{output}")).1.trim()
}
