//! Files with secrets, which a step finds while it runs and nothing holds afterwards.

use imgc_backend::{BackendError, Channel, Cx, Exit, Placement, PlacementItem, PlacementKind, Program};
use zeroize::Zeroize as _;

use crate::args::ShArgs;
use crate::copy::owner;
use crate::restart::quick;

/// The only place that is in no layer in machines of every kind: a file system in memory.
const BELOW: &str = "/run/";

/// Succeeds where `/run` is a file system in memory. What was mounted last is what is seen.
const IN_MEMORY: &str =
    "kind=; while read -r _ at fs _; do [ \"$at\" != /run ] || kind=$fs; done </proc/mounts; [ \"$kind\" = tmpfs ]";

/// The files of one step. Their content is wiped from our own memory when they are dropped.
pub(crate) struct Lent {
    files: Vec<PlacementItem>,
    /// Whether they were put into the machine by us.
    put: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        for file in &mut self.files {
            if let PlacementKind::Bytes(bytes) = &mut file.kind {
                bytes.zeroize();
            }
        }
    }
}

impl Lent {
    /// Fetches the secrets of a step and puts their files in place.
    ///
    /// # Errors
    /// A secret cannot be had; the machine has no place for it that is not on its disk.
    pub(crate) async fn place(args: &ShArgs, channel: &mut dyn Channel, cx: &Cx) -> Result<Self, BackendError> {
        let mut lent = Self { files: Vec::with_capacity(args.secret_files.len()), put: false };
        if args.secret_files.is_empty() {
            return Ok(lent);
        }
        for (path, text) in &args.secret_files {
            if !path.starts_with(BELOW) || path.split('/').any(|name| name == "..") {
                let message = format!("a secret cannot be put at {path}: only what is below {BELOW} is in no layer");
                return Err(BackendError::Program { message, help: Some(format!("choose a path below {BELOW}")) });
            }
            let kind = PlacementKind::Bytes(cx.reveal(text).await?.as_bytes().to_vec());
            lent.files.push(PlacementItem { path: path.clone(), kind, mode: 0o400, owner: owner(&args.user) });
        }
        if !channel.lend(&lent.files) {
            in_memory(channel, cx).await?;
            // From here on there may be something to remove.
            lent.put = true;
            let placement = Placed(Placement { items: lent.files.clone() });
            if let Err(error) = channel.put(&placement.0, cx).await {
                let _ = lent.take_back(channel, cx).await;
                return Err(error);
            }
        }
        Ok(lent)
    }

    /// Takes the files away again, whatever became of the step.
    ///
    /// # Errors
    /// They could not be removed: nothing of the machine may be kept then.
    pub(crate) async fn take_back(self, channel: &mut dyn Channel, cx: &Cx) -> Result<(), BackendError> {
        if !self.put {
            if !self.files.is_empty() {
                channel.lend(&[]);
            }
            return Ok(());
        }
        let remove = ["/bin/sh", "-c", "rm -f -- \"$@\"", "sh"].into_iter();
        let paths = self.files.iter().map(|file| file.path.as_str());
        let mut exec = quick("");
        exec.program = Program::Argv(remove.chain(paths).map(str::to_owned).collect());
        match channel.exec(&exec, &|_, _| {}, cx).await? {
            Exit::Code(0) => Ok(()),
            exit @ (Exit::Code(_) | Exit::Signal(_)) => Err(BackendError::Machine {
                message: format!("the secret files of the step could not be removed from the machine: {exit}"),
                help: None,
            }),
        }
    }
}

/// A copy of the files for the channel, wiped as they are.
struct Placed(Placement);

impl Drop for Placed {
    fn drop(&mut self) {
        for file in &mut self.0.items {
            if let PlacementKind::Bytes(bytes) = &mut file.kind {
                bytes.zeroize();
            }
        }
    }
}

async fn in_memory(channel: &mut dyn Channel, cx: &Cx) -> Result<(), BackendError> {
    match channel.exec(&quick(IN_MEMORY), &|_, _| {}, cx).await? {
        Exit::Code(0) => Ok(()),
        Exit::Code(_) | Exit::Signal(_) => Err(BackendError::Program {
            message: "secret files need a `/run` that is in memory, and this machine's is not".to_owned(),
            help: Some("pass the secret in `env`".to_owned()),
        }),
    }
}
