//! What a person or a script has at hand while a program runs in a machine: `imgc shell`.

use tokio::sync::mpsc::Receiver;

use crate::Output;

/// The host's end of a program that is talked to while it runs.
pub struct Console<'a> {
    /// The terminal that the program is to find; none: its input and output are pipes.
    pub terminal: Option<Tty>,
    /// What is typed or piped in. When all senders are gone, so is the input.
    pub input: Receiver<Input>,
    /// Where its output goes. With a terminal all of it comes as standard output.
    pub output: Output<'a>,
}

/// A terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tty {
    /// The value of `TERM`: `xterm-256color`.
    pub term: String,
    /// How large it is at first.
    pub size: TtySize,
}

/// In characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtySize {
    /// Across.
    pub columns: u16,
    /// Down.
    pub rows: u16,
}

/// One thing that reaches a program from its console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Bytes, in order.
    Bytes(Vec<u8>),
    /// The terminal has another size now.
    Resized(TtySize),
}
