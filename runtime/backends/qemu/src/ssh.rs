//! The first way into a guest: its SSH server, by which the agent is brought.

use std::time::Duration;

use imgc_backend::{BackendError, Cx};
use imgc_guest::agent::{PORT, binary};
use imgc_guest_ssh::{Auth, Endpoint, HostKeys, Login as SshLogin, connect_within};
use imgc_plan::Platform;
use zeroize::Zeroizing;

use crate::record::{Key, Login};
use crate::shape::architecture;

/// Waits for the guest's SSH server, and starts the agent in the guest.
pub(crate) async fn bring_agent(
    login: &Login,
    platform: &Platform,
    keys: &HostKeys,
    port: u16,
    cx: &Cx,
) -> Result<(), BackendError> {
    let agent = binary(architecture(platform)).ok_or_else(|| BackendError::Environment {
        message: format!("this imgc has no agent for {platform}"),
        help: Some("build imgc for the guest's architecture, with a static C library".to_owned()),
    })?;
    let mut auth = Vec::new();
    if let Some(key) = &login.key {
        auth.push(Auth::Key { key: private(key, cx).await?, passphrase: None, certificate: None });
    }
    if let Some(password) = &login.password {
        auth.push(Auth::Password(cx.reveal(password).await?));
    }
    if auth.is_empty() {
        auth.push(Auth::Agent { socket: None });
    }
    let login_as = SshLogin { user: login.user.clone(), auth, terminal: false };
    let endpoint = Endpoint::new("127.0.0.1", port);
    let within = Duration::from_millis(login.timeout);
    let mut client = connect_within(&login_as, &endpoint, keys, within, cx).await?;
    client.start_agent(agent, PORT, cx).await
}

/// The text of a private key. Asked for when a guest boots, and kept no longer than that.
async fn private(key: &Key, cx: &Cx) -> Result<Zeroizing<String>, BackendError> {
    match key {
        Key::Text(text) => cx.reveal(text).await,
        Key::File(file) => {
            let path = cx.package.join(&file.path);
            let text = tokio::fs::read_to_string(&path).await;
            text.map(Zeroizing::new).map_err(BackendError::io(format!("cannot read the key {}", path.display())))
        }
    }
}
