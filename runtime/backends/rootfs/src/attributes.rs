//! Extended attributes: which of them layers keep, in which form.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lremovexattr, lsetxattr};
use rustix::io::Errno;

const CAPABILITY: &str = "security.capability";

/// The name of the attribute that marks opaque directories here.
pub(crate) fn opaque_name() -> &'static str {
    if crate::in_user_namespace() { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

/// Whether a directory hides what is below it in the layers.
pub(crate) fn is_opaque(dir: &Path) -> io::Result<bool> {
    Ok(value(dir, opaque_name())?.is_some_and(|value| value == b"y"))
}

/// Marks a directory as opaque, or takes the mark away.
pub(crate) fn set_opaque(dir: &Path, opaque: bool) -> io::Result<()> {
    if opaque {
        return Ok(lsetxattr(dir, opaque_name(), b"y", XattrFlags::empty())?);
    }
    match lremovexattr(dir, opaque_name()) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The attributes of a file that layers keep: capabilities, the users' own, access lists.
pub(crate) fn kept(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut kept = BTreeMap::new();
    for name in names(path)? {
        if is_kept(&name)
            && let Some(value) = value(path, &name)?
        {
            let value = if name == CAPABILITY { of_first_namespace(value) } else { value };
            kept.insert(name, value);
        }
    }
    Ok(kept)
}

/// Gives a file exactly these attributes, as far as layers keep them.
pub(crate) fn set(path: &Path, attributes: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for (name, value) in attributes {
        lsetxattr(path, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

fn is_kept(name: &str) -> bool {
    let access_list = matches!(name, "system.posix_acl_access" | "system.posix_acl_default");
    name == CAPABILITY || access_list || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut buffer = vec![0; 1024];
    let length = loop {
        match llistxattr(path, buffer.as_mut_slice()) {
            Ok(length) => break length,
            Err(Errno::RANGE) => buffer.resize(buffer.len() * 4, 0),
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    };
    let names = buffer.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    Ok(names.filter(|name| !name.is_empty()).filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
}

fn value(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 256];
    loop {
        match lgetxattr(path, name, buffer.as_mut_slice()) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(Errno::RANGE) => buffer.resize(buffer.len() * 4, 0),
            Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Capabilities set in a user namespace carry its root's id (version 3 of the format); layers hold version 2, so that
/// they are the same whoever built them.
fn of_first_namespace(mut value: Vec<u8>) -> Vec<u8> {
    const VERSION_2: u8 = 2;
    const LENGTH_2: usize = 20;
    if value.len() == LENGTH_2 + 4 && value.get(3) == Some(&3) {
        value.truncate(LENGTH_2);
        if let Some(version) = value.get_mut(3) {
            *version = VERSION_2;
        }
    }
    value
}
