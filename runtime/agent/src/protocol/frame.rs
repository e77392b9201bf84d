//! Frames: a mark, a kind, a stream's number, a length, two checksums, and the payload.

/// The length of a header.
pub const HEADER: usize = 20;

/// The longest payload.
pub const MAX_PAYLOAD: usize = 256 * 1024;

const MARK: [u8; 3] = *b"\xa7iG";

/// One frame. `stream` tells calls that run side by side apart; zero belongs to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which message the payload is.
    pub kind: u8,
    /// Whose.
    pub stream: u32,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The frame's bytes: mark and kind, stream, length, checksum of the payload, checksum of all before; then the
    /// payload. What is longer than [`MAX_PAYLOAD`] is cut, which its reader notices by the message's own lengths.
    pub fn encode(&self) -> Vec<u8> {
        let payload = self.payload.get(..MAX_PAYLOAD).unwrap_or(&self.payload);
        let length = u32::try_from(payload.len()).unwrap_or(0);
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend_from_slice(&MARK);
        bytes.push(self.kind);
        bytes.extend_from_slice(&self.stream.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32(payload).to_le_bytes());
        bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }
}

/// Takes bytes as they come and gives the frames in them; skips whatever is not a whole good frame.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    /// Where the unread part of the buffer begins: frames are cut off its front without moving the rest each time.
    start: usize,
}

impl Parser {
    /// Adds bytes. Call [`Parser::next`] until it gives none before adding more: that bounds what is held.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets a frame that has begun.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next whole frame.
    #[expect(clippy::should_implement_trait, reason = "it is no iterator: after none there may be more")]
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            self.skip_to_mark();
            let rest = self.buffer.get(self.start..)?;
            let header = rest.get(..HEADER)?;
            let Some(parsed) = Header::parse(header) else {
                self.start += 1;
                continue;
            };
            let payload = rest.get(HEADER..HEADER + parsed.length)?;
            if crc32(payload) != parsed.payload_sum {
                // The header was good, so a payload was cut off here and something else followed. It goes as a whole:
                // looking inside would cost its length again for each header that a hostile sender put in there.
                self.start += HEADER + parsed.length;
                continue;
            }
            let frame = Frame { kind: parsed.kind, stream: parsed.stream, payload: payload.to_vec() };
            self.start += HEADER + parsed.length;
            return Some(frame);
        }
    }

    fn skip_to_mark(&mut self) {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        // A part of the mark at the very end may become a whole one, so it counts.
        let mut at = 0;
        while let Some(found) = rest.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == MARK[0])) {
            at += found;
            let here = rest.get(at..).unwrap_or_default();
            if here.iter().zip(MARK).all(|(found, mark)| *found == mark) {
                self.start += at;
                return;
            }
            at += 1;
        }
        self.start += rest.len();
    }
}

struct Header {
    kind: u8,
    stream: u32,
    length: usize,
    payload_sum: u32,
}

impl Header {
    /// None unless the mark, the checksum and the length are good.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let length = usize::try_from(word(8)?).ok().filter(|length| *length <= MAX_PAYLOAD)?;
        let good = bytes.starts_with(&MARK) && word(16)? == crc32(bytes.get(..16)?);
        good.then_some(Self { kind: *bytes.get(3)?, stream: word(4)?, length, payload_sum: word(12)? })
    }
}

/// CRC-32 as in Ethernet and gzip.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0_u32, |sum, byte| {
        let at = (sum ^ u32::from(*byte)) & 0xff;
        TABLE.get(at as usize).copied().unwrap_or(0) ^ (sum >> 8)
    })
}

#[expect(clippy::indexing_slicing, reason = "constant evaluation stops the compiler where an index is wrong")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at: u32 = 0;
    while at < 256 {
        let (mut sum, mut bit) = (at, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        table[at as usize] = sum;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_frame_after_the_start_of_another_is_found() {
        let frame = |kind, payload: &[u8]| Frame { kind, stream: 7, payload: payload.to_vec() };
        let mut parser = Parser::default();
        parser.push(frame(1, &[9; 5000]).encode().get(..4000).unwrap());
        assert_eq!(parser.next(), None);
        // The dead client's frame is completed by filler; what follows is read.
        parser.push(&vec![0; MAX_PAYLOAD]);
        assert_eq!(parser.next(), None);
        parser.push(&frame(2, b"hello").encode());
        assert_eq!(parser.next(), Some(frame(2, b"hello")));
        assert_eq!(parser.held(), 0);
    }
}
