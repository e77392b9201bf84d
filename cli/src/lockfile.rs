//! `imgc.lock` on disk.

use std::path::Path;

use imgc_plan::Lockfile;
use imgc_plan::lock::LOCK_VERSION;
use imgc_store::place::{Durable, write_file};

use crate::exit::Failure;

/// The name of the file, beside `main.imgc`.
pub(crate) const LOCK: &str = "imgc.lock";
const HEADER: &str = "# Written by imgc: what sources are pinned to. `imgc update` changes it.\n\n";

/// Reads the lock of a package; a missing file is an empty lock.
///
/// # Errors
/// A file that does not hold, or that a newer imgc wrote.
pub(crate) fn read(root: &Path) -> Result<Lockfile, Failure> {
    let text = match std::fs::read_to_string(root.join(LOCK)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Lockfile { version: LOCK_VERSION, ..Lockfile::default() });
        }
        Err(error) => return Err(Failure::program(format!("cannot read `{LOCK}`")).because(&error)),
    };
    let wrong = |error: toml::de::Error| {
        Failure::program(format!("`{LOCK}` does not hold: {}", error.to_string().trim_end()))
            .help("restore it from version control, or remove it to lock every source anew")
    };
    let table: toml::Table = toml::from_str(&text).map_err(wrong)?;
    let version = table.get("version").and_then(toml::Value::as_integer).unwrap_or(0);
    if version > i64::from(LOCK_VERSION) {
        return Err(Failure::program(format!(
            "`{LOCK}` has version {version}, this imgc knows version {LOCK_VERSION}; it was left as it is"
        ))
        .help("use the imgc that wrote it, or a newer one"));
    }
    toml::from_str(&text).map_err(wrong)
}

/// Writes the lock of a package, so that a reader sees either the old or the new one.
pub(crate) fn write(root: &Path, lock: &Lockfile) -> Result<(), Failure> {
    let lock = Lockfile { version: LOCK_VERSION, ..lock.clone() };
    let text =
        toml::to_string_pretty(&lock).map_err(|error| Failure::internal(format!("cannot write a lock: {error}")))?;
    write_whole(&root.join(LOCK), format!("{HEADER}{text}").as_bytes())
}

/// Writes a file under a temporary name beside its place, makes it durable and moves it there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let path = &std::path::absolute(path).map_err(Failure::io("cannot find the current directory"))?;
    write_file(path, bytes, Durable::Now).map_err(|error| {
        let failure = Failure::environment(format!("cannot write `{}`", path.display()));
        match std::error::Error::source(&error) {
            Some(source) => failure.because(source),
            None => failure,
        }
    })
}

#[cfg(test)]
mod tests {
    use imgc_plan::Locked;
    use imgc_plan::lock::Pin;

    use super::*;

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let locked = Locked {
            name: "debian:bookworm".to_owned(),
            kind: "rootfs.debian".to_owned(),
            epoch: 1_700_000_000,
            archives: vec!["aa".to_owned()],
            pins: [("packages".to_owned(), Pin::List(vec!["a=1=bb".to_owned()]))].into(),
        };
        let lock = Lockfile { version: LOCK_VERSION, sources: [("key".to_owned(), locked)].into() };
        write(dir.path(), &lock).unwrap();
        assert_eq!(read(dir.path()).unwrap(), lock);
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["imgc.lock"]);
    }

    #[test]
    fn a_lock_of_a_newer_imgc_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(LOCK), "version = 99\nnew = [1]\n").unwrap();
        let failure = read(dir.path()).unwrap_err();
        assert!(failure.message.contains("version 99"), "{failure:?}");
    }
}
