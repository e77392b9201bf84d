//! What tests stand on: a store in a temporary directory, machines on it, steps in one line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgc_backend::{
    Backend, BackendError, Channel, Close, Cx, Event, EventSink, Exec, Exit, Layer, LayerId, Machine, MachineSpec,
    Owner, Placement, PlacementItem, PlacementKind, Program, Secrets, Settings, Stream,
};
use imgc_plan::{Fingerprint, Locked, Node, NodeId, Platform, Record, Source, SourceKey, Value, Work};
use imgc_rootfs::Rootfs;
use imgc_store::{LayerTree, Merged, Store};
use tokio_util::sync::CancellationToken;

/// 2020-01-01.
pub(crate) const EPOCH: i64 = 1_577_836_800;

/// A store, a backend, and what was noted.
pub(crate) struct Bed {
    pub(crate) store: Arc<Store>,
    pub(crate) backend: Rootfs,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) cx: Cx,
    pub(crate) notes: Arc<Mutex<String>>,
    pub(crate) dir: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        Self::on(dir, &store, settings)
    }

    /// With its store at this path.
    pub(crate) fn on(dir: tempfile::TempDir, store: &Path, settings: Settings) -> Self {
        let store = Arc::new(Store::open(store).unwrap());
        let notes = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&notes);
        let events = EventSink::new(move |event| {
            if let Event::Output { bytes, .. } = event {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes));
            }
        });
        let cx = Cx {
            cancel: CancellationToken::new(),
            events,
            node: Some(NodeId(0)),
            package: dir.path().to_owned(),
            settings: Arc::new(settings),
            journal: imgc_backend::Journal::default(),
            secrets: Secrets::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { backend: Rootfs::new(Arc::clone(&store)), store, runtime, cx, notes, dir }
    }

    pub(crate) fn noted(&self) -> String {
        self.notes.lock().unwrap().clone()
    }

    pub(crate) fn open(&self, on: &Layer) -> Live<'_> {
        let spec =
            MachineSpec { platform: platform(), image: "test".into(), machine: serde_json::json!({}), shipped: false };
        let (machine, _) = self.runtime.block_on(self.backend.open(on, &spec, &self.cx)).unwrap();
        Live { bed: self, machine }
    }

    /// A layer with a shell: busybox, and links for what tests use.
    pub(crate) fn shell(&self) -> Layer {
        let mut live = self.open(&scratch());
        let mut items = vec![file("/bin/busybox", &std::fs::read("/bin/busybox").unwrap(), 0o755)];
        for name in
            "sh ls cat id pwd sleep mkdir rm rmdir ln touch chmod chown echo env ip wget true false kill mount mv cp test hostname stat dd mkfifo mknod readlink tr cut sort wc"
                .split(' ')
        {
            items.push(item(&format!("/bin/{name}"), PlacementKind::Symlink { target: "busybox".into() }, 0o777));
        }
        live.put(items).unwrap();
        let layer = live.commit();
        live.close();
        layer
    }

    pub(crate) fn trees(&self, layer: &Layer) -> Vec<LayerTree> {
        layer.chain.iter().map(|LayerId(digest)| self.store.tree(digest).unwrap().unwrap()).collect()
    }

    /// The paths in the topmost layer, whiteouts with a `-`, opaque directories with a `!`.
    pub(crate) fn top(&self, layer: &Layer) -> Vec<String> {
        let tree = self.trees(layer).pop().unwrap();
        let show = |entry: &imgc_store::Entry| {
            let sign = match &entry.kind {
                imgc_store::EntryKind::Whiteout => "-",
                imgc_store::EntryKind::Dir { opaque: true } => "!",
                imgc_store::EntryKind::Hardlink { .. } => "=",
                imgc_store::EntryKind::Dir { .. }
                | imgc_store::EntryKind::File { .. }
                | imgc_store::EntryKind::Symlink { .. }
                | imgc_store::EntryKind::Fifo => "",
            };
            format!("{sign}{}", String::from_utf8_lossy(&entry.path.0))
        };
        tree.manifest.entries.iter().map(show).collect()
    }

    /// The text of a file of a layer.
    pub(crate) fn text(&self, layer: &Layer, path: &str) -> String {
        let merged = Merged::new(&self.trees(layer));
        let entry = merged.get(&imgc_store::TreePath(path.into())).unwrap_or_else(|| panic!("{path} is not there"));
        std::fs::read_to_string(&entry.host).unwrap()
    }
}

/// An open machine.
pub(crate) struct Live<'a> {
    bed: &'a Bed,
    pub(crate) machine: Box<dyn Machine>,
}

