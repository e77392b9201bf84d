//! `rootfs.debian`: a Debian system of packages, made by mmdebstrap out of exactly the locked versions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_backend::{BackendError, Cx, ImageConfig, Layer, LayerId};
use imgc_plan::lock::Pin;
use imgc_plan::{Locked, Node, Platform, Sha256};
use imgc_store::Store;
use serde::{Deserialize, Serialize};

use super::packages::{Versions, add_available, date, installed, solution};
use super::{KEYRING, parse};
use crate::backend::NAME;
use crate::below::Below;
use crate::capture::{Rules, capture};
use crate::protocol::Overlay;
use crate::space::Space;
use crate::{errors, tool, volatile};

/// The archive that images name, whatever mirror they are built from.
const ARCHIVE: &str = "http://deb.debian.org/debian";

/// Names of pins in the lock.
const PACKAGES: &str = "packages";

/// Suites that have neither updates nor a security archive.
const ALONE: [&str; 4] = ["sid", "unstable", "experimental", "rc-buggy"];

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DebianArgs {
    suite: String,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default = "super::debian_amd64")]
    platform: Platform,
}

/// One suite of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Suite {
    /// What images name.
    archive: String,
    /// Where it is fetched from.
    mirror: String,
    name: String,
}

impl DebianArgs {
    fn read(node: &Node) -> Result<Self, BackendError> {
        let args: Self = parse(node)?;
        let is_name = |text: &str, more: &str| {
            let ordinary = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c) || more.contains(c);
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(ordinary)
        };
        let bad = |what: &str, text: &str| {
            Err(BackendError::Program { message: format!("`{text}` is not the name of a {what}"), help: None })
        };
        if !is_name(&args.suite, "") {
            return bad("suite", &args.suite);
        }
        match args.packages.iter().find(|package| !is_name(package, "+")) {
            Some(package) => bad("package", package),
            None => Ok(args),
        }
    }

    /// The suites to build from, the main one first.
    fn suites(&self, cx: &Cx) -> Vec<Suite> {
        let mirrors = &cx.settings.debian_mirrors;
        let mirror = mirrors.get(&self.suite).or_else(|| mirrors.get("*")).map_or(ARCHIVE, |mirror| mirror);
        let mirror = mirror.trim_end_matches('/');
        let suite =
            |archive: &str, mirror: &str, name: String| Suite { archive: archive.into(), mirror: mirror.into(), name };
        let mut suites = vec![suite(ARCHIVE, mirror, self.suite.clone())];
        if !ALONE.contains(&self.suite.as_str()) {
            suites.push(suite(ARCHIVE, mirror, format!("{}-updates", self.suite)));
            let security = format!("{}-security", self.suite);
            let beside = mirror.strip_suffix("/debian").map(|base| format!("{base}/debian-security"));
            let beside = mirrors.get(&security).cloned().or(beside).unwrap_or_else(|| mirror.to_owned());
            suites.push(suite(&format!("{ARCHIVE}-security"), beside.trim_end_matches('/'), security));
        }
        suites
    }
}

/// A place for apt to work in, apart from the host's.
struct Apt<'a> {
    space: &'a Space,
    dir: PathBuf,
    env: Vec<(String, String)>,
}

