//! The container of `site` in engines that are not ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bed::{Running, as_root, has, is_root, lacking, must, run, shared, within};

/// A network namespace with a loopback, gone with the value.
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("imgc-{name}-{}", std::process::id());
        must(as_root("ip").args(["netns", "add", &name]));
        let made = Self(name);
        must(made.enter("ip").args(["link", "set", "lo", "up"]));
        made
    }

    /// A command in the namespace. Not `ip netns exec`: that hides the control groups an engine needs.
    pub(crate) fn enter(&self, program: &str) -> Command {
        let mut command = as_root("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.0)).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = as_root("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A Docker engine of our own in a network namespace of its own, so that no bridge or rule is shared with another.
pub(crate) struct Docker {
    daemon: Option<Running>,
    dir: PathBuf,
    pub(crate) net: Namespace,
}

impl Docker {
    pub(crate) fn start() -> Self {
        let net = Namespace::new("docker");
        let dir = PathBuf::from(format!("/var/tmp/imgc-docker-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("folder");
        let log = std::fs::File::create(dir.join("log")).expect("log");
        let daemon = net
            .enter("dockerd")
            .arg(format!("--data-root={}/data", dir.display()))
            .arg(format!("--exec-root={}/exec", dir.display()))
            .arg(format!("--pidfile={}/pid", dir.display()))
            .arg(format!("--host=unix://{}/sock", dir.display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("dockerd");
        let docker = Self { daemon: Some(Running(daemon)), dir, net };
        within(Duration::from_secs(60), "dockerd answers", || {
            run(docker.client().arg("version")).status.success().then_some(())
        });
        docker
    }

    /// The client, with whatever is to be done added to it.
    pub(crate) fn client(&self) -> Command {
        let mut command = as_root("docker");
        command.arg("-H").arg(format!("unix://{}/sock", self.dir.display()));
        command
    }

    /// `docker load`; the name of what was loaded.
    pub(crate) fn load(&self, archive: &Path) -> String {
        let said = must(self.client().arg("load").arg("-i").arg(archive));
        said.lines()
            .find_map(|l| l.strip_prefix("Loaded image: ").or_else(|| l.strip_prefix("Loaded image ID: ")))
            .unwrap_or_else(|| panic!("docker load said: {said}"))
            .to_owned()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.dir.join("pid")).unwrap_or_default();
        if !pid.trim().is_empty() {
            let _ = as_root("kill").arg(pid.trim()).status();
        }
        if let Some(mut daemon) = self.daemon.take() {
            for _ in 0..100 {
                if daemon.0.try_wait().ok().flatten().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        let _ = as_root("rm").arg("-rf").arg(&self.dir).status();
    }
}

/// The archive of examples/site.
fn site() -> (crate::bed::Bed, PathBuf) {
    let bed = shared();
    let package = bed.example("site");
    bed.apply(&package, &[]);
    let archive = std::fs::read_dir(package.join("out"))
        .expect("out")
        .map(|e| e.expect("entry").path())
        .find(|p| p.extension().is_some_and(|e| e == "tar"))
        .expect("an archive");
    (bed, archive)
}

#[test]
fn docker_loads_and_serves_the_site() {
    if !has("dockerd") && lacking("dockerd (package docker.io)") {
        return;
    }
    let (_bed, archive) = site();
    let docker = Docker::start();
    let image = docker.load(&archive);
    must(docker.client().args(["run", "-d", "--name", "site", "-p", "127.0.0.1:8080:80", &image]));
    let page = within(Duration::from_secs(60), "the site answers", || {
        let answer = run(docker.net.enter("curl").args(["-fsS", "-m", "5", "http://127.0.0.1:8080/"]));
        answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
    });
    assert!(page.contains("Hello"), "{page}");
    let exposed = must(docker.client().args(["image", "inspect", "-f", "{{json .Config.ExposedPorts}}", &image]));
    assert_eq!(exposed.trim(), "{\"80/tcp\":{}}");
    must(docker.client().args(["rm", "-f", "site"]));
}

#[test]
fn skopeo_and_podman_take_the_site() {
    for program in ["skopeo", "podman", "runc"] {
        if !has(program) && lacking(program) {
            return;
        }
    }
    let (bed, archive) = site();
    let file = archive.to_str().expect("UTF-8");
    for transport in ["oci-archive", "docker-archive"] {
        let text = must(Command::new("skopeo").args(["inspect", &format!("{transport}:{file}")]));
        let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(found["Os"], "linux", "{transport}");
        assert_eq!(found["Architecture"], "amd64", "{transport}");
    }
    if !is_root() {
        eprintln!("SKIPPED: podman as root");
        return;
    }
    let root = bed.path("tmp/podman");
    let podman = |args: &[&str]| {
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(root.join("root"))
            .arg("--runroot")
            .arg(root.join("run"))
            .args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs"])
            .args(args);
        command
    };
    let said = must(&mut podman(&["load", "-q", "-i", file]));
    let image = said.trim().trim_start_matches("Loaded image: ").trim_start_matches("Loaded image(s): ").to_owned();
    let page = must(&mut podman(&[
        "run",
        "--rm",
        // What an engine takes by default may be more than this machine allows.
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
        "--network",
        "none",
        "--entrypoint",
        "/bin/cat",
        &image,
        "/var/www/html/index.html",
    ]));
    assert!(page.contains("Hello"), "{page}");
}
