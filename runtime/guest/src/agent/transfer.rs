//! Files to and from the guest.

use std::collections::VecDeque;

use imgc_backend::{BackendError, Cx, Placement, PlacementItem, PlacementKind};
use imgc_plan::Digest;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::client::{Client, failed, unexpected};
use super::protocol::{CHUNK, FileKind, Put, Reply, Request};

/// Items sent without waiting for the answers to those before: a round trip each would make small files slow.
const UNANSWERED: usize = 32;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Client<S> {
    /// Reads a file of the guest; its size.
    ///
    /// # Errors
    /// [`BackendError::Program`] where there is no such file.
    pub async fn get(
        &mut self,
        path: &str,
        to: &mut (dyn AsyncWrite + Unpin + Send),
        cx: &Cx,
    ) -> Result<u64, BackendError> {
        let stream = self.begin();
        self.send(stream, &Request::Get { path: path.to_owned() }).await?;
        let mut length: u64 = 0;
        loop {
            let reply = tokio::select! {
                () = cx.cancel.cancelled() => None,
                reply = self.reply(stream) => Some(reply?),
            };
            match reply {
                Some(Reply::Found { .. } | Reply::Pong) => {}
                Some(Reply::Data(bytes)) => {
                    length += bytes.len() as u64;
                    let written = to.write_all(&bytes).await;
                    written.map_err(BackendError::io(format!("cannot keep {path} of the guest")))?;
                }
                Some(Reply::Done) => break,
                Some(Reply::Failed { failure, message }) => return Err(failed(failure, message)),
                Some(other) => return Err(unexpected(&other)),
                None => {
                    self.send(stream, &Request::Abort).await?;
                    return Err(BackendError::Interrupted);
                }
            }
        }
        to.flush().await.map_err(BackendError::io(format!("cannot keep {path} of the guest")))?;
        Ok(length)
    }

    /// Puts everything in place, several items under way at a time.
    pub(super) async fn put_all(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        let mut unanswered = VecDeque::new();
        for item in &placement.items {
            if cx.cancel.is_cancelled() {
                return Err(BackendError::Interrupted);
            }
            if unanswered.len() >= UNANSWERED {
                self.answered(unanswered.pop_front(), cx).await?;
            }
            let stream = self.begin();
            unanswered.push_back(stream);
            self.put_item(stream, item, cx).await?;
        }
        while let Some(stream) = unanswered.pop_front() {
            self.answered(Some(stream), cx).await?;
        }
        Ok(())
    }

    async fn answered(&mut self, stream: Option<u32>, cx: &Cx) -> Result<(), BackendError> {
        let Some(stream) = stream else { return Ok(()) };
        loop {
            let reply = tokio::select! {
                () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
                reply = self.reply(stream) => reply?,
            };
            match reply {
                Reply::Done => return Ok(()),
                Reply::Pong => {}
                Reply::Failed { failure, message } => return Err(failed(failure, message)),
                other => return Err(unexpected(&other)),
            }
        }
    }

    async fn put_item(&mut self, stream: u32, item: &PlacementItem, cx: &Cx) -> Result<(), BackendError> {
        let kind = match &item.kind {
            PlacementKind::Dir => FileKind::Directory,
            PlacementKind::Symlink { target } => FileKind::Link(target.clone()),
            PlacementKind::Bytes(_) | PlacementKind::HostFile { .. } => FileKind::File,
        };
        let put = Put {
            path: item.path.clone(),
            kind,
            mode: item.mode,
            user: item.owner.user.clone(),
            group: item.owner.group.clone(),
        };
        self.send(stream, &Request::Put(put)).await?;
        match &item.kind {
            PlacementKind::Dir | PlacementKind::Symlink { .. } => Ok(()),
            PlacementKind::Bytes(bytes) => {
                self.send_content(stream, bytes).await?;
                self.send(stream, &Request::InputEnd).await
            }
            PlacementKind::HostFile { from, digest, size } => {
                let sent = self.send_file(stream, from, (*size, *digest), cx).await;
                // What is not whole must not get its name.
                let last = if sent.is_ok() { Request::InputEnd } else { Request::Abort };
                self.send(stream, &last).await?;
                sent
            }
        }
    }

    /// Sends a host file's content, which must be what the plan saw.
    async fn send_file(
        &mut self,
        stream: u32,
        from: &std::path::Path,
        expected: (u64, Digest),
        cx: &Cx,
    ) -> Result<(), BackendError> {
        let reading = || BackendError::io(format!("cannot read {}", from.display()));
        let mut file = tokio::fs::File::open(from).await.map_err(reading())?;
        let mut hasher = blake3::Hasher::new();
        let mut length: u64 = 0;
        let mut bytes = vec![0; CHUNK];
        loop {
            if cx.cancel.is_cancelled() {
                return Err(BackendError::Interrupted);
            }
            let read = file.read(&mut bytes).await.map_err(reading())?;
            let chunk = bytes.get(..read).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            length += read as u64;
            hasher.update(chunk);
            self.send(stream, &Request::Input(chunk.to_vec())).await?;
        }
        if (length, Digest(*hasher.finalize().as_bytes())) == expected {
            return Ok(());
        }
        Err(BackendError::Program {
            message: format!("{} changed since the plan was made", from.display()),
            help: Some("run the same command again: the plan is made anew then".to_owned()),
        })
    }
}
