//! Paths that a program writes: relative to their module, inside the package.

/// Why a path cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathFault {
    /// It is empty or has a character that no path may have.
    Malformed,
    /// It begins with `/` or a drive.
    Absolute,
    /// Its `..` lead out of the package.
    Outside,
}

/// The path, relative to the package, of what `written` names in the module at `module`.
pub(crate) fn resolve(module: &str, written: &str) -> Result<String, PathFault> {
    let folder = module.rsplit_once('/').map_or("", |(folder, _)| folder);
    join(folder, written)
}

/// The path of what `written` names below `folder`, with neither `.` nor `..` left in it; empty for the package itself.
pub(crate) fn join(folder: &str, written: &str) -> Result<String, PathFault> {
    if written.is_empty() || written.contains(['\0', '\\', '\n']) {
        return Err(PathFault::Malformed);
    }
    if written.starts_with('/') || written.get(1..2) == Some(":") {
        return Err(PathFault::Absolute);
    }
    // An argument from outside may name an absolute folder.
    let root = if folder.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(PathFault::Outside)?;
            }
            name => parts.push(name),
        }
    }
    Ok(format!("{root}{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::{PathFault, resolve};

    #[test]
    fn stays_in_the_package() {
        assert_eq!(resolve("main.imgc", "./site"), Ok("site".to_owned()));
        assert_eq!(resolve("a/b.imgc", "../site/"), Ok("site".to_owned()));
        assert_eq!(resolve("main.imgc", "../site"), Err(PathFault::Outside));
        assert_eq!(resolve("main.imgc", "/etc"), Err(PathFault::Absolute));
    }
}
