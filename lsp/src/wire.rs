//! Messages over standard input and output.
//!
//! lsp-server's own reader ends at the first message that is no JSON; this one answers with the protocol's error and
//! reads on, so that a client's fault costs one message and not the session.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use lsp_server::{Connection, ErrorCode, Message};
use serde_json::{Value, json};

/// The most bytes of a message. The largest text that is looked at has 1 MiB; escapes make at most six of one.
const LIMIT: usize = 64 << 20;

/// The most bytes of a line of a header.
const LINE_LIMIT: u64 = 4096;

/// What one read gave.
enum Incoming {
    Message(Box<Message>),
    /// What is wrong, as the answer that the client gets.
    Fault(Value),
    End,
}

/// The threads that read and write.
pub(crate) struct Threads {
    writer: JoinHandle<io::Result<()>>,
}

impl Threads {
    /// Waits until all that was sent is written. The reader is not waited for: it may hang in a read.
    ///
    /// # Errors
    /// The client does not take it.
    pub(crate) fn join(self) -> io::Result<()> {
        self.writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")))
    }
}

/// A connection to the client at the other end of `input` and `output`. The receiver ends when the input does.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn connect(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
) -> io::Result<(Connection, Threads)> {
    let (out_sender, out_receiver) = unbounded();
    let (in_sender, in_receiver) = bounded(0);
    let output = Arc::new(Mutex::new(output));
    let shared = output.clone();
    let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let writer = named("writer").spawn(move || write_all(&out_receiver, &output))?;
    named("reader").spawn(move || {
        let mut input = io::BufReader::new(input);
        read_all(&mut input, &in_sender, &shared);
    })?;
    Ok((Connection { sender: out_sender, receiver: in_receiver }, Threads { writer }))
}

fn write_all(messages: &Receiver<Message>, output: &Mutex<impl Write>) -> io::Result<()> {
    for message in messages {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        message.write(&mut *output)?;
    }
    Ok(())
}

fn read_all(input: &mut impl BufRead, messages: &Sender<Message>, output: &Mutex<impl Write>) {
    loop {
        match read(input) {
            Ok(Incoming::Message(message)) => {
                let is_exit = matches!(&*message, Message::Notification(n) if n.method == "exit");
                if messages.send(*message).is_err() || is_exit {
                    return;
                }
            }
            Ok(Incoming::Fault(answer)) => {
                let text = answer.to_string();
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                let written = write!(output, "Content-Length: {}\r\n\r\n{text}", text.len());
                if written.and_then(|()| output.flush()).is_err() {
                    return;
                }
            }
            Ok(Incoming::End) | Err(_) => return,
        }
    }
}

/// Reads one message; lines that are no header are skipped.
fn read(input: &mut impl BufRead) -> io::Result<Incoming> {
    let Some(length) = read_length(input)? else { return Ok(Incoming::End) };
    if length > LIMIT {
        io::copy(&mut input.take(length as u64), &mut io::sink())?;
        return Ok(fault(&Value::Null, ErrorCode::InvalidRequest, &format!("a message of {length} bytes is too long")));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    let value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(error) => {
            return Ok(fault(&Value::Null, ErrorCode::ParseError, &format!("the message is not JSON: {error}")));
        }
    };
    let id = value.get("id").cloned().unwrap_or_default();
    let what = "the message is neither a request, a response nor a notification";
    let message = serde_json::from_value(value).map(|message| Incoming::Message(Box::new(message)));
    Ok(message.unwrap_or_else(|_| fault(&id, ErrorCode::InvalidRequest, what)))
}

/// The length that the next header gives; none at the end of the input.
fn read_length(input: &mut impl BufRead) -> io::Result<Option<usize>> {
    let mut length = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.take(LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() {
            if length.is_some() {
                return Ok(length);
            }
            continue;
        }
        if let Some((name, value)) = text.split_once(':')
            && name.trim().eq_ignore_ascii_case("Content-Length")
        {
            length = value.trim().parse().ok();
        }
    }
}

fn fault(id: &Value, code: ErrorCode, message: &str) -> Incoming {
    let id = if id.is_number() || id.is_string() { id } else { &Value::Null };
    Incoming::Fault(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code as i32, "message": message } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{text}", text.len())
    }

    #[test]
    fn what_is_no_message_is_answered_and_the_next_one_is_read() {
        let good = framed(r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#);
        let bad = ["{", "[]", r#"{"id":7}"#, "\u{0}", r#"{"id":[1],"x":2}"#].map(framed).concat();
        let input = format!("rubbish\r\n{bad}Content-Length: x\r\n\r\nmore\r\n\r\n{good}");
        let mut input = input.as_bytes();
        let mut codes = Vec::new();
        loop {
            match read(&mut input).unwrap() {
                Incoming::Fault(answer) => codes.push((answer["id"].clone(), answer["error"]["code"].clone())),
                Incoming::Message(message) => {
                    assert!(matches!(*message, Message::Notification(n) if n.method == "initialized"));
                    break;
                }
                Incoming::End => panic!("the good message was not found"),
            }
        }
        let null = Value::Null;
        let expected = [
            (null.clone(), -32700),
            (null.clone(), -32600),
            (json!(7), -32600),
            (null.clone(), -32700),
            (null, -32600),
        ];
        assert_eq!(codes, expected.map(|(id, code)| (id, json!(code))));
        assert!(matches!(read(&mut input), Ok(Incoming::End)));
    }

    #[test]
    fn a_message_that_is_cut_off_ends_the_input() {
        assert!(read(&mut "Content-Length: 10\r\n\r\n{".as_bytes()).is_err());
        assert!(matches!(read(&mut "Content-Length: 10\r\n".as_bytes()), Ok(Incoming::End)));
    }
}
