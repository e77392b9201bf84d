//! Proving who one is.

use std::sync::Arc;

use imgc_backend::BackendError;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Asked};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, PrivateKeyWithHashAlg, decode_secret_key};
use russh::{MethodKind, MethodSet};
use zeroize::Zeroizing;

use crate::connect::{NotConnected, Watch, broken};
use crate::login::{Auth, Endpoint, Login};

/// Prompts that are answered at most; a server that asks on and on is not going to be content.
const PROMPTS: usize = 8;

/// Tries everything that the login has.
pub(crate) async fn authenticate(
    handle: &mut Handle<Watch>,
    login: &Login,
    endpoint: &Endpoint,
) -> Result<(), NotConnected> {
    let mut accepts = MethodSet::empty();
    for auth in &login.auth {
        let result = match auth {
            Auth::Password(password) => by_password(handle, &login.user, password, endpoint).await?,
            Auth::Key { key, passphrase, certificate } => {
                let passphrase = passphrase.as_ref().map(|text| text.as_str());
                by_key(handle, login, key, passphrase, certificate.as_deref(), endpoint).await?
            }
            Auth::Agent { socket } => by_agent(handle, &login.user, socket.as_deref(), endpoint).await?,
        };
        match result {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => accepts = remaining_methods,
        }
        if handle.is_closed() {
            break;
        }
    }
    Err(NotConnected::Refused(refused(login, endpoint, &accepts)))
}

/// The server would not have it.
fn refused(login: &Login, endpoint: &Endpoint, accepts: &MethodSet) -> BackendError {
    let tried: Vec<&str> = login.auth.iter().map(Auth::name).collect();
    let tried = if tried.is_empty() { "a login without a proof".to_owned() } else { tried.join(" and ") };
    let accepts: Vec<String> = accepts.iter().map(|method| <&str>::from(method).to_owned()).collect();
    let offer = if accepts.is_empty() { String::new() } else { format!("; it accepts {}", accepts.join(", ")) };
    BackendError::Program {
        message: format!("the guest refuses {tried} of the user `{}` at {endpoint}{offer}", login.user),
        help: Some("check the user, password and key of `login`, and that the guest has this user".to_owned()),
    }
}

async fn by_password(
    handle: &mut Handle<Watch>,
    user: &str,
    password: &Zeroizing<String>,
    endpoint: &Endpoint,
) -> Result<AuthResult, NotConnected> {
    let failed = |error: russh::Error| broken(endpoint, &error);
    let first = handle.authenticate_password(user, password.as_str()).await.map_err(failed)?;
    let AuthResult::Failure { remaining_methods, .. } = &first else { return Ok(first) };
    if handle.is_closed() || !remaining_methods.contains(&MethodKind::KeyboardInteractive) {
        return Ok(first);
    }
    let mut asked = handle.authenticate_keyboard_interactive_start(user, None).await.map_err(failed)?;
    for _ in 0..PROMPTS {
        let prompts = match asked {
            Asked::Success => return Ok(AuthResult::Success),
            Asked::Failure { .. } => return Ok(first),
            Asked::InfoRequest { prompts, .. } => prompts,
        };
        let answers = prompts.iter().map(|prompt| if prompt.echo { String::new() } else { password.to_string() });
        asked = handle.authenticate_keyboard_interactive_respond(answers.collect()).await.map_err(failed)?;
    }
    Ok(first)
}

async fn by_key(
    handle: &mut Handle<Watch>,
    login: &Login,
    key: &str,
    passphrase: Option<&str>,
    certificate: Option<&str>,
    endpoint: &Endpoint,
) -> Result<AuthResult, NotConnected> {
    let unfit = |what: &str, error: &dyn std::fmt::Display, help: &str| {
        NotConnected::Refused(BackendError::Program {
            message: format!("cannot use the {what} of the user `{}`: {error}", login.user),
            help: Some(help.to_owned()),
        })
    };
    let key = Arc::new(decode_secret_key(key, passphrase).map_err(|error| {
        unfit("private key", &error, "`login` needs the private half of the key, and its passphrase where it has one")
    })?);
    let failed = |error: russh::Error| broken(endpoint, &error);
    if let Some(certificate) = certificate {
        let certificate = Certificate::from_openssh(certificate.trim()).map_err(|error| {
            unfit("certificate", &error, "it is the one line of a file such as `id_ed25519-cert.pub`")
        })?;
        return handle.authenticate_openssh_cert(&login.user, key, certificate).await.map_err(failed);
    }
    let hash =
        if key.algorithm().is_rsa() { handle.best_supported_rsa_hash().await.map_err(failed)?.flatten() } else { None };
    handle.authenticate_publickey(&login.user, PrivateKeyWithHashAlg::new(key, hash)).await.map_err(failed)
}

async fn by_agent(
    handle: &mut Handle<Watch>,
    user: &str,
    socket: Option<&std::path::Path>,
    endpoint: &Endpoint,
) -> Result<AuthResult, NotConnected> {
    let no_agent = |error: &dyn std::fmt::Display| {
        NotConnected::Refused(BackendError::Environment {
            message: format!("cannot ask the SSH agent for its keys: {error}"),
            help: Some("start one with `eval $(ssh-agent)` and `ssh-add`, or give `login` a key".to_owned()),
        })
    };
    let mut agent = match socket {
        Some(socket) => AgentClient::connect_uds(socket).await.map(AgentClient::dynamic),
        None => AgentClient::connect_env().await.map(AgentClient::dynamic),
    }
    .map_err(|error| no_agent(&error))?;
    let identities = agent.request_identities().await.map_err(|error| no_agent(&error))?;
    let hash = handle.best_supported_rsa_hash().await.map_err(|error| broken(endpoint, &error))?.flatten();
    let mut last = AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false };
    for identity in identities {
        let tried = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let hash = hash.filter(|_| key.algorithm().is_rsa());
                handle.authenticate_publickey_with(user, key, hash, &mut agent).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let hash = hash.filter(|_| certificate.algorithm().is_rsa());
                handle.authenticate_certificate_with(user, certificate, hash, &mut agent).await
            }
        };
        // An agent may decline to use a key; the next may do.
        if let Ok(result) = tried {
            if result.success() {
                return Ok(result);
            }
            last = result;
        }
        if handle.is_closed() {
            break;
        }
    }
    Ok(last)
}
