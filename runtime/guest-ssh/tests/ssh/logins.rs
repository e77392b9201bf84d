//! All the ways to prove who one is, and what is said when they fail.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use imgc_backend::{BackendError, Fault};
use imgc_guest_ssh::{Auth, Bastion, Endpoint, HostKeys, connect, connect_within};
use zeroize::Zeroizing;

use crate::bed::{Bed, PASSWORD, USER, exec, login, run, script, sh};

fn password(text: &str) -> Auth {
    Auth::Password(Zeroizing::new(text.to_owned()))
}

#[tokio::test]
async fn a_password_and_what_a_wrong_one_gets() {
    let Some(bed) = Bed::new("PasswordAuthentication yes\nKbdInteractiveAuthentication no") else { return };
    let mut client = bed.connect(&login(USER, password(PASSWORD))).await.unwrap();
    let own = imgc_backend::Exec { user: USER.to_owned(), ..script("id -un") };
    assert_eq!(exec(&mut client, &own, &bed.cx).await.1, format!("{USER}\n"));
    let error = bed.connect(&login(USER, password("wrong"))).await.unwrap_err();
    let said = format!(
        "the guest refuses the password of the user `{USER}` at {}; it accepts publickey, password",
        bed.endpoint
    );
    assert_eq!((error.to_string(), error.fault()), (said, Fault::Program));
    assert!(error.help().unwrap().contains("`login`"));
    assert!(!format!("{:?}", login(USER, password("wrong"))).contains("wrong"), "passwords are not shown");
}

#[tokio::test]
async fn a_user_who_cannot_become_root_is_told() {
    let Some(bed) = Bed::new("PasswordAuthentication yes") else { return };
    let mut client = bed.connect(&login(USER, password(PASSWORD))).await.unwrap();
    let error = exec(&mut client, &script("id -u"), &bed.cx).await.0.unwrap_err().to_string();
    assert!(error.starts_with(&format!("the guest's user `{USER}` cannot become root: ")), "{error}");
}

#[tokio::test]
async fn a_key_with_and_without_a_passphrase() {
    let Some(bed) = Bed::new("PasswordAuthentication no") else { return };
    let mut client = bed.root().await;
    assert_eq!(sh(&mut client, "id -u", &bed.cx).await, "0\n");
    let path = bed.path("id_rsa").display().to_string();
    run("ssh-keygen", &["-q", "-t", "rsa", "-b", "2048", "-N", "open sesame", "-f", &path]);
    std::fs::copy(bed.path("id_rsa.pub"), bed.path("authorized")).unwrap();
    let auth = |passphrase: Option<&str>| Auth::Key {
        key: Zeroizing::new(std::fs::read_to_string(&path).unwrap()),
        passphrase: passphrase.map(|text| Zeroizing::new(text.to_owned())),
        certificate: None,
    };
    assert!(bed.connect(&login("root", auth(Some("open sesame")))).await.is_ok());
    let error = bed.connect(&login("root", auth(None))).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot use the private key of the user `root`: "), "{error}");
    let error = bed.connect(&bed_less_key()).await.unwrap_err().to_string();
    assert!(error.starts_with("the guest refuses the key of the user `root` at 127.0.0.1:"), "{error}");
}

/// A key that the server does not know.
fn bed_less_key() -> imgc_guest_ssh::Login {
    let key = imgc_guest_ssh::ephemeral_key().unwrap();
    login("root", Auth::Key { key: key.private, passphrase: None, certificate: None })
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_the_server_trusts() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let Some(bed) = Bed::new(&format!("PasswordAuthentication no\nTrustedUserCAKeys {}", path("ca.pub"))) else {
        return;
    };
    for name in ["ca", "id"] {
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]);
    }
    run("ssh-keygen", &["-q", "-s", &path("ca"), "-I", "build", "-n", "root", "-V", "+10m", &path("id.pub")]);
    let auth = |certificate: Option<String>| Auth::Key {
        key: Zeroizing::new(std::fs::read_to_string(path("id")).unwrap()),
        passphrase: None,
        certificate,
    };
    let certificate = std::fs::read_to_string(path("id-cert.pub")).unwrap();
    assert!(bed.connect(&login("root", auth(Some(certificate)))).await.is_ok());
    assert!(bed.connect(&login("root", auth(None))).await.is_err(), "the key alone is not known");
}

