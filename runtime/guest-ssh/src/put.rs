//! Putting files in place: content goes to a directory of our own by sftp, by scp where the server has no sftp, and
//! through `cat` where it has neither; one script moves it all into place then.

use std::path::Path;

use imgc_backend::{BackendError, Cx, Placement, PlacementKind};
use imgc_plan::Digest;
use russh::ChannelMsg;
use russh_sftp::client::{Config, SftpSession};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Client, full_disk};
use crate::remote::{self, Running};

const PIECE: usize = 128 * 1024;

/// A file on its way.
struct File<'a> {
    name: String,
    size: u64,
    content: Box<dyn AsyncRead + Unpin + Send + Sync + 'a>,
    /// Of a host file: where it is, and what it must hold.
    expected: Option<(&'a Path, Digest)>,
    hasher: blake3::Hasher,
    given: u64,
}

/// What carries files.
enum Carrier {
    Sftp(SftpSession),
    Scp(Running),
    Cat,
}

impl Client {
    pub(crate) async fn put_all(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        tokio::select! {
            () = cx.cancel.cancelled() => Err(BackendError::Interrupted),
            put = self.carry_and_install(placement, cx) => put,
        }
    }

    async fn carry_and_install(&self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        // On the disk, so that moving costs nothing and large files need no memory.
        let stage = self.stage("/var/tmp").await?;
        if let Err(error) = self.carry(placement, &stage, cx).await {
            let _ = remote::run(&self.connection.handle, &format!("rm -rf {stage}"), &[]).await;
            return Err(error);
        }
        self.upload(&format!("{stage}/run"), crate::install::script(placement).as_bytes()).await?;
        let finished = self.run_as_root(&stage).await?;
        if finished.succeeded() {
            return Ok(());
        }
        let message = finished.complaint();
        let help = full_disk(&message);
        Err(BackendError::Program { message, help })
    }

    async fn carry(&self, placement: &Placement, stage: &str, cx: &Cx) -> Result<(), BackendError> {
        let mut carrier: Option<Carrier> = None;
        for (number, item) in placement.items.iter().enumerate() {
            let Some(file) = open(number, &item.kind).await? else { continue };
            let mut ready = match carrier.take() {
                Some(carrier) => carrier,
                None => self.carrier(stage, cx).await?,
            };
            match &mut ready {
                Carrier::Sftp(sftp) => by_sftp(sftp, file, stage).await?,
                Carrier::Scp(scp) => by_scp(scp, file, stage).await?,
                Carrier::Cat => self.by_cat(file, stage).await?,
            }
            carrier = Some(ready);
        }
        match carrier {
            Some(Carrier::Sftp(sftp)) => sftp.close().await.map_err(|error| not_written(stage, &error.to_string())),
            Some(Carrier::Scp(scp)) => scp.end_input().await,
            Some(Carrier::Cat) | None => Ok(()),
        }
    }

    /// What the server has.
    async fn carrier(&self, stage: &str, cx: &Cx) -> Result<Carrier, BackendError> {
        if let Some(sftp) = self.sftp().await? {
            return Ok(Carrier::Sftp(sftp));
        }
        let mut scp = remote::start(&self.connection.handle, &format!("scp -t {stage}"), false).await?;
        // It speaks first, if it is there.
        if scp.output().await?.is_some_and(|said| said.first() == Some(&0)) {
            cx.note("the guest's SSH server has no sftp: files go by scp");
            return Ok(Carrier::Scp(scp));
        }
        cx.note("the guest has neither sftp nor scp: files go through `cat`");
        Ok(Carrier::Cat)
    }

    async fn sftp(&self) -> Result<Option<SftpSession>, BackendError> {
        let mut channel = remote::session(&self.connection.handle).await?;
        if channel.request_subsystem(true, "sftp").await.is_err() {
            return Ok(None);
        }
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::Failure | ChannelMsg::Close | ChannelMsg::Eof) | None => return Ok(None),
                Some(_) => {}
            }
        }
        // An emulated guest that writes out its cache may keep a request for long.
        let config = Config { request_timeout_secs: 120, ..Config::default() };
        // A server whose sftp program is missing grants the subsystem and ends it.
        Ok(SftpSession::new_with_config(channel.into_stream(), config).await.ok())
    }

    async fn by_cat(&self, mut file: File<'_>, stage: &str) -> Result<(), BackendError> {
        let command = format!("cat >{stage}/{}", file.name);
        let running = remote::start(&self.connection.handle, &command, false).await?;
        while let Some(piece) = file.next().await? {
            running.input(&piece).await?;
        }
        running.end_input().await?;
        let finished = running.finish().await?;
        if finished.succeeded() { Ok(()) } else { Err(not_written(stage, &finished.complaint())) }
    }
}

