//! Paths whose content differs in each run and matters to nobody.

/// What becomes of a path in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It stays.
    Keep,
    /// It goes.
    Drop,
    /// It stays, without content.
    Empty,
}

/// What becomes of the file at `path` (relative, no slash at either end) in the layer of a step.
pub(crate) fn in_step(path: &[u8]) -> Treatment {
    let Ok(path) = std::str::from_utf8(path) else { return Treatment::Keep };
    let below = |dir: &str| path.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/'));
    let name = path.rsplit('/').next().unwrap_or_default();
    let drop = match path {
        "etc/machine-id" => return Treatment::Empty,
        "var/lib/dbus/machine-id"
        | "var/log/alternatives.log"
        | "var/log/bootstrap.log"
        | "var/log/dpkg.log"
        | "var/cache/ldconfig/aux-cache"
        | "var/lib/systemd/random-seed"
        | "var/lib/systemd/credential.secret"
        | "var/cache/man/index.db" => true,
        _ => {
            below("var/log/apt").is_some()
                || below("var/log/journal").is_some()
                || below("var/cache/apt").is_some_and(|rest| has_ending(rest, &["bin", "deb"]))
                || (below("var/lib/dpkg").is_some_and(|rest| !rest.contains('/')) && name.ends_with("-old"))
                || (below("var/cache/debconf").is_some() && name.ends_with("-old"))
                || (below("var/cache/man").is_some() && name == "index.db")
                || is_host_key(path)
        }
    };
    if drop { Treatment::Drop } else { Treatment::Keep }
}

/// The same for a base tree of Debian packages, whose package lists are of the day it was made.
pub(crate) fn in_debian_base(path: &[u8]) -> Treatment {
    match path.strip_prefix(b"var/lib/apt/lists/") {
        Some(rest) if rest != b"partial" && rest != b"auxfiles" => Treatment::Drop,
        _ => in_step(path),
    }
}

/// The secret identity of one host: an image that carried it would give it to all its machines.
fn is_host_key(path: &str) -> bool {
    let rest = path.strip_prefix("etc/ssh/ssh_host_");
    rest.is_some_and(|rest| rest.ends_with("_key") || rest.ends_with("_key.pub"))
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_each_run_goes() {
        for path in [
            "var/log/apt/history.log",
            "var/log/dpkg.log",
            "var/cache/apt/pkgcache.bin",
            "var/cache/apt/archives/curl_1_amd64.deb",
            "var/lib/dpkg/status-old",
            "etc/ssh/ssh_host_ed25519_key",
        ] {
            assert_eq!(in_step(path.as_bytes()), Treatment::Drop, "{path}");
        }
        assert_eq!(in_step(b"etc/machine-id"), Treatment::Empty);
        for path in ["var/lib/dpkg/status", "var/log/apt", "var/lib/dpkg/info/x-old", "var/lib/apt/lists/a"] {
            assert_eq!(in_step(path.as_bytes()), Treatment::Keep, "{path}");
        }
        assert_eq!(in_debian_base(b"var/lib/apt/lists/a"), Treatment::Drop);
        assert_eq!(in_debian_base(b"var/lib/apt/lists/partial"), Treatment::Keep);
    }
}
