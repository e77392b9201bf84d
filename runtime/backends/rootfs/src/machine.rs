//! A machine: layers, what changed on them, and a keeper once a program has run.

use std::path::PathBuf;
use std::sync::Arc;

use imgc_backend::{
    BackendError, Channel, Close, Closed, Console, Cx, Exec, Exit, Keep, Layer, LayerId, Machine, Needles, Output,
    Placement, PlacementItem, PlacementKind, Program, Signal,
};
use imgc_plan::Fingerprint;
use imgc_store::{Entry, LayerTree, Merged, Store, fail_point};
use rustix::fs::{CWD, Mode};

use crate::below::Below;
use crate::capture::{self, Rules, capture};
use crate::console::Wired;
use crate::environment::OurFiles;
use crate::keeper::{Guarded, Keeper};
use crate::leaks::{self, Leak};
use crate::protocol::{Lent, Network, Overlay, Reply, Root, Run, Streams};
use crate::space::Space;
use crate::translator::Tool;
use crate::{attributes, environment, errors, materialize, overlay, park, put, volatile};

/// How many directories an overlay may lie on before they are flattened into one.
const LONGEST_CHAIN: usize = 100;

/// A machine of the rootfs backend.
#[derive(Debug)]
pub(crate) struct RootfsMachine {
    /// What it stands on.
    layer: Layer,
    /// Taken out while blocking work is done on it.
    ground: Option<Ground>,
    keeper: Option<Keeper>,
    /// Whether anything may have changed since the last commit.
    touched: bool,
    translator: Option<Tool>,
    /// What the programs find in their `/run`.
    lent: Vec<Lent>,
}

/// The trees and directories of a machine: all that blocking work needs.
#[derive(Debug)]
struct Ground {
    store: Arc<Store>,
    /// The lowest first.
    trees: Vec<LayerTree>,
    space: Space,
    /// How many of the trees are flattened into one directory, and where that is.
    flat: Option<(usize, PathBuf)>,
    /// Counts flattened directories and upper directories: no name is used twice.
    count: usize,
    /// The present upper directory.
    upper: PathBuf,
    max_chain: usize,
    epoch: i64,
    /// What programs find besides the trees; made when the first one runs.
    files: Option<OurFiles>,
}

impl RootfsMachine {
    /// Opens a machine on a layer whose trees are these.
    pub(crate) fn open(store: &Arc<Store>, layer: &Layer, cx: &Cx) -> Result<Self, BackendError> {
        let mut trees = Vec::with_capacity(layer.chain.len());
        for LayerId(digest) in &layer.chain {
            trees.push(store.tree(digest).map_err(errors::store)?.ok_or_else(|| BackendError::Environment {
                message: format!("the layer {} is no longer in the cache", digest.short()),
                help: Some("run the same command again: it is built anew".to_owned()),
            })?);
        }
        let space = Space::new(store, "machine")?;
        if let Some(note) = space.note() {
            cx.note(note);
        }
        let mut ground = Ground {
            store: Arc::clone(store),
            trees,
            space,
            flat: None,
            count: 0,
            upper: PathBuf::new(),
            max_chain: cx.settings.max_chain.unwrap_or(LONGEST_CHAIN).clamp(1, LONGEST_CHAIN),
            epoch: layer.epoch,
            files: None,
        };
        ground.prepare()?;
        Ok(Self {
            layer: layer.clone(),
            ground: Some(ground),
            keeper: None,
            touched: false,
            translator: Tool::find(),
            lent: Vec::new(),
        })
    }