/// The content of an item that has one.
async fn open(number: usize, kind: &PlacementKind) -> Result<Option<File<'_>>, BackendError> {
    let (size, content, expected): (_, Box<dyn AsyncRead + Unpin + Send + Sync>, _) = match kind {
        PlacementKind::Dir | PlacementKind::Symlink { .. } => return Ok(None),
        PlacementKind::Bytes(bytes) => (bytes.len() as u64, Box::new(bytes.as_slice()), None),
        PlacementKind::HostFile { from, digest, size } => {
            let reading = BackendError::io(format!("cannot read {}", from.display()));
            let content = tokio::fs::File::open(from).await.map_err(reading)?;
            (*size, Box::new(content), Some((from.as_path(), *digest)))
        }
    };
    Ok(Some(File { name: number.to_string(), size, content, expected, hasher: blake3::Hasher::new(), given: 0 }))
}

impl File<'_> {
    /// The next piece; none at the end, if the content was as long as was said and what the plan saw.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, BackendError> {
        let mut piece = vec![0; PIECE];
        let read = self.content.read(&mut piece).await;
        let read = read.map_err(BackendError::io(format!("cannot read {}", self.origin())))?;
        piece.truncate(read);
        self.given += read as u64;
        self.hasher.update(&piece);
        let whole = || {
            let found = Digest(*self.hasher.finalize().as_bytes());
            self.given == self.size && self.expected.is_none_or(|(_, digest)| digest == found)
        };
        // What is longer must not be sent: scp would take the rest for something else.
        if self.given > self.size || (read == 0 && !whole()) {
            return Err(BackendError::Program {
                message: format!("{} changed since the plan was made", self.origin()),
                help: Some("run the same command again: the plan is made anew then".to_owned()),
            });
        }
        Ok((read > 0).then_some(piece))
    }

    fn origin(&self) -> String {
        self.expected.map_or_else(|| "a text".to_owned(), |(from, _)| from.display().to_string())
    }
}

async fn by_sftp(sftp: &SftpSession, mut file: File<'_>, stage: &str) -> Result<(), BackendError> {
    let failed = |error: std::io::Error| not_written(stage, &error.to_string());
    let created = sftp.create(format!("{stage}/{}", file.name)).await;
    let mut there = created.map_err(|error| not_written(stage, &error.to_string()))?;
    while let Some(piece) = file.next().await? {
        there.write_all(&piece).await.map_err(failed)?;
    }
    there.shutdown().await.map_err(failed)
}

/// The sink's side of the protocol answers each part with a zero, or with a line that says what is wrong.
async fn by_scp(scp: &mut Running, mut file: File<'_>, stage: &str) -> Result<(), BackendError> {
    scp.input(format!("C0600 {} {}\n", file.size, file.name).as_bytes()).await?;
    accepted(scp, stage).await?;
    while let Some(piece) = file.next().await? {
        scp.input(&piece).await?;
    }
    scp.input(&[0]).await?;
    accepted(scp, stage).await
}

async fn accepted(scp: &mut Running, stage: &str) -> Result<(), BackendError> {
    match scp.output().await? {
        Some(said) if said.first() == Some(&0) => Ok(()),
        Some(said) => Err(not_written(stage, String::from_utf8_lossy(&said).trim())),
        None => Err(not_written(stage, "scp ended")),
    }
}

fn not_written(stage: &str, why: &str) -> BackendError {
    // The sftp protocol has no word for a full disk but this.
    let full = full_disk(why).or_else(|| {
        (why.contains("Failure") || why.contains("failure")).then(|| {
            "is the guest's disk full? give the machine a larger one, or remove what the steps before leave".to_owned()
        })
    });
    BackendError::Program { message: format!("cannot write to {stage} in the guest: {why}"), help: full }
}
