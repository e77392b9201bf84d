//! Examples of the standard library, run on rootfs: each does what it says, and done twice it changes nothing more.
//!
//! All stand on one base, which is built once. `same` is a step after each example and after the example done again:
//! its fingerprint holds the state before it, so it runs only once where the second time left nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::checks;
use crate::program::{Example, recipes};
use crate::seeds;

/// What the examples find in the guest.
const BASE: &str = r#"image base {
  from = rootfs.debian(
    suite: "bookworm",
    packages: ["systemd", "dbus", "udev", "openssh-server", "curl", "ca-certificates", "debian-archive-keyring", "cloud-init"],
  )
}
"#;

/// Debian with dnf and a repository of its own in it, to be called a Red Hat: no distribution of that family is among
/// the archives that tests can reach. It is dnf itself that runs.
const WITH_DNF: &str = r#"image base {
  from = rootfs.debian(suite: "bookworm", packages: ["dnf", "rpm", "createrepo-c", "gnupg"])
  sh "repository" { script = file("repository.sh") }
}
output exported = oci.archive(base, file: "base.tar")
output key = base.file("/srv/signed/key.asc")
"#;

const REPOSITORY: &str = r"
set -eu
mkdir -p /srv/repo /root/spec /etc/yum.repos.d
for version in 1 2; do
  printf 'Name: hello\nVersion: %s\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%%description\nx\n%%install\nmkdir -p %%{buildroot}/usr/share/hello\necho %s >%%{buildroot}/usr/share/hello/version\n%%files\n/usr/share/hello\n' $version $version >/root/spec/hello.spec
  rpmbuild -bb --define '_rpmdir /srv/repo' /root/spec/hello.spec >/dev/null 2>&1
  [ $version = 2 ] || cp /srv/repo/noarch/hello-1-1.noarch.rpm /root/
