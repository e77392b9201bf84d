//! The first way into a guest: its SSH server, by which the agent is brought.

use std::path::{Path, PathBuf};
use std::time::Duration;

use imgc_backend::{BackendError, Cx, Text};
use imgc_guest::agent::{PORT, binary};
use imgc_guest_ssh::{Auth, Endpoint, HostKeys, Login as SshLogin, connect_within};
use imgc_plan::Platform;
use zeroize::Zeroizing;

use crate::record::{Key, Login};
use crate::shape::architecture;

/// How one gets into a guest.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) login: Login,
    /// The file of the key that was made for builds, where the record names neither password nor key and there is a seed
    /// that can carry it.
    pub(crate) made: Option<PathBuf>,
}

/// Waits for the guest's SSH server, and starts the agent in the guest.
pub(crate) async fn bring_agent(
    access: &Access,
    platform: &Platform,
    keys: &HostKeys,
    port: u16,
    cx: &Cx,
) -> Result<(), BackendError> {
    let agent = binary(architecture(platform)).ok_or_else(|| BackendError::Environment {
        message: format!("this imgc has no agent for {platform}"),
        help: Some("build imgc for the guest's architecture, with a static C library".to_owned()),
    })?;
    let login_as = SshLogin { user: access.login.user.clone(), auth: access.auth(cx).await?, terminal: false };
    let endpoint = Endpoint::new("127.0.0.1", port);
    let within = Duration::from_millis(access.login.timeout);
    let mut client = connect_within(&login_as, &endpoint, keys, within, cx).await?;
    client.start_agent(agent, PORT, cx).await
}

impl Access {
    /// The ways to prove to be the user. Asked for when a guest boots, and kept no longer than that.
    async fn auth(&self, cx: &Cx) -> Result<Vec<Auth>, BackendError> {
        let mut auth = Vec::new();
        if let Some(key) = &self.login.key {
            auth.push(Auth::Key { key: private(key, cx).await?, passphrase: None, certificate: None });
        }
        if let Some(password) = &self.login.password {
            // The guest gets to see it: whoever asks on behalf of a step takes note of that.
            auth.push(Auth::Password(cx.reveal(password).await?));
        }
        if let Some(made) = &self.made {
            auth.push(Auth::Key { key: read(made).await?, passphrase: None, certificate: None });
        }
        if auth.is_empty() {
            auth.push(Auth::Agent { socket: None });
        }
        Ok(auth)
    }

    /// The command by which a person gets in.
    pub(crate) fn command(&self, port: u16, package: &Path) -> String {
        let file = match (&self.made, &self.login.key) {
            (Some(path), _) => format!(" -i {}", path.display()),
            (None, Some(Key::File(file))) => format!(" -i {}", package.join(&file.path).display()),
            (None, Some(Key::Text(_)) | None) => String::new(),
        };
        format!("ssh -p {port}{file} {}@127.0.0.1", self.login.user)
    }
}

/// The text of a private key. It never reaches the guest, so it makes no secret of what the guest holds.
async fn private(key: &Key, cx: &Cx) -> Result<Zeroizing<String>, BackendError> {
    let reveal = async |text: &Text| Cx { node: None, ..cx.clone() }.reveal(text).await;
    match key {
        Key::Text(text) => reveal(text).await,
        Key::File(file) => read(&cx.package.join(&file.path)).await,
    }
}

async fn read(path: &Path) -> Result<Zeroizing<String>, BackendError> {
    let text = tokio::fs::read_to_string(path).await;
    text.map(Zeroizing::new).map_err(BackendError::io(format!("cannot read the key {}", path.display())))
}
