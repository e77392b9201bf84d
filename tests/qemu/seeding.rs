//! A cloud image with a seed: cloud-init of Debian makes the user, takes the key of the build and the secret of the user
//! data; the layers hold no second start of it, and nothing of the secret.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::bed::{must, run};
use crate::guests::{Place, said, skipped, text};
use crate::resuming::{root_partition, unlike_any_other};
use crate::shipping::{canary, holding};

const DISK: &str = r#"
image cloudy {
  from = base
  use apt.install(["cloud-init", "sudo"])
}
let cloud_disk = disk.image(cloudy, size: 2GiB, format: qcow2, boot: uefi)
"#;

const PLAIN: &str = r##"
image plain {
  from = qemu.disk(cloud_disk)
  machine = {
    memory = 768MiB
    firmware = uefi
    login = { user = "builder", timeout = 15m }
    seed = { hostname = "seeded", user_data = "#cloud-config\ntimezone: Europe/Vienna\n" }
  }
  sh "asks" {
    script = """
      : RUN
      cloud-init status --wait >/dev/null || true
      echo "host=$(hostname)"
      echo "zone=$(readlink /etc/localtime)"
      echo "user=$(id -un builder)"
      echo "key=$(grep -c imgc-build /home/builder/.ssh/authorized_keys)"
      """
    timeout = 20m
  }
  sh "again" { script = "echo resumed=$(cat /proc/sys/kernel/random/boot_id)" }
}
output kept_plain = plain
"##;

/// The first step is over long before cloud-init is: the layer waits for it. After the restart cloud-init reads the seed
/// again.
const TOLD: &str = r#"
secret token: String from env("IMGC_TEST_TOKEN")
secret leaked: String from env("IMGC_TEST_LEAK")

image told {
  from = qemu.disk(cloud_disk)
  machine = {
    memory = 768MiB
    firmware = uefi
    login = { user = "builder", timeout = 15m }
    seed = {
      user_data = """
        #cloud-config
        write_files:
        - {path: /run/told, content: '\{token}'}
        runcmd:
        - [sh, -c, 'echo \{token} | wc -c >>/root/ran']
        """
    }
  }
  sh "early" { script = ": RUN; echo early >/root/early" }
  sh "reads" { script = "echo \"length=$(wc -c </run/told) ran=$(cat /root/ran)\"" }
  restart "again" {}
  sh "later" { script = "cloud-init status --wait >/dev/null || true; echo \"later=$(cat /root/ran)\"" timeout = 20m }
  sh "leaks" { script = "printf %s $L >/root/leaked; printf %s $L | base64 >/root/leaked64" env = { L = leaked } }
}
output kept_told = told
"#;

/// What is shipped of the guest: it boots once more for that, from the disk of its last layer, with the same disc.
const SHIPPED: &str = "output shipped = disk.convert(told, format: qcow2)\n";

/// A program on the disk with cloud-init. The store outlives a run: what is said of a step is said when it runs.
fn program(image: &str) -> String {
    format!("{DISK}{}", image.replace("RUN", &unlike_any_other()))
}

#[test]
#[ignore = "installs cloud-init and boots it: make test-long"]
fn machine_a_cloud_image_takes_its_seed() {
    if skipped() {
        return;
    }
    let plain = Place::new(&program(PLAIN)).apply(&["kept_plain"]);
    for (word, value) in
        [("host=", "seeded"), ("zone=", "/usr/share/zoneinfo/Europe/Vienna"), ("user=", "builder"), ("key=", "1")]
    {
        assert_eq!(said(&plain, word), value, "{plain}");
    }
    assert!(!said(&plain, "resumed=").is_empty());
}

#[test]
#[ignore = "installs cloud-init and boots it twice: make test-long"]
fn machine_a_secret_of_a_seed_is_in_no_layer() {
    if skipped() {
        return;
    }
    let program = program(TOLD);
    let place = Place::new(&program);
    let (secret, leak) = (canary("seed"), canary("leak"));
    let apply = |target: &str| {
        let mut apply = place.bed.imgc(&["apply", place.package.to_str().expect("UTF-8"), target]);
        let output = run(apply.env("IMGC_TEST_TOKEN", &secret).env("IMGC_TEST_LEAK", &leak));
        let all = text(&output);
        assert!(output.status.success(), "{all}");
        assert!(!all.contains(&secret), "the secret is told:\n{all}");
        all
    };
    let told = apply("kept_told");
    let length = secret.len();
    assert_eq!(said(&told, "length="), format!("{length} ran={}", length + 1), "{told}");
    assert_eq!(said(&told, "later="), (length + 1).to_string(), "cloud-init ran again after the restart:\n{told}");
    assert_eq!(kept(&place, &secret), BTreeSet::new(), "the secret of the seed was kept");

    // The same search finds what a step left on purpose, as it is and in base64.
    let [plain, coded @ ..] = forms(&leak);
    let leaked = holding(&place, &plain);
    assert!(leaked.iter().any(|path| path.contains("/objects/")), "a leak is not found: {leaked:?}");
    assert!(coded.iter().any(|form| !holding(&place, form).is_empty()), "a leak in base64 is not found");

    place.write(&format!("{program}{SHIPPED}"));
    apply("shipped");
    assert_eq!(kept(&place, &secret), BTreeSet::new(), "the secret of the seed is shipped");
    let raw = place.bed.path("shipped.raw");
    let shipped = place.package.join("out/shipped.qcow2");
    must(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&shipped).arg(&raw));
    for form in forms(&secret) {
        let found = run(Command::new("grep").args(["-qaF", "-e", &form]).arg(&raw));
        assert_eq!(found.status.code(), Some(1), "the shipped disk has the secret: {}", text(&found));
    }
    let ran =
        must(Command::new("debugfs").args(["-R", "cat /root/ran"]).arg(root_partition(&raw)).stderr(Stdio::null()));
    assert_eq!(ran.trim(), (length + 1).to_string(), "cloud-init took the machine for a new one, and ran again");
    assert!(place.running().is_empty(), "a guest is left");
}

/// The files of store, state and output that have a secret, or its base64.
fn kept(place: &Place, secret: &str) -> BTreeSet<String> {
    forms(secret).iter().flat_map(|form| holding(place, form)).collect()
}

/// A text and the parts of its base64 that are the same whatever stands around it: it may begin at each of three places.
fn forms(text: &str) -> [String; 4] {
    let coded = |before: usize, first: usize| {
        let whole = base64(&format!("{}{text}", "x".repeat(before)));
        let sure = (before + text.len()) / 3 * 4;
        whole[first..sure].to_owned()
    };
    [text.to_owned(), coded(0, 0), coded(1, 2), coded(2, 3)]
}

fn base64(text: &str) -> String {
    let mut base64 = Command::new("base64");
    let mut child =
        base64.args(["-w", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("base64 of coreutils");
    child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
    String::from_utf8(child.wait_with_output().expect("its end").stdout).expect("text")
}