    /// Does blocking work on the trees on a thread for that.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Ground) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let mut ground = self.ground.take().ok_or_else(broken)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut ground);
            (ground, result)
        });
        let (ground, result) = done.await.map_err(errors::panicked)?;
        self.ground = Some(ground);
        result
    }

    /// The keeper, started when it is first needed.
    async fn keeper(&mut self, cx: &Cx) -> Result<&mut Keeper, BackendError> {
        if self.keeper.is_none() {
            let ground = self.ground.as_ref().ok_or_else(broken)?;
            let guarded = Guarded {
                mount: ground.space.mounted().map(ToOwned::to_owned),
                scratch: vec![ground.space.on_disk().to_owned()],
                translator: self.translator.clone(),
            };
            self.keeper = Some(Keeper::start(guarded, cx).await?);
        }
        self.keeper.as_mut().ok_or_else(broken)
    }

    /// Which network a program gets.
    fn network(&self, exec: &Exec, cx: &Cx) -> Network {
        if !exec.network {
            Network::None
        } else if self.translator.is_some() && !environment::proxy_on_loopback(&cx.settings) {
            Network::Own
        } else {
            Network::Host
        }
    }

    /// A program and the world it is to see.
    async fn prepared(&mut self, exec: &Exec, network: Network, cx: &Cx) -> Result<Run, BackendError> {
        let env = environment::of_step(exec, &self.layer, &cx.settings);
        let name_server = self.translator.as_ref().filter(|_| network == Network::Own).map(Tool::name_server);
        let settings = Arc::clone(&cx.settings);
        let has_network = network != Network::None;
        let (root, flattened) = self
            .blocking(move |ground| {
                let (overlay, flattened) = ground.overlay()?;
                let at = ground.space.path().join("root");
                let files = ground.files()?;
                let (over, ours) = (files.over(has_network, name_server)?, files.own(&settings)?);
                Ok((Root::Overlay { overlay, at, over, ours }, flattened))
            })
            .await?;
        if let Some(count) = flattened {
            cx.note(format!("{count} layers are laid together for the mount"));
        }
        let (argv, script) = match &exec.program {
            Program::Script { interpreter, text } => (interpreter.clone(), Some(text.clone())),
            Program::Argv(argv) => (argv.clone(), None),
        };
        let (user, workdir, lent) = (exec.user.clone(), exec.workdir.clone(), self.lent.clone());
        self.touched = true;
        Ok(Run { root, network, argv, lent, script, env, user, workdir, streams: Streams::Output })
    }

    async fn run_once(
        &mut self,
        exec: &Exec,
        network: Network,
        output: Output<'_>,
        cx: &Cx,
    ) -> Result<Reply, BackendError> {
        let run = self.prepared(exec, network, cx).await?;
        self.keeper(cx).await?.run(run, exec.timeout, output, cx).await
    }
}

#[async_trait::async_trait]
impl Channel for RootfsMachine {
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let network = self.network(exec, cx);
        let mut reply = self.run_once(exec, network, output, cx).await?;
        if let (Network::Own, Reply::Failed(failure)) = (network, &reply)
            && failure.is_of_translator()
        {
            self.translator = None;
            reply = self.run_once(exec, Network::Host, output, cx).await?;
        }
        if exec.network && self.translator.is_none() {
            environment::say_host_network(cx);
        }
        // Programs say it in many ways; whoever builds the image can only mend it outside of it.
        if let (Reply::Code(1..), Some(ground)) = (&reply, &self.ground)
            && ground.space.is_full()
        {
            return Err(errors::full(ground.space.path()));
        }
        ended(reply)
    }

    async fn attach(&mut self, exec: &Exec, mut console: Console<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let network = self.network(exec, cx);
        let mut run = self.prepared(exec, network, cx).await?;
        if let Some(tty) = &console.terminal {
            run.env.push(("TERM".to_owned(), tty.term.clone()));
        }
        let mut wired = Wired::new(&console)?;
        run.streams = wired.streams();
        let output = console.output;
        let keeper = self.keeper(cx).await?;
        let reply = tokio::select! {
            reply = keeper.run(run, None, output, cx) => reply?,
            () = wired.pump(&mut console) => return Err(broken()),
        };
        wired.drain(output);
        ended(reply)
    }

    async fn put(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        if cx.cancel.is_cancelled() {
            return Err(BackendError::Interrupted);
        }
        self.touched = true;
        let placement = placement.clone();
        self.blocking(move |ground| {
            let (overlay, _) = ground.overlay()?;
            let root = overlay::open(&overlay, &ground.space.path().join("root"))
                .map_err(BackendError::io("cannot mount the layers"))?;
            put::put(&root, &placement)
        })
        .await
    }

    fn lend(&mut self, files: &[PlacementItem]) -> bool {
        let texts = files.iter().map(|file| match &file.kind {
            PlacementKind::Bytes(bytes) => Some((file, String::from_utf8(bytes.clone()).ok()?)),
            PlacementKind::Dir | PlacementKind::HostFile { .. } | PlacementKind::Symlink { .. } => None,
        });
        let lent = texts.map(|lent| {
            let (file, text) = lent?;
            let group = file.owner.group.iter().map(|group| format!(":{group}"));
            let owner = std::iter::once(file.owner.user.clone()).chain(group).collect();
            Some(Lent { path: file.path.clone(), text, mode: file.mode, owner })
        });
        lent.collect::<Option<Vec<_>>>().map(|lent| self.lent = lent).is_some()
    }
}

