//! What client and agent say to each other: frames on a byte stream, messages in frames.
//!
//! The stream may begin in the middle of a frame, because whoever spoke before died or the machine was saved; so every
//! frame starts with a mark and carries checksums, and the parser looks for the next good one. Memory is bounded by
//! [`MAX_PAYLOAD`], whatever comes.

mod frame;
mod message;

pub use frame::{Frame, HEADER, MAX_PAYLOAD, Parser};
pub use message::{Failure, FileKind, Put, Reply, Request, Run, Size};

/// Raised when an older side could not understand a newer one.
pub const VERSION: u32 = 1;

/// The name of the virtio-serial port.
pub const PORT: &str = "org.imgc.agent.0";

/// Input of a program that may be on its way without the agent having passed it on.
pub const INPUT_WINDOW: usize = 64 * 1024;

/// How much of a stream is put into one frame.
pub const CHUNK: usize = 32 * 1024;
