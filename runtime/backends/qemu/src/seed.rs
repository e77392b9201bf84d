//! The disc that cloud-init finds in a guest, and the key that builds log in with where the record names none.
//!
//! The disc is never a file of this host: it is in memory, and QEMU has it open. The key stays in the store, since layers
//! that were booted with it are booted again; shipped disks do not have it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use imgc_backend::{BackendError, Cx};
use imgc_formats::iso9660;
use imgc_guest::seed::{LABEL, Seed, SeedLogin};
use imgc_guest_ssh::ephemeral_key;
use imgc_plan::Digest;
use imgc_store::Store;
use zeroize::Zeroizing;

use crate::command::file;
use crate::errors;
use crate::record::{Machine, Seed as Said};
use crate::ssh::Access;

/// The key of this store's builds.
#[derive(Debug)]
pub(crate) struct BuildKey {
    private: PathBuf,
    public: String,
}

/// How one gets into a machine, with the key that its seed carries.
pub(crate) fn access(machine: &Machine, store: &Store) -> Result<(Access, Option<BuildKey>), BackendError> {
    let login = machine.login.clone();
    let wanted = machine.seed.is_some() && login.key.is_none() && login.password.is_none();
    let key = if wanted { Some(BuildKey::of(store)?) } else { None };
    Ok((Access { login, made: key.as_ref().map(|key| key.private.clone()) }, key))
}

impl BuildKey {
    /// The key of a store; made where there is none.
    fn of(store: &Store) -> Result<Self, BackendError> {
        let folder = store.root().join("login");
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(BackendError::io(format!("cannot make {}", folder.display())))?;
        let (private, public) = (folder.join("key"), folder.join("key.pub"));
        let failed = || BackendError::io(format!("cannot keep the key of builds in {}", folder.display()));
        // Two builds that both lack it must not make two.
        let lock = File::create(folder.join("lock")).map_err(failed())?;
        lock.lock().map_err(failed())?;
        if let (true, Ok(public)) = (private.exists(), std::fs::read_to_string(&public)) {
            return Ok(Self { private, public });
        }
        let key = ephemeral_key()?;
        let mut file = std::fs::OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&private).map_err(failed())?;
        file.write_all(key.private.as_bytes()).map_err(failed())?;
        std::fs::write(&public, &key.public).map_err(failed())?;
        Ok(Self { private, public: key.public })
    }
}

/// Puts the disc into a machine's directory for as long as the value that is returned lives: until QEMU has it open.
pub(crate) async fn attach(
    said: &Said,
    user: &str,
    key: Option<&BuildKey>,
    dir: &Path,
    cx: &Cx,
) -> Result<OwnedFd, BackendError> {
    let seed = Seed {
        instance: instance(said, key),
        hostname: said.hostname.clone(),
        user_data: cx.reveal(&said.user_data).await?,
        network: said.network.clone().map(Zeroizing::new),
        login: key.map(|key| SeedLogin { user: user.to_owned(), public_key: key.public.clone() }),
    };
    let files = seed.files()?;
    let files: Vec<(&str, &[u8])> = files.iter().map(|file| (file.name, file.content.as_slice())).collect();
    let image = iso9660::image(LABEL, &files).map_err(|error| BackendError::Program {
        message: format!("the seed does not fit on its disc: {}", errors::chain(&error)),
        help: None,
    })?;
    let image = Zeroizing::new(image);
    let place = || {
        let memory = rustix::fs::memfd_create("seed", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&image)?;
        let target = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        std::os::unix::fs::symlink(target, dir.join(file::SEED))?;
        std::io::Result::Ok(OwnedFd::from(file))
    };
    place().map_err(BackendError::io("cannot make the disc of a seed"))
}

/// What cloud-init knows the machine by. It begins anew where that changes: with another seed, and with the key of
/// another store, which the guest has to learn first. Secrets count by their names.
fn instance(said: &Said, key: Option<&BuildKey>) -> String {
    if let Some(instance) = &said.instance {
        return instance.clone();
    }
    let text = serde_json::to_string(said).unwrap_or_default();
    let key = key.map_or("", |key| &key.public);
    format!("imgc-{}", Digest::of(format!("{text}\n{key}").as_bytes()).short())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use imgc_backend::EventSink;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn said(user_data: &str) -> Said {
        Said { instance: None, hostname: Some("web".into()), user_data: user_data.into(), network: None }
    }

    #[test]
    fn a_key_is_made_once_and_is_nobody_elses_business() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let machine = Machine { seed: Some(said("")), ..Machine::default() };
        let (first, key) = access(&machine, &store).unwrap();
        let (again, _) = access(&machine, &store).unwrap();
        assert_eq!(first.made, again.made);
        let path = first.made.unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(key.unwrap().public.starts_with("ssh-ed25519 "));
        assert_eq!(access(&Machine::default(), &store).unwrap().0.made, None);
    }

    #[tokio::test]
    async fn the_disc_is_in_memory_and_goes_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Cx::plain(CancellationToken::new(), EventSink::new(|_| {}), dir.path().to_owned());
        let key = BuildKey { private: "/k".into(), public: "ssh-ed25519 AAAA".into() };
        let disc = attach(&said("#cloud-config\n{}\n"), "admin", Some(&key), dir.path(), &cx).await.unwrap();
        let link = dir.path().join(file::SEED);
        let mut bytes = Vec::new();
        File::open(&link).unwrap().read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("cidata") && text.contains("ssh-ed25519 AAAA imgc-build") && text.contains("\"web\""));
        drop(disc);
        assert!(File::open(&link).is_err());
        assert_ne!(instance(&said("a"), Some(&key)), instance(&said("b"), Some(&key)));
        assert_ne!(instance(&said("a"), Some(&key)), instance(&said("a"), None));
    }
}
