//! Packages: a directory with a `main.imgc`, and perhaps an `imgc.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imgc_backend::Settings;
use serde::Deserialize;

use crate::exit::Failure;

/// The module that is applied where no other is named.
pub(crate) const MAIN: &str = "main.imgc";
/// The settings of a package.
pub(crate) const MANIFEST: &str = "imgc.toml";

/// A package and the module of it that a command is about.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// Its directory, canonical.
    pub(crate) root: PathBuf,
    /// Relative to the root, `/` between parts.
    pub(crate) entry: String,
    /// What `imgc.toml` says.
    pub(crate) manifest: Manifest,
}

/// `imgc.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// What people call the package.
    pub(crate) name: Option<String>,
    /// Of the language, for modules that do not say it.
    pub(crate) edition: Option<i64>,
    /// How the outside is reached, and limits.
    #[serde(default)]
    pub(crate) settings: ManifestSettings,
}

/// `[settings]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ManifestSettings {
    /// Seconds since 1970 that replace the epoch of sources.
    pub(crate) epoch: Option<i64>,
    /// PEM files of further certificate authorities, relative to the package.
    pub(crate) ca_files: Vec<PathBuf>,
    /// The most bytes that the store may keep, written such as `"40GiB"`.
    #[serde(deserialize_with = "size")]
    pub(crate) cache_size: Option<u64>,
    /// The most bytes that memory parts of machines may keep beside that.
    #[serde(deserialize_with = "size")]
    pub(crate) memory_cache_size: Option<u64>,
    /// Where archives and registries are read instead.
    pub(crate) mirrors: Mirrors,
    /// What may be used at once.
    pub(crate) limits: LimitSettings,
}

/// `[settings.limits]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitSettings {
    /// CPUs.
    pub(crate) cpus: Option<u32>,
    /// Bytes of memory, written such as `"8GiB"`.
    #[serde(deserialize_with = "size")]
    pub(crate) memory: Option<u64>,
    /// Machines that stay open between steps.
    pub(crate) machines: Option<u32>,
    /// By backend.
    pub(crate) backends: BTreeMap<String, u32>,
}

/// `[settings.mirrors]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mirrors {
    /// By suite; `*` stands for all.
    pub(crate) debian: BTreeMap<String, String>,
    /// By registry host.
    pub(crate) registry: BTreeMap<String, String>,
}

/// Whether a positional argument names a package or a file of one: it ends in `.imgc`, or contains `/` and is there.
pub(crate) fn is_path(text: &str) -> bool {
    let named = Path::new(text).extension().is_some_and(|ending| ending == "imgc");
    named || text == "." || text == ".." || (text.contains('/') && Path::new(text).exists())
}

/// Where no package is found, a name that is a directory here was probably meant as one.
pub(crate) fn meant_as_path(failure: Failure, names: &[String]) -> Failure {
    match names.iter().find(|name| Path::new(name).is_dir()) {
        Some(name) => failure.help(format!("to name the directory, write `./{name}`")),
        None => failure,
    }
}

/// Takes the one path out of positional arguments that may also be names.
///
/// # Errors
/// More than one path.
pub(crate) fn split_targets(args: &[String]) -> Result<(Option<PathBuf>, Vec<String>), Failure> {
    let (paths, names): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| is_path(arg));
    match paths.as_slice() {
        [] => Ok((None, names.into_iter().cloned().collect())),
        [path] => Ok((Some(PathBuf::from(path)), names.into_iter().cloned().collect())),
        [first, second, ..] => {
            Err(Failure::usage(format!("`{first}` and `{second}` are two packages; one command works on one")))
        }
    }
}

impl Package {
    /// Finds the package that `directory` (`-C`) and `path` name: the path counts from the directory.
    ///
    /// # Errors
    /// No `main.imgc`, no such file, an `imgc.toml` that cannot be read.
    pub(crate) fn find(directory: Option<&Path>, path: Option<&Path>) -> Result<Self, Failure> {
        let base = directory.unwrap_or_else(|| Path::new("."));
        let named = path.map_or_else(|| base.to_path_buf(), |path| base.join(path));
        let found = named.canonicalize().map_err(|error| not_there(&named, &error))?;
        let (root, entry) = if found.is_dir() {
            if !found.join(MAIN).is_file() {
                return Err(no_main(&named));
            }
            (found, MAIN.to_owned())
        } else {
            file_of_package(&found)?
        };
        let manifest = read_manifest(&root)?;
        Ok(Self { root, entry, manifest })
    }