done
createrepo_c -q /srv/repo
printf '[local]\nname=local\nbaseurl=file:///srv/repo\ngpgcheck=0\n' >/etc/yum.repos.d/local.repo
mkdir -p /srv/signed
cp /srv/repo/noarch/hello-2-1.noarch.rpm /srv/signed/
export GNUPGHOME=/root/keys
mkdir -m 700 $GNUPGHOME
gpg --batch --quiet --passphrase '' --quick-generate-key 'imgc <imgc@example.org>' rsa2048 sign never
rpm --define '_gpg_name imgc' --define '__gpg /usr/bin/gpg' --addsign /srv/signed/*.rpm >/dev/null
gpg --armor --export >/srv/signed/key.asc
gpgconf --kill all
createrepo_c -q /srv/signed
rm -rf /root/spec /root/rpmbuild $GNUPGHOME
";

/// A repository whose packages are signed, and its key; the same key says nothing of packages that are not.
const SIGNED: &str = r#"
image trusted {
  from = base
  use dnf.repository("signed", url: "file:///srv/signed", key: file("./key.asc"))
  sh "only that" { script = "echo enabled=0 >>/etc/yum.repos.d/local.repo", network = false }
  use dnf.install(["hello"])
  sh "holds" { script = "rpm -q hello && grep -qx 2 /usr/share/hello/version && rpm -q gpg-pubkey", network = false }
}
image refused {
  from = base
  use dnf.repository("unsigned", url: "file:///srv/repo", key: file("./key.asc"))
  sh "only that" { script = "echo enabled=0 >>/etc/yum.repos.d/local.repo", network = false }
  use dnf.install(["hello"])
}
output trust = trusted
output refusal = refused
"#;

/// The archive's own key from a file of the package: apt takes no list that it does not sign.
const KEYED: &str = r#"
image trusted {
  from = base
  use apt.repository("keyed", url: "http://deb.debian.org/debian", suites: ["bookworm-backports"], key: file("./archive.gpg"))
  sh "holds" {
    script = """
      set -eu
      cmp /etc/apt/keyrings/keyed.gpg /usr/share/keyrings/debian-archive-keyring.gpg
      apt-get update -qq -o Dir::Etc::sourcelist=sources.list.d/keyed.sources -o Dir::Etc::sourceparts=-
      ls /var/lib/apt/lists/*backports*InRelease
      """
  }
}
image refused {
  from = base
  use apt.repository("keyed", url: "http://deb.debian.org/debian", suites: ["bookworm-backports"], key: file("./other.gpg"))
  sh "update" { script = "apt-get update -qq -o Dir::Etc::sourcelist=sources.list.d/keyed.sources -o Dir::Etc::sourceparts=-" }
}
output trust = trusted
output refusal = refused
"#;

#[test]
fn machine_debian_examples_do_what_they_say_and_are_idempotent() {
    let Some(bed) = Bed::new() else { return };
    let all = Example::all();
    let examples: Vec<_> = all.iter().filter(|example| example.on.is_empty()).collect();
    let package = bed.package("debian", &program(BASE, "linux(debian)/*", "base", &examples));
    let (ran, second) = bed.apply(&package);
    assert_eq!(ran, examples.len(), "each example ran");
    assert!(second.is_empty(), "what changes the image when it is done again: {second:#?}");

    // On the same base.
    let package = bed.package("seeds", &format!("import std.cloud_init\n\n{BASE}{}", seeds::PROGRAM));
    seeds::write(&package.join("seed"));
    fs::write(package.join("schema.sh"), seeds::SCHEMA).expect("script");
    bed.imgc(&package, &["apply", "--out-dir", "out"]);

    let package = bed.package("keyed", &format!("{BASE}{KEYED}"));
    let keyring = |name: &str| Path::new("/usr/share/keyrings").join(name);
    fs::copy(keyring("debian-archive-keyring.gpg"), package.join("archive.gpg")).expect("the archive's key");
    fs::copy(keyring("debian-archive-removed-keys.gpg"), package.join("other.gpg")).expect("keys of the past");
    bed.imgc(&package, &["apply", "trust"]);
    bed.refuses(&package, "refused/sh \"update\"");
}

#[test]
fn machine_redhat_examples_run_with_dnf_itself() {
    let Some(bed) = Bed::new() else { return };
    let base = bed.package("with-dnf", WITH_DNF);
    fs::write(base.join("repository.sh"), REPOSITORY).expect("script");
    bed.imgc(&base, &["apply", "--out-dir", "out"]);

    let all = Example::all();
    let examples: Vec<_> = all.iter().filter(|example| example.on == "redhat").collect();
    let source = "image base { from = rootfs.oci(file(\"base.tar\"), platform: linux(redhat)/amd64) }\n";
    let package = bed.package("redhat", &program(source, "linux(redhat)/*", "base", &examples));
    fs::rename(base.join("out/base.tar"), package.join("base.tar")).expect("the base");
    let (ran, _) = bed.apply(&package);
    // What dnf remembers of each transaction has the time in it, so that a second one is a change.
    assert_eq!(ran, examples.len(), "each example ran");

    let signed = bed.package("signed", &format!("{source}{SIGNED}"));
    fs::rename(package.join("base.tar"), signed.join("base.tar")).expect("the base");
    fs::copy(base.join("out/key.asc"), signed.join("key.asc")).expect("the key");
    bed.imgc(&signed, &["apply", "trust"]);
    bed.refuses(&signed, "sh \"install\"");
}

/// Debian has no apk, so a stand-in takes its calls down: what is shown is that the recipes' own shell is right under
/// `busybox`, and what they ask of apk; not that apk does it.
const WITH_APK: &str = r##"image base {
  from = rootfs.scratch(platform: linux(alpine)/amd64)
  copy "sh" { src = file("busybox"), dest = "/bin/sh", mode = 0o755 }
  copy "busybox" { src = file("busybox"), dest = "/bin/busybox", mode = 0o755 }
  sh "applets" { script = "/bin/busybox --install -s /bin", network = false }
  write "passwd" { dest = "/etc/passwd", text = "root:x:0:0:root:/root:/bin/sh\n" }
  write "group" { dest = "/etc/group", text = "root:x:0:\n" }
  write "apk" { dest = "/bin/apk", text = "#!/bin/sh\necho \"$@\" >>/apk.log\n", mode = 0o755 }
}
"##;

#[test]
fn machine_alpine_examples_ask_apk_for_the_right_things() {
    let Some(bed) = Bed::new() else { return };
    if !Path::new("/bin/busybox").exists() {
        assert!(std::env::var_os("CI").is_none(), "CI must have busybox-static: see scripts/setup.sh");
        eprintln!("SKIPPED: this machine lacks busybox-static; scripts/setup.sh installs it");
        return;
    }
    let all = Example::all();
    let examples: Vec<_> = all.iter().filter(|example| example.on == "alpine").collect();
    let package = bed.package("alpine", &program(WITH_APK, "linux(alpine)/*", "base", &examples));
    fs::copy("/bin/busybox", package.join("busybox")).expect("busybox");
    let (ran, _) = bed.apply(&package);
    assert_eq!(ran, examples.len(), "each example ran");
}

/// Every example once and twice on a base, each with the check of what it did.
fn program(base: &str, on: &str, from: &str, examples: &[&Example]) -> String {
    let same = "sh \"same\" { script = \"true\", network = false }";
    let images = |number: usize, example: &Example| {
        let name = &example.name;
        // What puts a thing there and takes it away again leaves two layers each time: only the taking away is done again.
        let last = example.last_use();
        let again = if name.ends_with(".remove") { last.to_owned() } else { format!("use e{number}()") };
        let holds = format!(
            "sh \"holds\" {{ script = file(\"checks.sh\"), env = {{ EXAMPLE = \"{name}\" }}, network = false }}"
        );
        format!(
            "image once{number} {{ from = {from}\n use e{number}()\n {same}\n {holds} }}\n\
             image twice{number} {{ from = {from}\n use e{number}()\n {again}\n {same}\n {holds} }}\n"
        )
    };
    let all: Vec<_> = (0..examples.len()).flat_map(|n| [format!("once{n}"), format!("twice{n}")]).collect();
    format!("{}\n{base}\noutput all = [{}]\n", recipes(examples, on, images), all.join(", "))
}

/// A folder with a store of its own.
struct Bed {
    dir: tempfile::TempDir,
}

impl Bed {
    fn new() -> Option<Self> {
        for program in ["mmdebstrap", "slirp4netns"] {
            let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
            if !path.split(':').any(|dir| Path::new(dir).join(program).is_file()) {
                assert!(std::env::var_os("CI").is_none(), "CI must have {program}: see scripts/setup.sh");
                eprintln!("SKIPPED: this machine lacks {program}; scripts/setup.sh installs it");
                return None;
            }
        }
        let dir = tempfile::Builder::new().prefix("imgc-stdlib-").tempdir_in("/var/tmp").expect("a folder");
        Some(Self { dir })
    }

    fn package(&self, name: &str, program: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        fs::create_dir_all(&dir).expect("folder");
        fs::write(dir.join("main.imgc"), program).expect("program");
        fs::write(dir.join("checks.sh"), checks::SCRIPT).expect("checks");
        fs::write(dir.join("app.conf"), "{{name}} listens on {{port}}\n").expect("template");
        dir
    }

    fn command(&self, package: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
        command.args(args).current_dir(package);
        command.env("IMGC_CACHE", self.dir.path().join("cache")).env("XDG_STATE_HOME", self.dir.path().join("state"));
        command
    }

    /// Runs imgc, which must succeed; its standard output.
    fn imgc(&self, package: &Path, args: &[&str]) -> String {
        let output = self.command(package, args).output().expect("imgc");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let last: Vec<_> = told.lines().rev().take(40).collect();
        assert!(
            output.status.success(),
            "imgc {args:?} failed: {}\n{}\n{}",
            output.status,
            last.into_iter().rev().collect::<Vec<_>>().join("\n"),
            String::from_utf8_lossy(&output.stderr)
        );
        told
    }

    /// Builds the output `refusal`, which must fail in this step.
    fn refuses(&self, package: &Path, step: &str) {
        let output = self.command(package, &["apply", "refusal"]).output().expect("imgc");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(step), "{said}");
    }

    /// Builds a program of examples: how many ran, and the numbers of those that change something the second time.
    fn apply(&self, package: &Path) -> (usize, Vec<String>) {
        let told = self.imgc(package, &["apply", "--format", "json", "--keep-going"]);
        let mut held = BTreeSet::new();
        let mut same: BTreeMap<String, u32> = BTreeMap::new();
        for line in told.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("an event a line");
            let address = event["address"].as_str().unwrap_or_default();
            let Some((image, step)) = address.split_once('/') else { continue };
            let number = image.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let finished = event["event"] == "finished";
            if step == "sh \"holds\"" && (finished || event["event"] == "cached") {
                held.insert(image.to_owned());
            }
            if step == "sh \"same\"" && finished {
                *same.entry(number.to_owned()).or_default() += 1;
            }
        }
        let program = fs::read_to_string(package.join("main.imgc")).expect("program");
        let changed = same.into_iter().filter(|(_, times)| *times > 1).map(|(number, _)| {
            let start = program.find(&format!("recipe e{number}()")).unwrap_or_default();
            program[start..].split("\nimage ").next().unwrap_or_default().to_owned()
        });
        (held.len() / 2, changed.collect())
    }
}
