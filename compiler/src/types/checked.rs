//! Checked texts: texts of a known form.

/// The form of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CheckedText {
    GuestPath,
    Semver,
    VersionReq,
    Digest,
    Url,
    Cidr,
}

impl CheckedText {
    /// Every form.
    pub(crate) const ALL: [Self; 6] =
        [Self::GuestPath, Self::Semver, Self::VersionReq, Self::Digest, Self::Url, Self::Cidr];

    /// The type's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GuestPath => "GuestPath",
            Self::Semver => "Semver",
            Self::VersionReq => "VersionReq",
            Self::Digest => "Digest",
            Self::Url => "Url",
            Self::Cidr => "Cidr",
        }
    }

    /// What a text has to look like, for people.
    pub(crate) fn form(self) -> &'static str {
        match self {
            Self::GuestPath => "an absolute path without `..`, such as `/etc/motd`",
            Self::Semver => "a version such as `1.2.3`",
            Self::VersionReq => "a version requirement such as `>=1.2, <2`",
            Self::Digest => "a digest such as `sha256:` and 64 hexadecimal digits",
            Self::Url => "a URL such as `https://example.org/x`",
            Self::Cidr => "a network such as `10.0.0.0/8`",
        }
    }

    /// Whether the text has the form.
    pub(crate) fn accepts(self, text: &str) -> bool {
        match self {
            Self::GuestPath => is_guest_path(text),
            Self::Semver => is_semver(text),
            Self::VersionReq => !text.is_empty() && text.split(',').all(|part| is_comparator(part.trim())),
            Self::Digest => is_digest(text),
            Self::Url => is_url(text),
            Self::Cidr => is_cidr(text),
        }
    }
}

/// Whether a path begins with a drive, as those of Windows do and no others.
pub(crate) fn has_drive(path: &str) -> bool {
    path.get(1..3).is_some_and(|mark| mark == ":\\" || mark == ":/")
        && path.starts_with(|first: char| first.is_ascii_alphabetic())
}

fn is_guest_path(text: &str) -> bool {
    let drive = has_drive(text);
    let climbs = text.split(['/', '\\']).any(|part| part == "..");
    (text.starts_with('/') || drive) && !climbs && !text.contains(['\0', '\n'])
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

fn is_semver(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let is_tail = |tail: &str| {
        tail.split('.').all(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3 && parts.into_iter().all(is_number) && pre.is_none_or(is_tail) && build.is_none_or(is_tail)
}

fn is_comparator(text: &str) -> bool {
    let rest = text.trim_start_matches(['>', '<', '=', '^', '~']).trim_start();
    let mark = text.strip_suffix(rest).unwrap_or_default().trim_end();
    let known = ["", "=", ">", "<", ">=", "<=", "^", "~"].contains(&mark);
    let parts: Vec<&str> = rest.split('.').collect();
    known && (is_semver(rest) || (parts.len() <= 3 && parts.into_iter().all(|part| part == "*" || is_number(part))))
}

fn is_digest(text: &str) -> bool {
    let is_hex =
        |hex: &str, len| hex.len() == len && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match text.split_once(':') {
        Some(("sha256" | "blake3", hex)) => is_hex(hex, 64),
        Some(("sha512", hex)) => is_hex(hex, 128),
        Some(_) | None => false,
    }
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let known = !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    let blank = text.chars().any(|c| c.is_whitespace() || c.is_control());
    known && !blank && (scheme == "file" || rest.split('/').next().is_some_and(|host| !host.is_empty()))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let max = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    is_number(length) && length.parse::<u8>().is_ok_and(|length| length <= max)
}