#[async_trait::async_trait]
impl Machine for RootfsMachine {
    async fn channel(&mut self, _cx: &Cx) -> Result<&mut dyn Channel, BackendError> {
        Ok(self)
    }

    async fn commit(&mut self, _step: &Fingerprint, _keep: Keep, cx: &Cx) -> Result<Layer, BackendError> {
        if !self.touched {
            return Ok(self.layer.clone());
        }
        let (top, left_out) = {
            let needles = cx.needles();
            self.blocking(move |ground| ground.commit(&needles)).await?
        };
        for what in left_out {
            cx.note(format!("left out of the layer: {what}"));
        }
        self.touched = false;
        self.layer = self.layer.grown(top);
        Ok(self.layer.clone())
    }

    async fn close(mut self: Box<Self>, how: Close, cx: &Cx) -> Result<Closed, BackendError> {
        if let Some(keeper) = self.keeper.take() {
            keeper.leave().await;
        }
        let closed = match how {
            Close::Discard | Close::ShutDown => Closed::Gone,
            Close::Park => self.park(cx).await,
        };
        // Removing many files takes a while.
        let ground = self.ground.take();
        tokio::task::spawn_blocking(move || drop(ground)).await.map_err(errors::panicked)?;
        Ok(closed)
    }
}

impl RootfsMachine {
    /// Keeps the tree as it stands. What cannot be kept, such as one with a secret in it, is said and thrown away.
    async fn park(&mut self, cx: &Cx) -> Closed {
        let (below, needles) = (self.layer.clone(), cx.needles());
        let keep = || self.blocking(move |ground| ground.commit(&needles).map(|(top, _)| top));
        match park::park(&below, cx, keep).await {
            Ok(token) => Closed::Parked(token),
            Err(error) => {
                let cx = Cx { node: None, ..cx.clone() };
                cx.note(format!("the tree in which the step failed is not kept: {error}"));
                Closed::Gone
            }
        }
    }
}

impl Ground {
    /// Makes all directories of a machine, and a first upper.
    fn prepare(&mut self) -> Result<(), BackendError> {
        let root = self.space.path().join("root");
        std::fs::create_dir(&root).map_err(BackendError::io(format!("cannot make {}", root.display())))?;
        environment::skeleton(&self.space.path().join("skeleton"))?;
        self.fresh_upper()
    }

    fn files(&mut self) -> Result<&mut OurFiles, BackendError> {
        let files = match self.files.take() {
            Some(files) => files,
            None => OurFiles::new(self.space.path())?,
        };
        Ok(self.files.insert(files))
    }