impl<'a> Apt<'a> {
    fn new(space: &'a Space, architecture: &str, cx: &Cx) -> Result<Self, BackendError> {
        let dir = space.on_disk().join("apt");
        let failed = || BackendError::io(format!("cannot make {}", dir.display()));
        for sub in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/trusted.gpg.d",
            "state/lists/partial",
            "cache/archives/partial",
            "log",
        ] {
            std::fs::create_dir_all(dir.join(sub)).map_err(failed())?;
        }
        std::fs::write(dir.join("state/status"), "").map_err(failed())?;
        let at = dir.display();
        // Nothing of the host's own settings counts: not its sources, keys, proxies or preferences.
        let config = format!(
            "Dir \"{at}\";\nDir::Etc \"{at}/etc\";\nDir::Etc::Main \"/dev/null\";\nDir::Etc::Parts \"{at}/etc/apt.conf.d\";\n\
             Dir::Etc::Trusted \"/dev/null\";\nDir::State \"{at}/state\";\nDir::State::status \"{at}/state/status\";\n\
             Dir::Cache \"{at}/cache\";\nDir::Log \"{at}/log\";\nAPT::Architecture \"{architecture}\";\n\
             APT::Architectures {{ \"{architecture}\"; }};\nAPT::Install-Recommends \"false\";\n{APT_OPTIONS}"
        );
        std::fs::write(dir.join("apt.conf"), config).map_err(failed())?;
        let mut env = environment(space, cx);
        env.push(("APT_CONFIG".to_owned(), dir.join("apt.conf").display().to_string()));
        Ok(Self { space, dir, env })
    }

    async fn get(&self, arguments: &[&str], cx: &Cx) -> Result<tool::Ended, BackendError> {
        let program = crate::enter::find_program("apt-get").ok_or_else(|| missing("apt-get", "apt"))?;
        let mut argv = vec![program.display().to_string()];
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        tool::run(argv, self.env.clone(), None, self.space, cx).await
    }

    /// Fetches the lists of these suites and returns those that exist, with the text of their release file.
    async fn update(&self, suites: Vec<Suite>, cx: &Cx) -> Result<Vec<(Suite, String)>, BackendError> {
        let list = self.dir.join("etc/sources.list");
        let write = |suites: &[Suite]| {
            std::fs::write(&list, sources(suites, |suite| &suite.mirror, true))
                .map_err(BackendError::io(format!("cannot write {}", list.display())))
        };
        write(&suites)?;
        let ended = self.get(&["update", "-q"], cx).await?;
        let mut found = Vec::new();
        for suite in &suites {
            if let Some(text) = self.release(suite)? {
                found.push((suite.clone(), text));
            }
        }
        if found.first().map(|(suite, _)| suite) != suites.first() {
            let suite = suites.first().map(|suite| (suite.name.as_str(), suite.mirror.as_str())).unwrap_or_default();
            let said = ended.last_words();
            let why = if said.is_empty() { "apt found no release file there" } else { said.as_str() };
            return Err(BackendError::Source {
                message: format!("cannot fetch the suite {} from {}: {why}", suite.0, suite.1),
                help: Some("check the suite's name and the network; mirrors come from imgc.toml".to_owned()),
            });
        }
        let present: Vec<Suite> = found.iter().map(|(suite, _)| suite.clone()).collect();
        write(&present)?;
        Ok(found)
    }

    /// The release file of a suite as apt keeps it: named by its address.
    fn release(&self, suite: &Suite) -> Result<Option<String>, BackendError> {
        let name = format!("{}_dists_{}_InRelease", list_name(&suite.mirror), suite.name);
        let lists = self.dir.join("state/lists");
        let path = lists.join(&name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackendError::io(format!("cannot read {}", path.display()))(error)),
        }
    }
}

/// The begin of the names under which apt keeps the lists of an archive: its address without scheme and login, with
/// these characters and what is not printable in hexadecimal (`URItoFileName` in apt's `strutl.cc`).
fn list_name(mirror: &str) -> String {
    let address = mirror.split_once("://").map_or(mirror, |(_, rest)| rest);
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = format!("{host}/{path}");
    let quoted = |byte: u8| match byte {
        b'/' => "_".to_owned(),
        0..=b' ' | 0x7f.. => format!("%{byte:02x}"),
        _ if b"\\|{}[]<>\"^~_=!@#$%&*".contains(&byte) => format!("%{byte:02x}"),
        _ => char::from(byte).to_string(),
    };
    path.trim_end_matches('/').bytes().map(quoted).collect()
}

/// Signatures are checked, ages are not: a locked list of packages may be older than a release file says it lives, and
/// archives that stand still are of use.
const APT_OPTIONS: &str = "Acquire::Languages \"none\";\nAcquire::Check-Valid-Until \"false\";\n\
                           Acquire::Check-Date \"false\";\nAPT::Sandbox::User \"root\";\n";

