//! Builds archives by hand, honest and other ones.

/// An archive in the making.
pub(crate) struct Tar(Vec<u8>);

/// A header to be bent.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) name: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) size: Vec<u8>,
    pub(crate) uid: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(name: &str, flag: u8, link: &str, content: &[u8]) -> Self {
        let size = format!("{:011o}\0", content.len()).into_bytes();
        let (name, link) = (name.into(), link.into());
        Self { name, flag, link, size, uid: b"0000000\0".to_vec(), content: content.to_vec() }
    }
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn raw(mut self, raw: &Raw) -> Self {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &raw.name);
        put(100, b"0000755\0");
        put(108, &raw.uid);
        put(116, b"0000000\0");
        put(124, &raw.size);
        put(136, b"00000001000\0");
        put(156, &[raw.flag]);
        put(157, &raw.link);
        put(257, b"ustar\x0000");
        put(148, b"        ");
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(block);
        self.0.extend(&raw.content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn member(self, name: &str, flag: u8, link: &str, content: &[u8]) -> Self {
        self.raw(&Raw::new(name, flag, link, content))
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.member(name, b'0', "", content)
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.member(name, b'5', "", b"")
    }

    pub(crate) fn symlink(self, name: &str, to: &str) -> Self {
        self.member(name, b'2', to, b"")
    }

    pub(crate) fn hardlink(self, name: &str, to: &str) -> Self {
        self.member(name, b'1', to, b"")
    }

    /// PAX records for the next member.
    pub(crate) fn pax(self, records: &[(&str, &str)]) -> Self {
        let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.member("pax", b'x', "", text.as_bytes())
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    /// Without the mark of the end.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let total = (1..=6).map(|digits| rest + digits).find(|total| total.to_string().len() + rest == *total).unwrap();
    format!("{total} {key}={value}\n")
}
