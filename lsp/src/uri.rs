//! What a URI of the client names, and the URI of a file.

use std::path::{Component, Path, PathBuf};

/// The scheme of the standard library's modules.
pub(crate) const STD: &str = "imgc-std";

/// What a URI names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// A file on this machine; absolute, without `.` and `..`.
    File(PathBuf),
    /// A module of the standard library: `std/apt.imgc`.
    Std(String),
    /// A text that has no file, such as a new one; its URI.
    Buffer(String),
}

/// Reads a URI. What is no file and nothing of ours is taken as the name of a buffer.
pub(crate) fn parse(uri: &str) -> Name {
    if let Some(rest) = uri.strip_prefix(STD).and_then(|rest| rest.strip_prefix(':')) {
        return Name::Std(format!("std/{}", decoded(rest.trim_start_matches('/'))));
    }
    let Some(rest) = uri.strip_prefix("file://") else { return Name::Buffer(uri.to_owned()) };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // Only this machine's files can be read: `file:///x` and `file://localhost/x`.
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if path.starts_with('/') { Name::File(plain(Path::new(&decoded(path)))) } else { Name::Buffer(uri.to_owned()) }
}

/// The URI of a file.
pub(crate) fn of_file(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => {
                uri.push('%');
                uri.extend([hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    uri
}

/// The URI of a module of the standard library, as `std/apt.imgc`.
pub(crate) fn of_std(path: &str) -> String {
    format!("{STD}:/{}", path.strip_prefix("std/").unwrap_or(path))
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

/// With `%20` and its like read; what is no escape stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        let byte = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Without `.` and `..`, and without a look at the disk: what the client opened is named as the client names it.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part @ (Component::Prefix(_) | Component::RootDir | Component::Normal(_)) => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_their_uris() {
        let path = Path::new("/a b/ä%/x.imgc");
        assert_eq!(of_file(path), "file:///a%20b/%C3%A4%25/x.imgc");
        assert_eq!(parse(&of_file(path)), Name::File(path.to_path_buf()));
        assert_eq!(parse("file://localhost/a/../b/./c"), Name::File(PathBuf::from("/b/c")));
        assert_eq!(parse("file:///a%zz"), Name::File(PathBuf::from("/a%zz")));
        assert_eq!(parse("file:///a%ä"), Name::File(PathBuf::from("/a%ä")));
    }

    #[test]
    fn other_schemes() {
        assert_eq!(parse("imgc-std:/apt.imgc"), Name::Std("std/apt.imgc".to_owned()));
        assert_eq!(of_std("std/apt.imgc"), "imgc-std:/apt.imgc");
        for uri in ["untitled:Untitled-1", "file://host/share/x", "", "x"] {
            assert_eq!(parse(uri), Name::Buffer(uri.to_owned()));
        }
    }
}