pub(super) async fn lock(store: &Arc<Store>, node: &Node, cx: &Cx) -> Result<Locked, BackendError> {
    let args = DebianArgs::read(node)?;
    let space = Space::new(store, "apt")?;
    let apt = Apt::new(&space, &args.platform.arch, cx)?;
    let found = apt.update(args.suites(cx), cx).await?;
    let mut asked = vec!["install", "-qq", "-y", "--print-uris", "--", "?essential", "?priority(required)", "apt"];
    asked.extend(args.packages.iter().map(String::as_str));
    let ended = apt.get(&asked, cx).await?;
    if !ended.well() {
        return Err(unsolved(&args, &ended));
    }
    let available = available(&apt.dir.join("state/lists"))?;
    let packages = solution(&ended.stdout).into_iter().map(|(name, version)| {
        let sha256 = available
            .get(&(name.clone(), version.clone()))
            .ok_or_else(|| BackendError::Internal { message: format!("no list has the digest of {name} {version}") })?;
        Ok(format!("{name}={version}={sha256}"))
    });
    let packages = packages.collect::<Result<Vec<String>, BackendError>>()?;
    let releases: Vec<(String, String)> =
        found.iter().map(|(suite, text)| (suite.name.clone(), Sha256::of(text.as_bytes()).to_string())).collect();
    let epoch = found.first().and_then(|(_, text)| date(text)).unwrap_or(super::FIRST_TIME);
    let pinned = releases.iter().map(|(name, sha256)| format!("{name}={sha256}")).collect();
    Ok(Locked {
        name: format!("debian:{}", args.suite),
        kind: node.kind.to_string(),
        epoch,
        archives: releases.into_iter().map(|(_, sha256)| sha256).collect(),
        pins: BTreeMap::from([
            ("suite".to_owned(), Pin::Text(args.suite)),
            ("mirror".to_owned(), Pin::Text(ARCHIVE.to_owned())),
            ("in_release".to_owned(), Pin::List(pinned)),
            (PACKAGES.to_owned(), Pin::List(packages)),
        ]),
    })
}

pub(super) async fn import(store: &Arc<Store>, node: &Node, locked: &Locked, cx: &Cx) -> Result<Layer, BackendError> {
    let args = DebianArgs::read(node)?;
    let packages = pinned_packages(locked)?;
    let space = Space::new(store, "debian")?;
    let suites = locked_suites(&args, locked, cx);
    let strap = Strap::prepare(&space, &suites, &packages)?;
    let mut env = environment(&space, cx);
    env.push(("SOURCE_DATE_EPOCH".to_owned(), locked.epoch.to_string()));
    let argv = strap.command(&args, &packages)?;
    let ended = tool::run(argv, env, Some((strap.overlay.clone(), strap.target.clone())), &space, cx).await?;
    if !ended.well() {
        return Err(failed_strap(&ended, locked));
    }
    strap.verify(&packages, locked)?;
    let (store, epoch) = (Arc::clone(store), locked.epoch);
    let keep = move || {
        let rules = Rules { epoch, volatile: volatile::in_debian_base, below: &Below::default() };
        let captured = capture(&strap.overlay.upper, &rules)?;
        let digest = space.keep(&captured.manifest, &strap.overlay.upper)?;
        drop(store);
        Ok(Layer::content(NAME, vec![LayerId(digest)], epoch, ImageConfig::default()))
    };
    tokio::task::spawn_blocking(keep).await.map_err(errors::panicked)?
}

/// The suites that the lock was made from; one that the archive did not have then is not asked for now.
fn locked_suites(args: &DebianArgs, locked: &Locked, cx: &Cx) -> Vec<Suite> {
    let mut suites = args.suites(cx);
    if let Some(Pin::List(known)) = locked.pins.get("in_release") {
        suites.retain(|suite| known.iter().any(|pin| pin.split('=').next() == Some(&suite.name)));
    }
    suites
}

/// A locked package.
#[derive(Debug, Clone)]
struct Pinned {
    name: String,
    version: String,
    sha256: String,
}

fn pinned_packages(locked: &Locked) -> Result<Vec<Pinned>, BackendError> {
    let pins = match locked.pins.get(PACKAGES) {
        Some(Pin::List(pins)) => pins.as_slice(),
        Some(Pin::Text(_)) | None => &[],
    };
    let read = |pin: &String| {
        let mut parts = pin.split('=').map(str::to_owned);
        Some(Pinned { name: parts.next()?, version: parts.next()?, sha256: parts.next()? })
    };
    let packages: Option<Vec<Pinned>> = pins.iter().map(read).collect();
    packages.filter(|packages| !packages.is_empty()).ok_or_else(|| BackendError::Program {
        message: format!("the lock entry of {} has no list of packages", locked.name),
        help: Some(format!("run `imgc update {}`", locked.name)),
    })
}

