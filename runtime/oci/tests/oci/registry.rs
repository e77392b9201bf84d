//! Registries: a real one, and ones that ask for tokens, refuse, lie and break off.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use imgc_oci::archive::write;
use imgc_oci::registry::{Registry, RegistryError, Resolved, Settings};
use imgc_oci::{Descriptor, LayerReader, Reference};
use imgc_plan::Sha256;

use super::images::{has, platform, run, spec};
use super::server::{Answer, Asked, Server};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn client() -> Registry {
    Registry::new(Settings::default()).unwrap()
}

/// The error with all its causes.
fn shown(error: &RegistryError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An image as a registry has it: manifest, configuration, one layer.
struct Served {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Served {
    fn new() -> Self {
        let layer: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let diff_id = Sha256::of(&layer);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":null,"Env":["A=1"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#
        );
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:{diff_id}","size":{}}}]}}"#,
            Sha256::of(config.as_bytes()),
            config.len(),
            layer.len()
        );
        Self { manifest: manifest.into_bytes(), config: config.into_bytes(), layer }
    }

    fn blob(&self) -> Descriptor {
        let size = Some(self.layer.len() as u64);
        Descriptor { media_type: String::new(), digest: Sha256::of(&self.layer), size }
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let digest = |bytes: &[u8]| format!("sha256:{}", Sha256::of(bytes));
        let last = asked.path.rsplit('/').next().unwrap();
        if asked.path.contains("/manifests/") && (last == "1" || last == digest(&self.manifest)) {
            let digest = digest(&self.manifest);
            return Answer::ok(self.manifest.clone())
                .with("content-type", MANIFEST)
                .with("docker-content-digest", digest);
        }
        let blobs = [&self.config, &self.layer];
        let Some(blob) = blobs.into_iter().find(|blob| last == digest(blob)) else { return Answer::status(404) };
        match asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()) {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
                Answer { status: 206, ..Answer::ok(&blob[from..]) }.with("content-range", range)
            }
            None => Answer::ok(blob.clone()),
        }
    }
}

/// A server of one image, and what it is called there.
fn serving(bend: impl Fn(&Asked, Answer) -> Answer + Send + Sync + 'static) -> (Server, Reference, Arc<Served>) {
    let served = Arc::new(Served::new());
    let own = Arc::clone(&served);
    let server = Server::new(move |asked| bend(asked, own.answer(asked)));
    let reference = reference(&format!("{}/a/b:1", server.host));
    (server, reference, served)
}

fn pull(client: &Registry, reference: &Reference, to: &Path) -> Result<Resolved, RegistryError> {
    let resolved = client.resolve(reference, &platform())?;
    let image = client.image(reference, resolved.digest, &platform())?;
    client.fetch(reference, &image.layers[0].blob, to, &mut |_| {})?;
    Ok(resolved)
}

#[test]
fn plain_http_on_loopback() {
    let (server, reference, served) = serving(|_, answer| answer);
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("layer");
    let resolved = pull(&client(), &reference, &to).unwrap();
    assert_eq!(resolved, Resolved { digest: Sha256::of(&served.manifest), index: None });
    assert_eq!(std::fs::read(to).unwrap(), served.layer);
    assert!(server.asked().iter().all(|asked| asked.method == "GET" && asked.header("authorization").is_none()));
}