/// An agent that ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_keys_of_an_agent() {
    let Some(bed) = Bed::new("PasswordAuthentication no") else { return };
    let socket = bed.path("agent.sock");
    let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let _agent = Agent(child);
    let auth = Auth::Agent { socket: Some(socket.clone()) };
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for name in ["unknown", "known"] {
        let path = bed.path(name).display().to_string();
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path]);
        let added = Command::new("ssh-add").arg("-q").arg(&path).env("SSH_AUTH_SOCK", &socket).status().unwrap();
        assert!(added.success());
    }
    std::fs::copy(bed.path("known.pub"), bed.path("authorized")).unwrap();
    assert!(bed.connect(&login("root", auth)).await.is_ok());
    let missing = Auth::Agent { socket: Some(bed.path("nobody")) };
    let error = bed.connect(&login("root", missing)).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot ask the SSH agent for its keys: "), "{error}");
}

#[tokio::test]
async fn by_way_of_a_bastion() {
    let (Some(bastion), Some(bed)) = (Bed::new(""), Bed::new("")) else { return };
    let way = Bastion { endpoint: bastion.endpoint.clone(), login: bastion.by_key(USER) };
    let endpoint = Endpoint { bastion: Some(Box::new(way)), ..bed.endpoint.clone() };
    let login = bed.by_key("root");
    let within = Duration::from_secs(20);
    let mut client = connect_within(&login, &endpoint, &bed.keys, within, &bed.cx).await.unwrap();
    assert_eq!(sh(&mut client, "echo through", &bed.cx).await, "through\n");
    // The server saw the bastion's address and knows nothing of us.
    assert!(sh(&mut client, "cat /proc/$PPID/comm", &bed.cx).await.starts_with("sh"));
    let strict = Bed::new("AllowTcpForwarding no").unwrap();
    let way = Bastion { endpoint: strict.endpoint.clone(), login: strict.by_key(USER) };
    let endpoint = Endpoint { bastion: Some(Box::new(way)), ..bed.endpoint.clone() };
    let error = connect_within(&login, &endpoint, &bed.keys, within, &bed.cx).await.unwrap_err();
    assert!(error.to_string().starts_with("the bastion forbids connecting to 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_host_key_that_changes_is_refused_within_a_build() {
    let Some(mut bed) = Bed::new("") else { return };
    let login = bed.by_key("root");
    bed.connect(&login).await.unwrap();
    bed.replace_server();
    let error = bed.connect(&login).await.unwrap_err().to_string();
    let parts = [format!("the host key of {} changed: it was SHA256:", bed.endpoint), ", now it is SHA256:".to_owned()];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    // Another build knows nothing of the first key; and a key may be pinned from the start.
    assert!(connect(&login, &bed.endpoint, &HostKeys::default(), &bed.cx).await.is_ok());
    let pinned = HostKeys::default();
    pinned.pin(&bed.endpoint, &std::fs::read_to_string(bed.path("host.pub")).unwrap()).unwrap();
    assert!(connect(&login, &bed.endpoint, &pinned, &bed.cx).await.is_ok());
}

#[tokio::test]
async fn nobody_there_is_said_in_time() {
    let Some(bed) = Bed::new("") else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = Endpoint::new("127.0.0.1", port);
    let within = Duration::from_secs(1);
    let error = connect_within(&bed.by_key("root"), &nobody, &bed.keys, within, &bed.cx).await.unwrap_err();
    assert!(matches!(error, BackendError::Disconnected { .. }));
    assert!(error.to_string().contains("refused") && error.to_string().contains("(tried for 1 s)"), "{error}");
}
