//! The package that is mutated: images of one step each, so that the tree after every step can be exported.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// A step, the image that it alone makes, what that stands on, and the output that exports it.
pub(crate) struct Step {
    pub(crate) address: &'static str,
    pub(crate) image: &'static str,
    pub(crate) on: Option<&'static str>,
    pub(crate) output: &'static str,
}

pub(crate) const fn step(
    address: &'static str,
    image: &'static str,
    on: Option<&'static str>,
    output: &'static str,
) -> Step {
    Step { address, image, on, output }
}

/// All steps, each after the one it stands on.
pub(crate) const STEPS: &[Step] = &[
    step("base/from", "base", None, "x_base"),
    step("one/sh \"one\"", "one", Some("base"), "x_one"),
    step("site/copy \"site\"", "site", Some("one"), "x_site"),
    step("motd/copy \"motd\"", "motd", Some("site"), "x_motd"),
    step("conf/write \"conf\"", "conf", Some("motd"), "x_conf"),
    step("sum/sh \"sum\"", "sum", Some("conf"), "x_sum"),
    step("last/sh \"last\"", "last", Some("sum"), "x_last"),
    step("side/sh \"side\"", "side", Some("site"), "x_side"),
];

const PROGRAM: &str = r#"secret token: String from env("ORACLE_TOKEN") version "v1"

image base { from = rootfs.tar(file: file("./base.tar")) }

image one {
  from = base
  sh "one" {
    script = """
      # one
      echo "$A" > /one
      """
    env = { "A" => "1" }
    network = false
  }
}

image site {
  from = one
  copy "site" { src = dir("./site"), dest = "/site" }
}

image motd {
  from = site
  copy "motd" { src = file("./motd"), dest = "/etc/motd" }
}

image conf {
  from = motd
  write "conf" { dest = "/etc/conf", text = "a\n", mode = 0o644 }
}

image sum {
  from = conf
  sh "sum" {
    script = "cat /etc/conf /site/p* > /sum"
    env = { "TOKEN" => token }
    network = false
  }
}

image last {
  from = sum
  sh "last" { script = "echo last > /last" }
}

image side {
  from = site
  sh "side" { script = "cat /one > /side", network = false }
}

output x_base = oci.archive(base)
output x_one = oci.archive(one)
output x_site = oci.archive(site)
output x_motd = oci.archive(motd)
output x_conf = oci.archive(conf)
output x_sum = oci.archive(sum)
output x_last = oci.archive(last)
output x_side = oci.archive(side)
"#;

/// What stands at a path of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    File(Vec<u8>, u32),
    Link(String),
}

/// All files of the package by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package(pub(crate) BTreeMap<String, Entry>);

impl Package {
    /// The package that is mutated; `scratch` is a folder for making it.
    pub(crate) fn base(scratch: &Path) -> Self {
        let mut package = Self(BTreeMap::new());
        package.put("main.imgc", PROGRAM.as_bytes(), 0o644);
        package.put("base.tar", &base_tar(scratch, "base"), 0o644);
        package.put("motd", b"hello\nworld\n", 0o644);
        for k in 0..10 {
            package.put(&format!("site/p{k}"), format!("page {k}\nline\n").as_bytes(), 0o644);
        }
        package.0.insert("site/link".to_owned(), Entry::Link("p0".to_owned()));
        package
    }

    pub(crate) fn put(&mut self, path: &str, content: &[u8], mode: u32) {
        self.0.insert(path.to_owned(), Entry::File(content.to_vec(), mode));
    }

    /// Replaces a text of the program, which must be there.
    pub(crate) fn edit(&mut self, from: &str, to: &str) {
        self.edit_file("main.imgc", from, to);
    }

    /// Replaces a text of a file, which must be there.
    pub(crate) fn edit_file(&mut self, file: &str, from: &str, to: &str) {
        let Some(Entry::File(text, _)) = self.0.get_mut(file) else { panic!("no {file}") };
        let old = String::from_utf8_lossy(text).into_owned();
        assert!(old.contains(from), "`{from}` is not in {file}: {old}");
        *text = old.replacen(from, to, 1).into_bytes();
    }

    /// Puts the package on the disk, and removes what is there besides of its own kind.
    pub(crate) fn write(&self, dir: &Path) {
        let _ = fs::remove_dir_all(dir.join("site"));
        let _ = fs::remove_file(dir.join("imgc.toml"));
        fs::create_dir_all(dir.join("site")).expect("folder");
        for (path, entry) in &self.0 {
            let at = dir.join(path);
            fs::create_dir_all(at.parent().expect("a parent")).expect("folder");
            match entry {
                Entry::File(content, mode) => {
                    if fs::read(&at).ok().as_deref() != Some(content) {
                        fs::write(&at, content).expect("file");
                    }
                    fs::set_permissions(&at, fs::Permissions::from_mode(*mode)).expect("mode");
                }
                Entry::Link(target) => std::os::unix::fs::symlink(target, &at).expect("link"),
            }
        }
    }
}

/// A root file system of busybox alone, with this text in it.
pub(crate) fn base_tar(scratch: &Path, text: &str) -> Vec<u8> {
    let root = scratch.join("root");
    let _ = fs::remove_dir_all(&root);
    for folder in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(folder)).expect("folder");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox");
    for tool in ["sh", "cat", "echo"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(tool)).expect("link");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n").expect("passwd");
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n").expect("group");
    fs::write(root.join("etc/base"), text).expect("base");
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-c", "."]).current_dir(&root);
    let output = tar.output().expect("tar");
    assert!(output.status.success());
    output.stdout
}
