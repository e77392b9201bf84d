//! A cloud image with a seed: cloud-init of Debian makes the user, takes the key of the build and the secret of the user
//! data; the layers hold no second start of it.

use std::process::Command;

use crate::bed::run;
use crate::guests::{Place, said, skipped, text};
use crate::resuming::unlike_any_other;

const PROGRAM: &str = r##"
secret token: String from env("IMGC_TEST_TOKEN")

image cloudy {
  from = base
  use apt.install(["cloud-init", "sudo"])
}
let cloud_disk = disk.image(cloudy, size: 2GiB, format: qcow2, boot: uefi)

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

image told {
  from = qemu.disk(cloud_disk)
  machine = {
    memory = 768MiB
    firmware = uefi
    login = { user = "builder", timeout = 15m }
    seed = { user_data = "#cloud-config\nwrite_files:\n- {path: /run/told, content: '\{token}'}\n" }
  }
  sh "reads" {
    script = """
      : RUN
      cloud-init status --wait >/dev/null || true
      echo "length=$(wc -c </run/told)"
      """
    timeout = 20m
  }
}
output kept_told = told
"##;

#[test]
#[ignore = "installs cloud-init and boots it twice: make test-long"]
fn machine_a_cloud_image_takes_its_seed() {
    if skipped() {
        return;
    }
    // The store outlives a run: what is said of a step is said when it runs.
    let place = Place::new(&PROGRAM.replace("RUN", &unlike_any_other()));
    let secret = "s3cret-of-the-seed";
    let apply = |target: &str| {
        let mut apply = place.bed.imgc(&["apply", place.package.to_str().expect("UTF-8"), target]);
        let output = run(apply.env("IMGC_TEST_TOKEN", secret));
        let all = text(&output);
        assert!(output.status.success(), "{all}");
        all
    };
    let plain = apply("kept_plain");
    for (word, value) in
        [("host=", "seeded"), ("zone=", "/usr/share/zoneinfo/Europe/Vienna"), ("user=", "builder"), ("key=", "1")]
    {
        assert_eq!(said(&plain, word), value, "{plain}");
    }
    assert!(!said(&plain, "resumed=").is_empty());

    let told = apply("kept_told");
    assert_eq!(said(&told, "length="), secret.len().to_string(), "{told}");
    assert!(!told.contains(secret), "the secret is told:\n{told}");
    let memory = std::fs::read_dir(place.bed.path("cache").join("memory")).expect("memory parts");
    for part in memory.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let found = run(Command::new("grep").args(["-rlaF", secret]).arg(&part));
        assert_eq!(found.status.code(), Some(1), "{} has the secret: {}", part.display(), text(&found));
    }
    assert!(place.running().is_empty(), "a guest is left");
}