#[test]
fn tokens_are_fetched_once_and_sent() {
    let token_host = Arc::new(std::sync::OnceLock::<String>::new());
    let host = Arc::clone(&token_host);
    let (server, reference, _) = serving(move |asked, answer| match asked.header("authorization") {
        _ if asked.path.starts_with("/token?") => {
            assert_eq!(asked.path, "/token?scope=repository:a/b:pull&service=the%20service");
            Answer::ok(r#"{"access_token":"t0ken"}"#)
        }
        Some("Bearer t0ken") => answer,
        _ => {
            let challenge = format!(
                r#"Bearer realm="http://{}/token",service="the service",scope="repository:a/b:pull""#,
                host.get().unwrap()
            );
            Answer::status(401).with("www-authenticate", challenge)
        }
    });
    token_host.set(server.host.clone()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    pull(&client(), &reference, &dir.path().join("layer")).unwrap();
    let tokens = server.asked().iter().filter(|asked| asked.path.starts_with("/token")).count();
    assert_eq!(tokens, 1);
}

#[test]
fn refusals_are_told_apart() {
    let error = |status: u16, header: Option<(&'static str, &'static str)>, body: &'static str| {
        let (_server, reference, _) = serving(move |_, _| {
            let answer = Answer { body: body.into(), ..Answer::status(status) };
            header.map_or(answer.clone(), |(name, value)| answer.with(name, value))
        });
        client().resolve(&reference, &platform()).unwrap_err()
    };
    let denied = error(401, Some(("www-authenticate", "Basic realm=\"x\"")), "");
    assert!(matches!(denied, RegistryError::Denied { .. }), "{denied}");
    assert!(denied.help().unwrap().contains("private images"));
    assert!(matches!(error(403, None, ""), RegistryError::Denied { .. }));
    assert!(matches!(error(404, None, ""), RegistryError::NotFound { what: "image", .. }));
    let refused = error(451, None, r#"{"errors":[{"code":"DENIED","message":"not in your country"}]}"#);
    assert!(refused.to_string().ends_with("answers 451: not in your country"), "{refused}");
    let insecure = error(401, Some(("www-authenticate", "Bearer realm=\"http://192.0.2.1/token\"")), "");
    assert!(matches!(insecure, RegistryError::Insecure { .. }), "{insecure}");
    let garbage = error(200, Some(("content-type", "text/html")), "<h1>Log in</h1>");
    assert!(garbage.to_string().ends_with("it sends text/html, not a manifest"), "{garbage}");
    let unreadable = error(200, Some(("content-type", MANIFEST)), "{\"schemaVersion\":");
    assert!(shown(&unreadable).contains("the manifest sha256:"), "{}", shown(&unreadable));
    let old = error(
        200,
        Some(("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws")),
        r#"{"schemaVersion":1}"#,
    );
    assert!(shown(&old).contains("unknown media type `application/vnd.docker.distribution.manifest.v1+prettyjws`"));
}

#[test]
fn passing_trouble_is_waited_out() {
    for status in [429, 500, 503] {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let (_server, reference, _) =
            serving(
                move |_, answer| if seen.fetch_add(1, Ordering::SeqCst) < 2 { Answer::status(status) } else { answer },
            );
        client().resolve(&reference, &platform()).unwrap();
    }
    let (server, reference, _) = serving(|_, _| Answer::status(429));
    let error = client().resolve(&reference, &platform()).unwrap_err();
    assert!(matches!(error, RegistryError::RateLimited { .. }));
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    drop(listener);
    let error = client().resolve(&reference(&format!("{host}/a")), &platform()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot reach the registry at http://{host}"));
    assert!(shown(&error).contains("refused"), "{}", shown(&error));
    // Something that does not speak HTTP.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 64]);
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
        }
    });
    let error = client().resolve(&reference(&format!("{host}/a")), &platform()).unwrap_err();
    assert!(matches!(error, RegistryError::Garbage { .. } | RegistryError::Tls { .. }), "{}", shown(&error));
    thread.join().unwrap();
}

#[test]
fn lies_are_found() {
    let bent = |which: &'static str| {
        let (_server, reference, _) = serving(move |asked, mut answer| {
            if asked.path.contains(which) {
                answer.body[5] ^= 1;
            }
            answer
        });
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("layer");
        let error = pull(&client(), &reference, &to).unwrap_err();
        (shown(&error), to.metadata().map_or(0, |m| m.len()))
    };
    let layer = Sha256::of(&Served::new().layer).to_string();
    let config = Sha256::of(&Served::new().config).to_string();
    let (layer, config): (&'static str, &'static str) = (layer.leak(), config.leak());
    assert!(bent("/manifests/1").0.contains("the manifest should be sha256:"), "{}", bent("/manifests/1").0);
    assert!(bent("/manifests/sha256").0.contains("the manifest should be sha256:"));
    assert!(bent(config).0.contains("the configuration should be sha256:"));
    let (text, left) = bent(layer);
    assert!(text.contains(&format!("the blob should be sha256:{layer} but is sha256:")), "{text}");
    assert_eq!(left, 0, "what is wrong is not kept");
}

