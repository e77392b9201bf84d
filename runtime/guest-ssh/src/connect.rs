//! A connection to a server, directly or by way of another.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imgc_backend::BackendError;
use russh::client::{self, Handle};
use russh::keys::PublicKeyOrCertificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::authenticate::authenticate;
use crate::login::{Endpoint, HostKeys, Login};

/// How long a server may take to say its first word. A port that is forwarded into a guest is open before the guest is
/// up, and what connects then waits for long; connecting again finds the guest sooner.
const FIRST_WORD: Duration = Duration::from_secs(8);

/// How long everything up to the login may take; on an emulated guest it is seconds of arithmetic.
const HANDSHAKE: Duration = Duration::from_secs(90);

/// A connection that is logged in, and those it goes through.
pub(crate) struct Connection {
    pub(crate) handle: Handle<Watch>,
    /// Dropping it would cut what goes through it.
    _bastion: Option<Box<Connection>>,
}

/// Why there is no connection.
pub(crate) enum NotConnected {
    /// It may be up later.
    Unreachable(String),
    /// It will not be better later.
    Refused(BackendError),
}

impl NotConnected {
    pub(crate) fn into_error(self, endpoint: &Endpoint) -> BackendError {
        match self {
            Self::Refused(error) => error,
            Self::Unreachable(why) => BackendError::Disconnected {
                message: format!("cannot reach the SSH server at {endpoint}: {why}"),
                help: None,
            },
        }
    }
}

/// What the library tells while a connection lives.
pub(crate) struct Watch {
    endpoint: String,
    keys: HostKeys,
    /// Why the server's key was refused.
    refused: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Watch {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let checked = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.keys.check(&self.endpoint, key),
            // What is pinned is the key that the certificate is about.
            PublicKeyOrCertificate::Certificate(certificate) => {
                self.keys.check(&self.endpoint, &certificate.public_key().clone().into())
            }
        };
        let fine = checked.is_ok();
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = checked.err();
        Ok(fine)
    }
}

/// Connects once, and logs in.
pub(crate) async fn open(login: &Login, endpoint: &Endpoint, keys: &HostKeys) -> Result<Connection, NotConnected> {
    match &endpoint.bastion {
        None => {
            let stream = dial(endpoint).await?;
            let handle = handshake(stream, login, endpoint, keys).await?;
            Ok(Connection { handle, _bastion: None })
        }
        Some(bastion) => {
            let bastion = Box::pin(open(&bastion.login, &bastion.endpoint, keys)).await?;
            let to = (endpoint.host.as_str(), u32::from(endpoint.port));
            let tunnel = bastion.handle.channel_open_direct_tcpip(to.0, to.1, "127.0.0.1", 0);
            let stream = tunnel.await.map_err(|error| not_tunnelled(endpoint, &error))?.into_stream();
            let handle = handshake(stream, login, endpoint, keys).await?;
            Ok(Connection { handle, _bastion: Some(Box::new(bastion)) })
        }
    }
}

fn not_tunnelled(endpoint: &Endpoint, error: &russh::Error) -> NotConnected {
    use russh::ChannelOpenFailure::AdministrativelyProhibited;
    if let russh::Error::ChannelOpenFailure(AdministrativelyProhibited) = error {
        return NotConnected::Refused(BackendError::Program {
            message: format!("the bastion forbids connecting to {endpoint}"),
            help: Some("its server needs `AllowTcpForwarding yes`".to_owned()),
        });
    }
    NotConnected::Unreachable(format!("the bastion cannot connect to it ({error})"))
}

/// A TCP connection on which the server has spoken.
async fn dial(endpoint: &Endpoint) -> Result<TcpStream, NotConnected> {
    let unreachable = |why: String| NotConnected::Unreachable(why);
    let dialled = async {
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        let mut byte = [0];
        let said = stream.peek(&mut byte).await?;
        Ok::<_, std::io::Error>((stream, said))
    };
    match tokio::time::timeout(FIRST_WORD, dialled).await {
        Err(_) => Err(unreachable(format!("it says nothing within {} s", FIRST_WORD.as_secs()))),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Ok(Ok((_, 0))) => Err(unreachable("it closes the connection at once".to_owned())),
        Ok(Ok((stream, _))) => Ok(stream),
    }
}

async fn handshake<S>(
    stream: S,
    login: &Login,
    endpoint: &Endpoint,
    keys: &HostKeys,
) -> Result<Handle<Watch>, NotConnected>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = client::Config {
        keepalive_interval: Some(endpoint.alive),
        keepalive_max: 3,
        nodelay: true,
        ..client::Config::default()
    };
    let refused = Arc::new(Mutex::new(None));
    let watch = Watch { endpoint: endpoint.to_string(), keys: keys.clone(), refused: Arc::clone(&refused) };
    let shaken = async {
        let connected = client::connect_stream(Arc::new(config), stream, watch).await;
        let mut handle = connected.map_err(|error| {
            let changed = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
            changed.map_or_else(|| broken(endpoint, &error), key_changed)
        })?;
        authenticate(&mut handle, login, endpoint).await?;
        Ok(handle)
    };
    match tokio::time::timeout(HANDSHAKE, shaken).await {
        Ok(result) => result,
        Err(_) => Err(NotConnected::Unreachable(format!("the handshake takes more than {} s", HANDSHAKE.as_secs()))),
    }
}

fn key_changed(message: String) -> NotConnected {
    NotConnected::Refused(BackendError::Program {
        message,
        help: Some(
            "another server answers there, or someone is in between; if it was replaced on purpose, build anew"
                .to_owned(),
        ),
    })
}

/// A failure before the login: some get better with time, some never.
pub(crate) fn broken(endpoint: &Endpoint, error: &russh::Error) -> NotConnected {
    if let russh::Error::NoCommonAlgo { kind, ours, theirs } = error {
        return NotConnected::Refused(BackendError::Environment {
            message: format!(
                "the SSH server at {endpoint} has no {kind:?} algorithm that imgc has: it offers {}",
                theirs.join(", ")
            ),
            help: Some(format!("let it offer one of {}", ours.join(", "))),
        });
    }
    NotConnected::Unreachable(error.to_string())
}
