//! A package with a store of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Scratch folders for one test; gone when it ends.
pub(crate) struct Bed {
    dir: tempfile::TempDir,
}

/// How a command ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bed {
    /// A package whose `main.imgc` is `program`.
    pub(crate) fn new(program: &str) -> Self {
        let bed = Self { dir: tempfile::tempdir().expect("folder") };
        fs::create_dir(bed.package()).expect("folder");
        bed.write("main.imgc", program);
        bed
    }

    /// The package's folder.
    pub(crate) fn package(&self) -> PathBuf {
        self.dir.path().join("package")
    }

    /// A file of the package.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.package().join(name)
    }

    /// Writes a file of the package.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, text).expect("file");
    }

    /// `imgc …` in the package.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
        command
            .args(args)
            .current_dir(self.package())
            .env("IMGC_CACHE", self.dir.path().join("cache"))
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("NO_COLOR", "1")
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        command
    }

    /// Runs `imgc …` in the package.
    pub(crate) fn imgc(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).output().expect("imgc"))
    }

    /// Runs `imgc …`, which must succeed; its standard output.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let said = self.imgc(args);
        assert_eq!(said.code, Some(0), "imgc {args:?}:\n{}{}", said.out, said.err);
        said.out
    }

    /// Waits until a change of a file can be told from its times: nothing read before may be trusted else.
    pub(crate) fn settle() {
        std::thread::sleep(Duration::from_millis(40));
    }

    /// What `out/SHA256SUMS` says.
    pub(crate) fn sums(&self) -> String {
        fs::read_to_string(self.path("out/SHA256SUMS")).expect("out/SHA256SUMS")
    }

    /// How many runs left a directory, which an apply that takes the fast path does not.
    pub(crate) fn runs(&self) -> usize {
        fs::read_dir(self.dir.path().join("state/imgc/runs")).map_or(0, Iterator::count)
    }
}

impl Said {
    /// From a finished process.
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Must have ended with this code and said all of this on standard error.
    pub(crate) fn fails(&self, code: i32, expected: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for text in expected {
            assert!(self.err.contains(text), "`{text}` is missing in:\n{}", self.err);
        }
        assert!(!self.err.contains("panicked") && !self.err.contains("internal error"), "{}", self.err);
    }
}

/// Whether steps and trees can be handled here: mounts are needed. Says so where not; CI demands it.
pub(crate) fn builds() -> bool {
    let entered = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !entered {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to make mount namespaces");
        eprintln!("SKIPPED: cannot make mount namespaces here");
    }
    entered
}

/// A copy of a tree that changes nothing but what the test changes.
pub(crate) fn touch(path: &Path) {
    let file = fs::OpenOptions::new().append(true).open(path).expect("file");
    file.set_modified(std::time::SystemTime::now()).expect("time");
}