    /// How the outside is reached: the environment, then `imgc.toml`.
    pub(crate) fn settings(&self) -> Settings {
        let said = &self.manifest.settings;
        let mut ca_files: Vec<PathBuf> = said.ca_files.iter().map(|file| self.root.join(file)).collect();
        let extra = ["IMGC_CA_FILE", "SSL_CERT_FILE"].iter().filter_map(std::env::var_os);
        ca_files.extend(extra.filter(|file| !file.is_empty()).map(PathBuf::from));
        let mut settings = Settings {
            proxies: proxies(),
            ca_files,
            debian_mirrors: said.mirrors.debian.clone(),
            registry_mirrors: said.mirrors.registry.clone(),
            epoch: said.epoch,
            max_chain: None,
            cold: false,
            afresh: false,
        };
        if let Some(mirror) = env_text("IMGC_DEBIAN_MIRROR") {
            // For all suites, those that imgc.toml has mirrors for as well: who sets it now knows where they are now.
            settings.debian_mirrors = BTreeMap::from([("*".to_owned(), mirror)]);
        }
        for pair in env_text("IMGC_REGISTRY_MIRRORS").unwrap_or_default().split(',') {
            if let Some((host, mirror)) = pair.split_once('=') {
                settings.registry_mirrors.insert(host.trim().to_owned(), mirror.trim().to_owned());
            }
        }
        settings
    }
}

/// A file that is applied by name belongs to the nearest directory above it that has an `imgc.toml`, else to its own.
fn file_of_package(file: &Path) -> Result<(PathBuf, String), Failure> {
    let own = file.parent().unwrap_or(Path::new("/"));
    let root = own.ancestors().find(|dir| dir.join(MANIFEST).is_file()).unwrap_or(own);
    let relative = file.strip_prefix(root).unwrap_or(file);
    let entry = relative.to_str().ok_or_else(|| {
        Failure::program(format!("the name of `{}` is not UTF-8", file.display())).help("rename the file")
    })?;
    Ok((root.to_path_buf(), entry.to_owned()))
}

fn not_there(named: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Failure::program(format!("`{}` does not exist", named.display()))
            .help("name a directory with a `main.imgc`, or a file that ends in `.imgc`");
    }
    Failure::environment(format!("cannot open `{}`", named.display())).because(error)
}

fn no_main(dir: &Path) -> Failure {
    let place = if dir == Path::new(".") { "this directory".to_owned() } else { format!("`{}`", dir.display()) };
    Failure::program(format!("there is no `{MAIN}` in {place}")).help("`imgc init` starts a package")
}

fn read_manifest(root: &Path) -> Result<Manifest, Failure> {
    let path = root.join(MANIFEST);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Manifest::default()),
        Err(error) => return Err(Failure::program(format!("cannot read `{MANIFEST}`")).because(&error)),
    };
    let manifest: Manifest = toml::from_str(&text).map_err(|error| {
        Failure::program(format!("`{MANIFEST}` does not hold: {}", error.to_string().trim_end()))
            .help("it knows `name`, `edition` and the table `[settings]`")
    })?;
    match manifest.edition {
        None | Some(1) => Ok(manifest),
        Some(other) => {
            Err(Failure::program(format!("`{MANIFEST}` asks for edition {other}, this imgc knows edition 1")))
        }
    }
}

/// A size as the language writes it.
fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1_u64 << 40)];
    let read = units.iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(*bytes)
    });
    read.map(Some).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a size such as `40GiB`")))
}

fn env_text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn proxies() -> BTreeMap<String, String> {
    let names = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
    let both = names.iter().flat_map(|name| [(*name).to_owned(), name.to_uppercase()]);
    both.filter_map(|name| env_text(&name).map(|value| (name, value))).collect()
}
