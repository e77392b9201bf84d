//! A client of QEMU's monitor protocol (QMP): one JSON object a line, a greeting, then commands. Of events it notes that the
//! guest was stopped for lack of room on the host; all others are passed over.
//!
//! It knows the protocol and none of the commands.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The longest line that is read: far above what any command here answers.
const LONGEST: u64 = 16 << 20;
/// How long a command may take to be answered. None of ours does work that lasts.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection to one monitor.
#[derive(Debug)]
pub(crate) struct Qmp<R = OwnedReadHalf, W = OwnedWriteHalf> {
    reader: BufReader<R>,
    writer: W,
    /// A line that was read in part when a wait was given up.
    line: Vec<u8>,
    /// Whether QEMU said that it stopped the guest, as the host had no room for what it wrote.
    starved: bool,
}

/// What goes wrong between us and a monitor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    /// QEMU is gone, or closed the connection.
    #[error("QEMU closed its monitor")]
    Closed,
    /// A command was refused.
    #[error("QEMU refused {command}: {description}")]
    Refused {
        /// The command.
        command: String,
        /// Why, in QEMU's words.
        description: String,
    },
    /// No answer in time.
    #[error("QEMU did not answer {what} within {}s", ANSWER.as_secs())]
    Silent {
        /// What it was asked.
        what: String,
    },
    /// Something that is no QMP.
    #[error("QEMU's monitor said something that is no QMP: {0}")]
    Malformed(String),
}

impl Qmp {
    /// Takes up the protocol on a connected socket.
    pub(crate) async fn over(stream: UnixStream) -> Result<Self, QmpError> {
        let (reader, writer) = stream.into_split();
        Self::greet(reader, writer).await
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Qmp<R, W> {
    async fn greet(reader: R, writer: W) -> Result<Self, QmpError> {
        let mut qmp = Self { reader: BufReader::new(reader), writer, line: Vec::new(), starved: false };
        let greeting = qmp.within("the greeting", ANSWER).await?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Malformed(clip(&greeting.to_string())));
        }
        qmp.run("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Runs a command and returns what it answers. A client that gave a command up is of no more use.
    pub(crate) async fn run(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.writer.write_all(line.as_bytes()).await.map_err(|_| QmpError::Closed)?;
        loop {
            let mut answer = self.within(command, ANSWER).await?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let description = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
                return Err(QmpError::Refused { command: command.to_owned(), description });
            }
            // Events come whenever they like.
            if answer.get("event").is_none() {
                return Err(QmpError::Malformed(clip(&answer.to_string())));
            }
            self.hear(&answer);
        }
    }

    /// Waits until QEMU says that it stopped the guest, as the host had no room for what it wrote; for ever where it never
    /// does. May be given up at any time.
    pub(crate) async fn starved(&mut self) {
        while !self.starved {
            match self.read().await {
                Ok(said) => self.hear(&said),
                // Whoever has to know that it ended waits for that.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Whether QEMU has said so.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    fn hear(&mut self, said: &Value) {
        let data = said.get("data");
        let field = |name: &str| data.and_then(|data| data.get(name));
        self.starved |= said.get("event").and_then(Value::as_str) == Some("BLOCK_IO_ERROR")
            && field("action").and_then(Value::as_str) == Some("stop")
            && field("nospace").and_then(Value::as_bool) == Some(true);
    }

    /// A command of the human monitor, for the few things that QMP lacks.
    pub(crate) async fn human(&mut self, command: &str) -> Result<String, QmpError> {
        let answer = self.run("human-monitor-command", json!({ "command-line": command })).await?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    async fn within(&mut self, what: &str, limit: Duration) -> Result<Value, QmpError> {
        let silent = |_| QmpError::Silent { what: what.to_owned() };
        tokio::time::timeout(limit, self.read()).await.map_err(silent)?
    }

    async fn read(&mut self) -> Result<Value, QmpError> {
        loop {
            let room = LONGEST.saturating_sub(self.line.len() as u64);
            let read = (&mut self.reader).take(room).read_until(b'\n', &mut self.line).await;
            match read {
                Ok(_) if self.line.ends_with(b"\n") => {}
                Ok(_) if self.line.len() as u64 >= LONGEST => {
                    return Err(QmpError::Malformed("a line without an end".to_owned()));
                }
                Ok(_) | Err(_) => return Err(QmpError::Closed),
            }
            let line = std::mem::take(&mut self.line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            return serde_json::from_slice(&line)
                .map_err(|_| QmpError::Malformed(clip(&String::from_utf8_lossy(&line))));
        }
    }
}

fn clip(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn talk(theirs: &str) -> Result<Qmp<&'static [u8], Vec<u8>>, QmpError> {
        let bytes: &'static [u8] = Box::leak(theirs.to_owned().into_boxed_str()).as_bytes();
        Qmp::greet(bytes, Vec::new()).await
    }

    const HELLO: &str = "{\"QMP\": {\"version\": {}}}\r\n{\"return\": {}}\r\n";

    #[tokio::test]
    async fn an_answer_comes_after_events() {
        let text =
            format!("{HELLO}{}\n{}\n", r#"{"event":"STOP","data":{"a":1}}"#, r#"{"return":{"status":"paused"}}"#);
        let mut qmp = talk(&text).await.unwrap();
        assert_eq!(qmp.run("query-status", json!({})).await.unwrap()["status"], "paused");
        assert!(String::from_utf8(qmp.writer).unwrap().contains("query-status"));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_qemus_words() {
        let text = format!("{HELLO}{}\n", r#"{"error":{"class":"GenericError","desc":"no such node"}}"#);
        let mut qmp = talk(&text).await.unwrap();
        let error = qmp.run("blockdev-add", json!({})).await.unwrap_err().to_string();
        assert_eq!(error, "QEMU refused blockdev-add: no such node");
    }

    #[tokio::test]
    async fn a_full_host_is_heard_in_an_answer_and_in_silence() {
        let error = |nospace: bool, action: &str| {
            format!(
                r#"{{"event":"BLOCK_IO_ERROR","data":{{"device":"","node-name":"top","operation":"write","action":"{action}","nospace":{nospace},"reason":"x"}}}}"#
            )
        };
        let stop = r#"{"event":"STOP"}"#;
        let (mild, full) = (error(false, "report"), error(true, "stop"));
        let mut qmp = talk(&format!("{HELLO}{mild}\n{}\n{full}\n{stop}\n", r#"{"return":{}}"#)).await.unwrap();
        qmp.run("stop", json!({})).await.unwrap();
        assert!(!qmp.is_starved());
        tokio::time::timeout(Duration::from_secs(60), qmp.starved()).await.unwrap();
        let mut qmp = talk(&format!("{HELLO}{full}\n{stop}\n{}\n", r#"{"return":{}}"#)).await.unwrap();
        qmp.run("stop", json!({})).await.unwrap();
        assert!(qmp.is_starved());
    }

    #[tokio::test]
    async fn nonsense_and_silence_are_errors() {
        for text in ["", "hello\n", "{}\n", "{\"QMP\":{}}\n", "{\"QMP\":{}}\nx\n", "{\"QMP\":{}}\n[1]\n", "\u{0}\n"] {
            assert!(talk(text).await.is_err(), "{text:?}");
        }
    }
}