#[test]
fn a_blob_that_is_too_long_is_refused() {
    let (_server, reference, served) = serving(|asked, mut answer| {
        if asked.path.contains("/blobs/") {
            answer.body.extend([0; 100]);
        }
        answer
    });
    let dir = tempfile::tempdir().unwrap();
    let error = client().fetch(&reference, &served.blob(), &dir.path().join("b"), &mut |_| {}).unwrap_err();
    assert!(shown(&error).contains("should have 300000 bytes but has 300100"), "{}", shown(&error));
}

#[test]
fn broken_transfers_are_taken_up_again() {
    let (server, reference, served) = serving(|asked, answer| {
        if asked.path.contains("/blobs/") {
            Answer { cut: Some(answer.body.len().min(80_000)), ..answer }
        } else {
            answer
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("blob");
    let mut most = 0;
    client().fetch(&reference, &served.blob(), &to, &mut |bytes| most = bytes).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), served.layer);
    assert_eq!(most, 300_000);
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges.len(), 4, "{ranges:?}");
    assert_eq!(ranges[0], None);
    assert!(ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    // What is whole is not asked for again.
    client().fetch(&reference, &served.blob(), &to, &mut |_| {}).unwrap();
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_server_that_cannot_resume_begins_anew() {
    let (_server, reference, served) = serving(|asked, answer| match asked.header("range") {
        Some(_) => Answer::ok(Served::new().layer),
        None => answer,
    });
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("blob");
    std::fs::write(&to, &served.layer[..1000]).unwrap();
    client().fetch(&reference, &served.blob(), &to, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), served.layer);
    // What was left is not from this blob: it is found out and fetched again.
    std::fs::write(&to, [9; 1000]).unwrap();
    client().fetch(&reference, &served.blob(), &to, &mut |_| {}).unwrap();
    let (_server, reference, served) = serving(|_, answer| answer);
    std::fs::write(&to, [9; 1000]).unwrap();
    client().fetch(&reference, &served.blob(), &to, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), served.layer);
}

#[test]
fn a_blob_that_always_breaks_off_is_said() {
    let (_server, reference, served) = serving(|_, answer| Answer { cut: Some(0), ..answer });
    let dir = tempfile::tempdir().unwrap();
    let error = client().fetch(&reference, &served.blob(), &dir.path().join("b"), &mut |_| {}).unwrap_err();
    assert!(error.to_string().ends_with("after 0 of 300000 bytes"), "{error}");
}

