//! Where to connect to, and as whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imgc_backend::BackendError;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// A user and the ways to prove to be it, tried in order.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user of the server.
    pub user: String,
    /// At least one.
    pub auth: Vec<Auth>,
    /// Steps get a terminal, which some servers' `sudo` asks for.
    pub terminal: bool,
}

/// A way to prove to be a user.
#[derive(Clone)]
pub enum Auth {
    /// The user's password, given to `password` or `keyboard-interactive`, whichever the server offers.
    Password(Zeroizing<String>),
    /// A private key.
    Key {
        /// In any usual form: OpenSSH, PKCS#8, PKCS#1, `PuTTY`.
        key: Zeroizing<String>,
        /// Of the key, where it is encrypted.
        passphrase: Option<Zeroizing<String>>,
        /// An OpenSSH certificate of the key, as one line.
        certificate: Option<String>,
    },
    /// The keys and certificates of a running SSH agent.
    Agent {
        /// Its socket; none: what `SSH_AUTH_SOCK` names.
        socket: Option<PathBuf>,
    },
}

impl Auth {
    /// How people call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Password(_) => "the password",
            Self::Key { certificate: None, .. } => "the key",
            Self::Key { certificate: Some(_), .. } => "the certificate",
            Self::Agent { .. } => "the agent's keys",
        }
    }
}

impl std::fmt::Debug for Auth {
    /// Without anything secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// Usually 22.
    pub port: u16,
    /// The server that connects on our behalf, where this one cannot be reached directly.
    pub bastion: Option<Box<Bastion>>,
    /// How long it may say nothing until it is asked for a sign of life. Asked three times in vain, it counts as lost.
    pub alive: Duration,
}

impl Endpoint {
    /// A server that is reached directly.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, bastion: None, alive: Duration::from_secs(15) }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)?;
        match &self.bastion {
            Some(bastion) => write!(f, " by way of {}", bastion.endpoint),
            None => Ok(()),
        }
    }
}

/// A server on the way.
#[derive(Debug, Clone)]
pub struct Bastion {
    /// Where.
    pub endpoint: Endpoint,
    /// As whom.
    pub login: Login,
}

/// The host keys that were seen in a build: the first of a server is pinned. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct HostKeys(Arc<Mutex<BTreeMap<String, PublicKey>>>);

impl HostKeys {
    /// Pins a key before anything is seen; `key` is a line such as `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    /// The line is no key.
    pub fn pin(&self, endpoint: &Endpoint, key: &str) -> Result<(), BackendError> {
        let key = PublicKey::from_openssh(key.trim()).map_err(|error| BackendError::Program {
            message: format!("the host key of {endpoint} is not one: {error}"),
            help: Some("it is a line such as `ssh-ed25519 AAAA…`".to_owned()),
        })?;
        self.keys().insert(endpoint.to_string(), key);
        Ok(())
    }

    /// Forgets a server, which has been replaced by another in its place.
    pub fn forget(&self, endpoint: &Endpoint) {
        self.keys().remove(&endpoint.to_string());
    }

    /// Pins a key, or compares it with the one that is pinned; an error tells the two.
    pub(crate) fn check(&self, endpoint: &str, key: &PublicKey) -> Result<(), String> {
        let mut keys = self.keys();
        let pinned = keys.entry(endpoint.to_owned()).or_insert_with(|| key.clone());
        if pinned.key_data() == key.key_data() {
            return Ok(());
        }
        let show = |key: &PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
        Err(format!("the host key of {endpoint} changed: it was {}, now it is {}", show(pinned), show(key)))
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, PublicKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that was made for one build.
pub struct EphemeralKey {
    /// For [`Auth::Key`].
    pub private: Zeroizing<String>,
    /// For `authorized_keys`, without a comment.
    pub public: String,
}

impl std::fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.public)
    }
}

/// Makes a key.
///
/// # Errors
/// The key cannot be written down, which would be a fault of ours.
pub fn ephemeral_key() -> Result<EphemeralKey, BackendError> {
    let internal =
        |error: russh::keys::ssh_key::Error| BackendError::Internal { message: format!("a new key: {error}") };
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).map_err(internal)?;
    Ok(EphemeralKey {
        private: key.to_openssh(LineEnding::LF).map_err(internal)?,
        public: key.public_key().to_openssh().map_err(internal)?,
    })
}
