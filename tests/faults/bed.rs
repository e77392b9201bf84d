//! A package, a store and a state folder of one test, and the look at everything that may be left of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a test works in; removed with all that is in it.
pub(crate) struct Bed {
    dir: tempfile::TempDir,
    /// Where the store is.
    pub(crate) cache: PathBuf,
}

/// How a command ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The last line of `--format json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// How many nodes were found in the store, of an apply that went well.
    pub(crate) fn cached(&self) -> usize {
        usize::try_from(self.json()["cached"].as_u64().expect("the last event of an apply")).expect("a number")
    }
}

/// A program whose image has so many steps, and one archive of it.
pub(crate) fn program(steps: usize) -> String {
    let step = |n: usize| match n % 3 {
        0 => format!("  sh \"step {n}\" {{ script = \"mkdir -p /d{n}; echo {n} > /d{n}/f; ln /d{n}/f /d{n}/g\" }}\n"),
        1 => format!("  sh \"step {n}\" {{ script = \"echo {n} > /f; rm -f /old; echo {n} >> /log\" }}\n"),
        _ => format!("  write \"step {n}\" {{ dest = \"/w{n}\", text = \"{n}\" }}\n"),
    };
    let steps: String = (1..=steps).map(step).collect();
    format!(
        "image box {{\n  from = rootfs.tar(file: file(\"./base.tar\"))\n{steps}}}\noutput archive = oci.archive(box)\n"
    )
}

impl Bed {
    /// A package with this program; nothing was built yet.
    pub(crate) fn new(program: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("imgc-faults-").tempdir_in("/var/tmp").expect("a folder in /var/tmp");
        let cache = dir.path().join("cache");
        let bed = Self { dir, cache };
        for sub in ["state", "home", "tmp", "package"] {
            fs::create_dir(bed.path(sub)).expect("folder");
        }
        fs::copy(base(), bed.path("package/base.tar")).expect("base");
        fs::write(bed.path("package/main.imgc"), program).expect("program");
        bed
    }

    /// A path in the folder.
    pub(crate) fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    /// As it was before anything was built.
    pub(crate) fn reset(&self) {
        for dir in [&self.cache, &self.path("state"), &self.path("package/out")] {
            remove(dir);
        }
        let _ = fs::remove_file(self.path("package/imgc.lock"));
        fs::create_dir(self.path("state")).expect("folder");
    }

    /// `imgc …` in the package.
    pub(crate) fn imgc(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
        command
            .args(args)
            .current_dir(self.path("package"))
            .env("IMGC_CACHE", &self.cache)
            .env("XDG_STATE_HOME", self.path("state"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env_remove("XDG_CACHE_HOME")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs `imgc …` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        Said::of(&self.imgc(args).output().expect("imgc"))
    }

    /// Runs `imgc …`, which must succeed.
    pub(crate) fn must(&self, args: &[&str]) -> Said {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "imgc {args:?}:\n{}{}", said.out, said.err);
        said
    }

    /// `imgc apply`, which must succeed.
    pub(crate) fn apply(&self) -> Said {
        self.must(&["apply", "--format", "json"])
    }

    /// The bytes of the archive.
    pub(crate) fn archive(&self) -> Vec<u8> {
        fs::read(self.path("package/out/archive.tar")).expect("out/archive.tar")
    }

    /// What of this bed is on the machine and should not be, once all that is on its way out is gone.
    pub(crate) fn nothing_is_left(&self, what: &str) {
        let start = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{what}: left: {left:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What there is of it just now.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = Vec::new();
        for dir in [self.cache.join("scratch"), self.path("tmp")] {
            left.extend(entries(&dir).iter().map(|path| path.display().to_string()));
        }
        let keep = ["users", "index"].map(|name| self.cache.join("locks").join(name));
        left.extend(
            entries(&self.cache.join("locks")).iter().filter(|p| !keep.contains(p)).map(|p| p.display().to_string()),
        );
        let mut temporary = Vec::new();
        for dir in [&self.cache, &self.path("package"), &self.path("state")] {
            walk(dir, &mut |path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name.contains(".tmp") || name.starts_with(".imgc") || name.starts_with("index.new") {
                    temporary.push(path.display().to_string());
                }
            });
        }
        left.extend(temporary);
        left.extend(self.processes_and_mounts());
        // Tests of other kinds may have locks there.
        let is_ours = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.contains("imgc") && !name.contains("-test")
        };
        let run = entries(Path::new("/run"));
        let below = run.iter().filter(|path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir()));
        let below: Vec<PathBuf> = below.flat_map(|path| entries(path)).collect();
        left.extend(run.iter().chain(&below).filter(|path| is_ours(path)).map(|path| path.display().to_string()));
        left
    }

    /// Every process of this bed, and every mount of it in any namespace. What imgc starts has the marker of its run in
    /// its environment, or the bed's folder in its environment or command line; steps have the folder in their mounts.
    pub(crate) fn processes_and_mounts(&self) -> Vec<String> {
        let dir = self.dir.path().to_str().expect("UTF-8");
        let marks: Vec<String> = self.runs().iter().map(|run| format!("IMGC_RUN={run}")).collect();
        let mut found = Vec::new();
        let mut namespaces = BTreeSet::new();
        for process in entries(Path::new("/proc")) {
            let pid = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            // A thread may have a namespace of its own; what is mounted is told as it is seen below its root.
            for thread in entries(&process.join("task")) {
                let [Ok(namespace), Ok(root)] = ["ns/mnt", "root"].map(|link| fs::read_link(thread.join(link))) else {
                    continue;
                };
                if namespaces.insert((namespace, root)) {
                    let mounts = fs::read_to_string(thread.join("mountinfo")).unwrap_or_default();
                    let ours = mounts.lines().filter(|line| line.contains(dir) && !self.is_disk(line));
                    found.extend(ours.map(|line| format!("mount of {pid}: {line}")));
                }
            }
            let [environment, command] = ["environ", "cmdline"].map(|file| {
                let text = fs::read(process.join(file)).unwrap_or_default();
                String::from_utf8_lossy(&text).into_owned()
            });
            let is_marked = environment.split('\0').any(|variable| marks.iter().any(|mark| mark == variable));
            let is_self = pid == std::process::id().to_string();
            if !is_self && (is_marked || environment.contains(dir) || command.contains(dir)) {
                found.push(format!("process {pid}: {}", command.replace('\0', " ")));
            }
        }
        found
    }

    /// The ids of all runs since the last reset.
    pub(crate) fn runs(&self) -> Vec<String> {
        let runs = entries(&self.path("state/imgc/runs"));
        runs.iter().filter_map(|run| Some(run.file_name()?.to_str()?.to_owned())).collect()
    }

    /// Whether a mount is the disk that a test put its store on.
    fn is_disk(&self, line: &str) -> bool {
        line.split(' ').nth(4) == self.path("disk").to_str()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        remove(&self.path("package"));
        remove(&self.cache);
    }
}