#[test]
fn redirects_lose_the_token() {
    let served = Served::new();
    let elsewhere = Server::new(|asked| match asked.path.as_str() {
        path if path.starts_with("/token") => Answer::ok(r#"{"token":"x"}"#),
        _ => Served::new().answer(asked),
    });
    let host = elsewhere.host.clone();
    let server = Server::new(move |asked| match asked.header("authorization") {
        None => Answer::status(401).with("www-authenticate", format!("Bearer realm=\"http://{host}/token\"")),
        Some(_) => Answer::status(307).with("location", format!("http://{host}{}", asked.path)),
    });
    let dir = tempfile::tempdir().unwrap();
    let reference = reference(&format!("{}/a/b:1", server.host));
    client().fetch(&reference, &served.blob(), &dir.path().join("b"), &mut |_| {}).unwrap();
    assert_eq!(elsewhere.asked().len(), 2);
    assert!(elsewhere.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn mirrors_go_first_and_may_fail() {
    let (mirror, _, served) = serving(|_, answer| answer);
    let settings = |mirror: &str| Settings {
        mirrors: [("192.0.2.1:1".to_owned(), mirror.to_owned())].into(),
        ..Settings::default()
    };
    let client = Registry::new(settings(&format!("http://{}/", mirror.host))).unwrap();
    let there = reference("192.0.2.1:1/a/b:1");
    assert_eq!(client.resolve(&there, &platform()).unwrap().digest, Sha256::of(&served.manifest));

    let (_server, reference, _) = serving(|_, answer| answer);
    let refusing = Server::new(|_| Answer::status(404));
    let settings = Settings {
        mirrors: [(reference.registry.clone(), format!("http://{}", refusing.host))].into(),
        ..Settings::default()
    };
    let client = Registry::new(settings).unwrap();
    client.resolve(&reference, &platform()).unwrap();
    assert_eq!(refusing.asked().len(), 1);
    let missing = Reference { tag: Some("none".to_owned()), ..reference };
    let error = client.resolve(&missing, &platform()).unwrap_err();
    assert!(matches!(error, RegistryError::MirrorToo { .. }), "{error}");
    let bad = Settings { mirrors: [("a".to_owned(), "b".to_owned())].into(), ..Settings::default() };
    assert_eq!(Registry::new(bad).unwrap_err().to_string(), "`b` is not the address of a mirror");
}

#[test]
fn proxies_are_used_unless_the_host_is_near() {
    let proxy = Server::new(|_| Answer::status(407));
    let proxies = [("HTTPS_PROXY".to_owned(), format!("http://{}", proxy.host))].into();
    let client = Registry::new(Settings { proxies, ..Settings::default() }).unwrap();
    let error = client.resolve(&reference("registry.invalid/a:1"), &platform()).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{}", shown(&error));
    let (_server, near, _) = serving(|_, answer| answer);
    client.resolve(&near, &platform()).unwrap();
    let asked: Vec<_> = proxy.asked().into_iter().map(|asked| (asked.method, asked.path)).collect();
    assert_eq!(asked, [("CONNECT".to_owned(), "registry.invalid:443".to_owned())]);
    let proxies = [("http_proxy".to_owned(), "no proxy".to_owned())].into();
    let error = Registry::new(Settings { proxies, ..Settings::default() }).unwrap_err();
    assert_eq!(error.to_string(), "`no proxy` is not the address of a proxy");
}

#[test]
fn a_stalled_transfer_can_be_left() {
    let (_server, reference, served) = serving(|_, answer| Answer { cut: Some(1000), stalls: true, ..answer });
    let stop = Arc::new(AtomicBool::new(false));
    let wish = Arc::clone(&stop);
    let settings = Settings { cancelled: Some(Arc::new(move || wish.load(Ordering::SeqCst))), ..Settings::default() };
    let client = Registry::new(settings).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let error =
        client.fetch(&reference, &served.blob(), &dir.path().join("b"), &mut |_| stop.store(true, Ordering::SeqCst));
    assert!(matches!(error, Err(RegistryError::Cancelled)));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn certificates_must_be_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let settings = || Settings { ca_files: vec![path.clone()], ..Settings::default() };
    assert!(matches!(Registry::new(settings()), Err(RegistryError::Certificates { .. })));
    std::fs::write(&path, "nothing").unwrap();
    let error = Registry::new(settings()).unwrap_err();
    assert!(error.to_string().ends_with("there is none in it"), "{error}");
}

/// Debian's registry on a free port, with or without TLS.
struct RealRegistry {
    child: Child,
    host: String,
    dir: tempfile::TempDir,
}

impl RealRegistry {
    fn start(with_tls: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: {host}\n",
            at("data")
        );
        if with_tls {
            let tls = format!("  tls: {{certificate: {}, key: {}}}\n", at("cert.pem"), at("key.pem"));
            config.push_str(&tls);
            // An authority, and a certificate of it.
            let openssl = |args: &str, files: [&str; 2]| {
                let mut command = Command::new("openssl");
                command.args("req -x509 -newkey rsa:2048 -nodes -days 30".split(' ')).args(args.split(' '));
                run(command.current_dir(dir.path()).args(["-keyout", files[0], "-out", files[1]]));
            };
            openssl("-subj /CN=imgc-authority", ["ca.key", "ca.pem"]);
            let leaf = "-subj /CN=imgc-test -CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE";
            openssl(&format!("{leaf} -addext subjectAltName=IP:127.0.0.1"), ["key.pem", "cert.pem"]);
        }
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let child = Command::new("docker-registry").args(["serve", &at("config.yml")]).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(&host).is_err() {
            assert!(Instant::now() < until, "the registry does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, host, dir }
    }

    fn push(&self, archive: &Path, name: &str, flags: &[&str]) {
        let from = format!("oci-archive:{}", archive.display());
        let to = format!("docker://{}/{name}", self.host);
        let args = ["copy", "--insecure-policy", "--dest-tls-verify=false"];
        run(Command::new("skopeo").args(args).args(flags).args([&from, &to]));
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn archive(dir: &Path) -> PathBuf {
    let out = dir.join("image.tar");
    write(&spec(dir), &out).unwrap();
    out
}

#[test]
fn a_real_registry() {
    if !has("docker-registry") || !has("skopeo") {
        return;
    }
    let registry = RealRegistry::start(false);
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    registry.push(&archive, "site/web:1", &[]);
    registry.push(&archive, "site/web:docker", &["--format", "v2s2"]);
    let client = client();
    let mut ids = Vec::new();
    for tag in ["1", "docker"] {
        let reference = reference(&format!("{}/site/web:{tag}", registry.host));
        let resolved = client.resolve(&reference, &platform()).unwrap();
        let image = client.image(&reference, resolved.digest, &platform()).unwrap();
        for (n, layer) in image.layers.iter().enumerate() {
            let to = dir.path().join(format!("{tag}{n}"));
            client.fetch(&reference, &layer.blob, &to, &mut |_| {}).unwrap();
            LayerReader::new(std::fs::File::open(to).unwrap(), layer).unwrap().finish().unwrap();
        }
        ids.push((image.config, image.layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>()));
    }
    assert_eq!(ids[0], ids[1]);
    let missing = reference(&format!("{}/site/none:1", registry.host));
    assert!(matches!(client.resolve(&missing, &platform()), Err(RegistryError::NotFound { .. })));
    let arm = client.resolve(&reference(&format!("{}/site/web:1", registry.host)), &platform()).unwrap();
    let wanted = "linux/arm64".parse().unwrap();
    let error = client.image(&reference(&format!("{}/site/web:1", registry.host)), arm.digest, &wanted).unwrap_err();
    assert!(shown(&error).contains("there is no image for linux/arm64; there is linux/amd64"), "{}", shown(&error));
}

#[test]
fn a_real_registry_with_an_authority_of_its_own() {
    if !has("docker-registry") || !has("skopeo") || !has("openssl") {
        return;
    }
    let registry = RealRegistry::start(true);
    let dir = tempfile::tempdir().unwrap();
    registry.push(&archive(dir.path()), "site/web:1", &[]);
    let reference = reference(&format!("{}/site/web:1", registry.host));
    let error = client().resolve(&reference, &platform()).unwrap_err();
    assert!(matches!(error, RegistryError::Tls { .. }), "{}", shown(&error));
    assert!(error.help().unwrap().contains("CA files"));
    let settings = Settings { ca_files: vec![registry.dir.path().join("ca.pem")], ..Settings::default() };
    Registry::new(settings).unwrap().resolve(&reference, &platform()).unwrap();
}

#[test]
fn an_index_of_several_platforms() {
    let served = Arc::new(Served::new());
    let digest = Sha256::of(&served.manifest);
    let entry = |arch: &str, digest: &Sha256| {
        format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"sha256:{digest}","size":1,"platform":{{"os":"linux","architecture":"{arch}"}}}}"#
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{}]}}"#,
        entry("arm64", &Sha256::of(b"other")),
        entry("amd64", &digest)
    );
    let (own, list) = (Arc::clone(&served), index.clone());
    let server = Server::new(move |asked| match asked.path.as_str() {
        "/v2/a/b/manifests/1" => {
            Answer::ok(list.clone()).with("content-type", "application/vnd.oci.image.index.v1+json")
        }
        _ => own.answer(asked),
    });
    let reference = reference(&format!("{}/a/b:1", server.host));
    let resolved = client().resolve(&reference, &platform()).unwrap();
    assert_eq!(resolved, Resolved { digest, index: Some(Sha256::of(index.as_bytes())) });
    let image = client().image(&reference, resolved.digest, &platform()).unwrap();
    assert_eq!(image.config.env["A"], "1");
    let error = client().resolve(&reference, &"linux/riscv64".parse().unwrap()).unwrap_err();
    assert!(shown(&error).contains("there is no image for linux/riscv64; there is linux/arm64, linux/amd64"));
}