/// One run of mmdebstrap: its files and directories.
struct Strap {
    /// Holds what the hooks need and leave.
    dir: PathBuf,
    overlay: Overlay,
    target: PathBuf,
}

impl Strap {
    fn prepare(space: &Space, suites: &[Suite], packages: &[Pinned]) -> Result<Self, BackendError> {
        let base = space.path();
        let dir = base.join("strap");
        let (target, empty) = (base.join("root"), base.join("empty"));
        let overlay = Overlay {
            lowers: vec![empty.clone()],
            upper: base.join("upper"),
            work: base.join("work"),
            links: base.join("links"),
        };
        for path in [&dir, &dir.join("lists"), &target, &empty, &overlay.upper, &overlay.work] {
            std::fs::create_dir(path).map_err(BackendError::io(format!("cannot make {}", path.display())))?;
        }
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&overlay.upper, readable)
            .map_err(BackendError::io(format!("cannot change {}", overlay.upper.display())))?;
        let write = |name: &str, text: String| {
            std::fs::write(dir.join(name), text).map_err(BackendError::io(format!("cannot write {name}")))
        };
        let pin = |package: &Pinned| {
            format!("Package: {}\nPin: version {}\nPin-Priority: 1001\n\n", package.name, package.version)
        };
        write("preferences", packages.iter().map(pin).collect())?;
        write("mirrors", sources(suites, |suite| &suite.mirror, true))?;
        write("sources.list", sources(suites, |suite| &suite.archive, false))?;
        write("begin", BEGIN.to_owned())?;
        write("end", END.to_owned())?;
        Ok(Self { dir, overlay, target })
    }

    fn command(&self, args: &DebianArgs, packages: &[Pinned]) -> Result<Vec<String>, BackendError> {
        let program = crate::enter::find_program("mmdebstrap").ok_or_else(|| missing("mmdebstrap", "mmdebstrap"))?;
        let dir = self.dir.display();
        let mut argv = vec![program.display().to_string()];
        argv.extend(
            ["--mode=root", "--format=directory", "--variant=essential", "--skip=output/dev"].map(str::to_owned),
        );
        argv.push(format!("--architectures={}", args.platform.arch));
        argv.extend(APT_OPTIONS.lines().map(|option| format!("--aptopt={option}")));
        argv.push(format!("--setup-hook=sh '{dir}/begin' '{dir}' \"$1\""));
        argv.push(format!("--customize-hook=sh '{dir}/end' '{dir}' \"$1\""));
        let include: Vec<String> = packages.iter().map(|pin| format!("{}={}", pin.name, pin.version)).collect();
        argv.push(format!("--include={}", include.join(",")));
        argv.extend([args.suite.clone(), self.target.display().to_string(), format!("{dir}/mirrors")]);
        Ok(argv)
    }

    /// Compares what is installed with the lock.
    fn verify(&self, packages: &[Pinned], locked: &Locked) -> Result<(), BackendError> {
        let path = self.overlay.upper.join("var/lib/dpkg/status");
        let status =
            std::fs::read_to_string(&path).map_err(BackendError::io(format!("cannot read {}", path.display())))?;
        let found = installed(&status);
        let available = available(&self.dir.join("lists"))?;
        for pin in packages {
            let key = (pin.name.clone(), pin.version.clone());
            if found.binary_search(&key).is_err() {
                return Err(not_served(&pin.name, &pin.version, locked));
            }
            if available.get(&key).is_some_and(|sha256| *sha256 != pin.sha256) {
                return Err(BackendError::Source {
                    message: format!("the archive now has other bytes as {} {}", pin.name, pin.version),
                    help: Some(format!("run `imgc update {}`, or use a mirror you trust", locked.name)),
                });
            }
        }
        let more = found.iter().find(|(name, _)| !packages.iter().any(|pin| pin.name == *name));
        match more {
            None => Ok(()),
            Some((name, version)) => Err(BackendError::Source {
                message: format!("{name} {version} was installed, which is not in the lock"),
                help: Some(format!("run `imgc update {}`", locked.name)),
            }),
        }
    }
}

/// Before anything is fetched: exactly the locked versions.
const BEGIN: &str =
    "set -eu\nmkdir -p \"$2/etc/apt/preferences.d\"\ncp \"$1/preferences\" \"$2/etc/apt/preferences.d/imgc\"\n";