impl Live<'_> {
    /// Runs a script; the exit and what it said.
    pub(crate) fn sh(&mut self, script: &str) -> (Exit, String) {
        self.exec(&exec(script)).unwrap()
    }

    /// Runs a script that must succeed; what it said.
    pub(crate) fn must(&mut self, script: &str) -> String {
        let (exit, said) = self.sh(script);
        assert_eq!(exit, Exit::Code(0), "{script}: {said}");
        said
    }

    pub(crate) fn exec(&mut self, exec: &Exec) -> Result<(Exit, String), BackendError> {
        let said = Mutex::new(String::new());
        let output = |_: Stream, bytes: &[u8]| said.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        let cx = self.bed.cx.clone();
        let run = async {
            let channel: &mut dyn Channel = self.machine.channel(&cx).await?;
            channel.exec(exec, &output, &cx).await
        };
        let exit = self.bed.runtime.block_on(run)?;
        Ok((exit, said.into_inner().unwrap()))
    }

    pub(crate) fn put(&mut self, items: Vec<PlacementItem>) -> Result<(), BackendError> {
        let cx = self.bed.cx.clone();
        self.bed.runtime.block_on(async { self.machine.channel(&cx).await?.put(&Placement { items }, &cx).await })
    }

    pub(crate) fn commit(&mut self) -> Layer {
        let step = Fingerprint([0; 32]);
        self.bed.runtime.block_on(self.machine.commit(&step, imgc_backend::Keep::Layer, &self.bed.cx)).unwrap()
    }

    pub(crate) fn close(self) {
        self.bed.runtime.block_on(self.machine.close(Close::Discard, &self.bed.cx)).unwrap();
    }
}

pub(crate) fn platform() -> Platform {
    "linux(debian)/amd64".parse().unwrap()
}

pub(crate) fn scratch() -> Layer {
    Layer::content("rootfs", Vec::new(), EPOCH, imgc_backend::ImageConfig::default())
}

pub(crate) fn exec(script: &str) -> Exec {
    Exec {
        program: Program::Script { interpreter: vec!["/bin/sh".into(), "-e".into()], text: script.into() },
        env: BTreeMap::new(),
        user: "root".into(),
        workdir: "/".into(),
        network: false,
        timeout: Some(Duration::from_secs(60)),
    }
}

pub(crate) fn item(path: &str, kind: PlacementKind, mode: u32) -> PlacementItem {
    PlacementItem { path: path.into(), kind, mode, owner: Owner { user: "root".into(), group: None } }
}

pub(crate) fn file(path: &str, bytes: &[u8], mode: u32) -> PlacementItem {
    item(path, PlacementKind::Bytes(bytes.to_vec()), mode)
}

pub(crate) fn source(kind: &str, args: Record) -> Node {
    Node {
        address: imgc_plan::Address("test/from".into()),
        span: None,
        platform: platform().into(),
        backend: "rootfs".into(),
        kind: kind.into(),
        revision: 1,
        work: Work::Source(Source {
            key: SourceKey::new(kind, &platform(), &args),
            locked: None::<Locked>,
            machine: Record::new(),
            counts: Vec::new(),
        }),
        args,
    }
}

pub(crate) fn platform_arg() -> (Arc<str>, Value) {
    ("platform".into(), Value::from(platform()))
}

/// Runs the named test of this binary as the user `imgc-test` and returns what it printed, or says why it cannot.
pub(crate) fn as_user(test: &str, env: &[(&str, &Path)]) -> Option<String> {
    if !rustix::process::geteuid().is_root() || imgc_rootfs::in_user_namespace() {
        return None;
    }
    let known = std::fs::read_to_string("/etc/passwd").unwrap().contains("\nimgc-test:");
    if !known {
        assert!(Command::new("useradd").args(["-m", "imgc-test"]).status().unwrap().success());
    }
    let copy = public_copy();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=imgc-test", "--regid=imgc-test", "--init-groups", "--"]).arg(&copy);
    command.args(["--exact", test, "--nocapture"]).env("HOME", "/home/imgc-test").env("USER", "imgc-test");
    command.env_remove("TMPDIR").current_dir("/").envs(env.iter().map(|(name, value)| (*name, *value)));
    let output = command.output().unwrap();
    let _ = std::fs::remove_file(&copy);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "as imgc-test: {text}");
    Some(text)
}

/// This binary where every user can execute it.
fn public_copy() -> PathBuf {
    let copy = std::env::temp_dir().join(format!("imgc-rootfs-test-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    copy
}

/// The state of a layer as `as_user` finds it in what a test prints.
pub(crate) fn print_state(bed: &Bed, layer: &Layer) {
    if std::env::var_os("IMGC_TEST_DUMP").is_some() {
        for tree in bed.trees(layer) {
            for entry in &tree.manifest.entries {
                println!("ENTRY {entry:?}");
            }
        }
    }
    println!("STATE {}", layer.state.digest());
}

pub(crate) fn printed_state(text: &str) -> String {
    let line = text.lines().find_map(|line| line.split_once("STATE ").map(|(_, state)| state.to_owned()));
    line.unwrap_or_else(|| panic!("no state in {text}"))
}
