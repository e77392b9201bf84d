//! What the standard library and the runtime write for cloud-init is looked at by cloud-init itself: its own schema
//! refuses what it would pass over or stumble on.

use std::fs;
use std::path::Path;

use imgc_guest::seed::{Seed, SeedLogin};

/// Every field of the library's record with a value that is not its default, and texts that ask for quoting.
pub(crate) const PROGRAM: &str = r#"
let config: cloud_init.CloudConfig = {
  hostname = "web-1"
  timezone = "Europe/Vienna"
  users = [
    { name = "ada", keys = ["ssh-ed25519 AAAA ada"], groups = ["adm", "sudo"], shell = "/bin/sh", sudo = true },
    { name = "robot" },
  ]
  password_logins = true
  upgrade = true
  packages = ["jq"]
  files = [{
    path = "/etc/motd"
    text = "\u{1b}[1msay \"hi\" to\u{7f}: [all] #1\\\n\t{it's}\u{9b}\u{d}\n"
    mode = 0o600
    owner = "ada:adm"
  }]
  run = [["systemctl", "restart", "nginx"], ["echo", "it's: {done}"]]
  grow = false
}

image seeds {
  from = base
  use cloud_init.no_cloud(config, instance: "i-1")
  use cloud_init.settings("no-network", "network: {config: disabled}\n")
  use cloud_init.sources(["NoCloud", "None"])
  copy "seed" { src = dir("./seed"), dest = "/srv/seed" }
  write "least" { dest = "/srv/seed/least", text = cloud_init.user_data({}) }
  sh "schema" { script = file("schema.sh"), network = false }
}

output o = seeds
"#;

/// The control is a mode that no schema knows.
pub(crate) const SCHEMA: &str = r#"
set -eu
takes() { cloud-init schema --config-file "$1" >/tmp/said 2>&1 && grep -q '^Valid cloud-config' /tmp/said; }
cd /var/lib/cloud/seed/nocloud
for file in user-data /srv/seed/*; do
  takes "$file" || { echo "cloud-init refuses $file:" >&2; cat /tmp/said "$file" >&2; exit 1; }
done
sed 's/"mode": "off"/"mode": "of"/' user-data >/tmp/wrong
if cmp -s user-data /tmp/wrong || takes /tmp/wrong; then echo "the schema refuses nothing" >&2; exit 1; fi
python3 - <<'END'
import glob, json, yaml
import cloudinit.config

def read(path):
    with open(path) as file:
        return yaml.safe_load(file)

user = read("user-data")
entry = user["write_files"][0]
assert entry["content"] == '\x1b[1msay "hi" to\x7f: [all] #1\\\n\t{it\'s}\x9b\r\n', entry
assert entry["permissions"] == "0600", entry
assert user["runcmd"][1] == ["echo", "it's: {done}"], user
assert read("meta-data") == {"instance-id": "i-1", "local-hostname": "web-1"}
assert read("/etc/cloud/cloud.cfg.d/95-no-network.cfg") == {"network": {"config": "disabled"}}
assert read("/etc/cloud/cloud.cfg.d/90-imgc-sources.cfg") == {"datasource_list": ["NoCloud", "None"]}

# Keys that no module of cloud-init reads are no error to its schema.
place = cloudinit.config.__path__[0] + "/schemas/schema-cloud-config-v1.json"
with open(place) as file:
    parts = json.load(file)["$defs"].values()
known = {key for part in parts for key in part.get("properties", {})}
for path in ["user-data", *glob.glob("/srv/seed/*")]:
    unknown = set(read(path)) - known
    assert not unknown, (path, unknown)
END
"#;

/// Writes what the runtime puts on the disc of a seed: what it says to cloud-init beside the user's own data.
pub(crate) fn write(folder: &Path) {
    fs::create_dir_all(folder).expect("folder");
    for user in ["root", "admin"] {
        let login = SeedLogin { user: user.to_owned(), public_key: "ssh-ed25519 AAAA".to_owned() };
        let seed = Seed {
            instance: "i-1".to_owned(),
            hostname: Some("web-1".to_owned()),
            // The default of the record.
            user_data: "#cloud-config\n{}\n".to_owned().into(),
            network: None,
            login: Some(login),
        };
        for file in seed.files().expect("a seed") {
            if file.name != "meta-data" {
                fs::write(folder.join(format!("{user}-{}", file.name)), &*file.content).expect("a file of the seed");
            }
        }
    }
}