/// A tar archive with a busybox and the names by which steps call it.
fn base() -> PathBuf {
    static MADE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let tar = tmp.join(format!("faults-base-{}.tar", std::process::id()));
        let dir = tempfile::tempdir_in(&tmp).expect("folder");
        for sub in ["bin", "tmp", "etc"] {
            fs::create_dir(dir.path().join(sub)).expect("folder");
        }
        fs::copy("/bin/busybox", dir.path().join("bin/busybox")).expect("busybox-static");
        for name in ["sh", "mkdir", "ln", "rm", "cat", "sleep", "echo", "env", "dd", "seq"] {
            std::os::unix::fs::symlink("busybox", dir.path().join("bin").join(name)).expect("link");
        }
        let status = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(dir.path()).arg(".").status().expect("tar");
        assert!(status.success());
        tar
    })
    .clone()
}

/// What is in a folder; nothing where there is none.
pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Calls `see` for everything below a folder.
pub(crate) fn walk(dir: &Path, see: &mut dyn FnMut(&Path)) {
    for path in entries(dir) {
        see(&path);
        if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            walk(&path, see);
        }
    }
}

/// Removes a tree whatever the modes in it are; several attempts, as keepers may be removing it too.
pub(crate) fn remove(dir: &Path) {
    for _ in 0..50 {
        walk(dir, &mut |path| {
            if path.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.permissions().mode() & 0o700 != 0o700) {
                let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
            }
        });
        if fs::remove_dir_all(dir).is_ok() || !dir.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether images can be built here. Says so where not; CI demands it.
pub(crate) fn builds() -> bool {
    let entered = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    entered || lacking("the right to make mount namespaces")
}

/// Ends the test where something is missing: a failure in CI, a loud skip elsewhere; never what was asked.
pub(crate) fn lacking(what: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "CI must have {what}: see scripts/setup.sh");
    eprintln!("SKIPPED: this machine lacks {what}");
    false
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').any(|dir| Path::new(dir).join(program).is_file()) || lacking(program)
}

/// The names of all fail points in the sources.
pub(crate) fn points_in_sources() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ is in the repository").to_owned();
    let mut found = BTreeSet::new();
    for folder in ["runtime", "cli"] {
        walk(&root.join(folder), &mut |path| {
            if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap_or_default();
                for part in text.split("fail_point!(\"").skip(1) {
                    found.extend(part.split('"').next().map(str::to_owned));
                }
            }
        });
    }
    found
}

/// Small random numbers, the same ones for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// One of them, of which there must be one.
    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).expect("an index")]
    }
}