    /// A new empty upper directory that looks as the root below it does.
    fn fresh_upper(&mut self) -> Result<(), BackendError> {
        self.count += 1;
        self.upper = self.space.path().join(format!("upper{}", self.count));
        let failed = || BackendError::io(format!("cannot make {}", self.upper.display()));
        std::fs::create_dir(&self.upper).map_err(failed())?;
        let below = Below::new(&self.trees);
        let look = |entry: Option<&Entry>| -> std::io::Result<()> {
            let (mode, uid, gid) = entry.map_or((0o755, 0, 0), |entry| (entry.mode, entry.uid, entry.gid));
            std::os::unix::fs::chown(&self.upper, Some(uid), Some(gid))?;
            rustix::fs::chmodat(CWD, &self.upper, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())?;
            if let Some(entry) = entry {
                attributes::set(&self.upper, &entry.xattrs)?;
            }
            capture::set_time(&self.upper, entry.map_or(self.epoch, |entry| entry.mtime))
        };
        look(below.root().top.map(|(entry, _)| entry)).map_err(failed())
    }

    /// What to mount, with a fresh work directory; and how many layers were flattened for it just now.
    fn overlay(&mut self) -> Result<(Overlay, Option<usize>), BackendError> {
        let flattened = self.flatten()?;
        let (count, flat) = match &self.flat {
            Some((count, flat)) => (*count, Some(flat.clone())),
            None => (0, None),
        };
        let mut lowers = self.space.lowers(self.trees.get(count..).unwrap_or_default())?;
        lowers.extend(flat);
        let base = self.space.path();
        // At the very bottom: mount points for trees that have none.
        lowers.push(base.join("skeleton"));
        let work = base.join("work");
        // A mount with `volatile` leaves a mark there against being mounted again.
        imgc_store::remove_tree(&work).map_err(errors::store)?;
        std::fs::create_dir(&work).map_err(BackendError::io(format!("cannot make {}", work.display())))?;
        let overlay = Overlay { lowers, upper: self.upper.clone(), work, links: base.join("links") };
        Ok((overlay, flattened))
    }

    /// Lays trees together where there are too many.
    fn flatten(&mut self) -> Result<Option<usize>, BackendError> {
        let known = self.flat.as_ref().map_or(0, |(count, _)| *count);
        let present = self.trees.len() - known + usize::from(known > 0);
        if present <= self.max_chain {
            return Ok(None);
        }
        self.count += 1;
        let into = self.space.on_disk().join(format!("flat{}", self.count));
        materialize::materialize(&Merged::new(&self.trees), &into)?;
        if let Some((_, old)) = self.flat.replace((self.trees.len(), into)) {
            imgc_store::remove_tree(&old).map_err(errors::store)?;
        }
        Ok(Some(self.trees.len()))
    }

    /// Makes a layer of what changed; none where nothing did. Says what was left out of it.
    fn commit(&mut self, needles: &Needles) -> Result<(Option<LayerId>, Vec<String>), BackendError> {
        let below = Below::new(&self.trees);
        let rules = Rules { epoch: self.epoch, volatile: volatile::in_step, below: &below };
        fail_point!("capture.begin");
        let captured = capture(&self.upper, &rules)?;
        fail_point!("capture.done");
        if captured.manifest.entries.is_empty() {
            return Ok((None, captured.left_out));
        }
        if let Some(Leak { secret, form, place }) = leaks::find(&self.upper, &captured.manifest, needles)? {
            return Err(BackendError::Leaked { what: "the step".to_owned(), secret, form, place });
        }
        let digest = self.space.keep(&captured.manifest, &self.upper)?;
        let tree = self.store.tree(&digest).map_err(errors::store)?.ok_or_else(broken)?;
        self.trees.push(tree);
        fail_point!("capture.kept");
        self.fresh_upper()?;
        Ok((Some(LayerId(digest)), captured.left_out))
    }
}

fn ended(reply: Reply) -> Result<Exit, BackendError> {
    match reply {
        Reply::Code(code) => Ok(Exit::Code(code)),
        Reply::Signal(number) => Ok(Exit::Signal(Signal(number))),
        Reply::Failed(failure) => Err(errors::never_run(failure)),
    }
}

fn broken() -> BackendError {
    BackendError::Internal { message: "a machine lost its layers".to_owned() }
}