/// When everything is installed: what the archive said is kept for the check, and what came from this host goes.
const END: &str = "set -eu\ncp \"$2\"/var/lib/apt/lists/*_Packages \"$1/lists/\"\n\
                   rm -f \"$2/etc/apt/preferences.d/imgc\" \"$2/etc/apt/apt.conf.d/99mmdebstrap\" \
                   \"$2/etc/dpkg/dpkg.cfg.d/99mmdebstrap\" \"$2/etc/resolv.conf\" \"$2/etc/hostname\"\n\
                   rm -f \"$2\"/etc/apt/sources.list.d/*mmdebstrap* \"$2\"/etc/apt/sources.list.d/0000mirrors.list\n\
                   cat \"$1/sources.list\" > \"$2/etc/apt/sources.list\"\nchmod 0644 \"$2/etc/apt/sources.list\"\n";

fn sources(suites: &[Suite], address: impl Fn(&Suite) -> &str, signed: bool) -> String {
    let option = if signed { format!("[signed-by={KEYRING}] ") } else { String::new() };
    let lines = suites.iter().map(|suite| format!("deb {option}{} {} main\n", address(suite), suite.name));
    lines.collect::<Vec<_>>().concat()
}

/// What the lists of an archive offer.
fn available(lists: &Path) -> Result<Versions, BackendError> {
    let reading = || BackendError::io(format!("cannot read {}", lists.display()));
    let mut versions = Versions::new();
    for file in std::fs::read_dir(lists).map_err(reading())? {
        let path = file.map_err(reading())?.path();
        if path.to_string_lossy().ends_with("_Packages") {
            let text = std::fs::read(&path).map_err(reading())?;
            add_available(&String::from_utf8_lossy(&text), &mut versions);
        }
    }
    Ok(versions)
}

/// What host tools find: a search path, a fixed language, a scratch directory, the user's proxies.
fn environment(space: &Space, cx: &Cx) -> Vec<(String, String)> {
    let mut env = vec![
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
        ("HOME".to_owned(), "/root".to_owned()),
        ("TMPDIR".to_owned(), space.on_disk().display().to_string()),
        ("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned()),
    ];
    env.extend(cx.settings.proxies.clone());
    env
}

fn missing(program: &str, package: &str) -> BackendError {
    BackendError::Environment {
        message: format!("rootfs.debian needs {program}, which is not installed here"),
        help: Some(format!("install it: `sudo apt-get install {package}`")),
    }
}

fn unsolved(args: &DebianArgs, ended: &tool::Ended) -> BackendError {
    let unknown = ended.stderr.lines().find_map(|line| line.strip_prefix("E: Unable to locate package "));
    let message = match unknown {
        Some(package) => format!("the suite {} has no package `{package}`", args.suite),
        None => format!("the packages cannot be installed together: {}", ended.last_words()),
    };
    BackendError::Source { message, help: None }
}

fn failed_strap(ended: &tool::Ended, locked: &Locked) -> BackendError {
    // E: Version '1.2' for 'name' was not found
    let gone = ended.stderr.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("E: Version '")?;
        let (version, rest) = rest.split_once("' for '")?;
        Some((rest.split('\'').next()?.to_owned(), version.to_owned()))
    });
    match gone {
        Some((name, version)) => not_served(&name, &version, locked),
        None => BackendError::Source {
            message: format!("mmdebstrap {}: {}", ended.how(), ended.last_words()),
            help: Some("its whole output is in the log of the run; run the same command again to try anew".to_owned()),
        },
    }
}

fn not_served(name: &str, version: &str, locked: &Locked) -> BackendError {
    BackendError::Source {
        message: format!("the archive no longer serves {name} {version}, which the lock asks for"),
        help: Some(format!(
            "run `imgc update {}` to take what it serves now, or set a mirror that keeps old packages \
             (snapshot.debian.org) in imgc.toml",
            locked.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::list_name;

    #[test]
    fn lists_are_found_by_the_names_that_apt_gives_them() {
        for (mirror, name) in [
            ("http://deb.debian.org/debian", "deb.debian.org_debian"),
            ("http://127.0.0.1:8080/debian", "127.0.0.1:8080_debian"),
            ("https://me:pass@mirror.example/a_b/~c", "mirror.example_a%5fb_%7ec"),
            ("http://mirror.example", "mirror.example"),
        ] {
            assert_eq!(list_name(mirror), name, "{mirror}");
        }
    }
}
