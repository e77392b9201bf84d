//! Platform patterns: what `linux(debian)/*` holds.

use std::fmt;
use std::sync::Arc;

use imgc_plan::Platform;

use crate::ast;

/// Operating systems that edition 1 knows.
pub(crate) const SYSTEMS: [&str; 4] = ["linux", "windows", "macos", "freebsd"];

/// Distributions that refine Linux: each family with its members.
const FAMILIES: [(&str, &[&str]); 5] = [
    ("debian", &["ubuntu"]),
    ("redhat", &["rhel", "rocky", "alma", "centos", "fedora", "oracle", "amazon"]),
    ("suse", &[]),
    ("alpine", &[]),
    ("arch", &[]),
];

/// A set of platforms; a part that is left out holds any.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pattern {
    pub(crate) os: Option<Arc<str>>,
    pub(crate) distro: Option<Arc<str>>,
    pub(crate) arch: Option<Arc<str>>,
}

impl Pattern {
    /// Every platform.
    pub(crate) const ANY: Self = Self { os: None, distro: None, arch: None };

    /// As it is written.
    pub(crate) fn written(platform: &ast::Platform) -> Self {
        let part = |text: &Arc<str>| (&**text != "*").then(|| text.clone());
        Self { os: part(&platform.os), distro: platform.distro.clone(), arch: part(&platform.arch) }
    }

    /// The one platform, where it holds only one.
    pub(crate) fn exact(&self) -> Option<Platform> {
        let (os, arch) = (self.os.as_ref()?, self.arch.as_ref()?);
        Some(Platform {
            os: os.to_string(),
            distro: self.distro.as_ref().map(ToString::to_string),
            arch: arch.to_string(),
        })
    }

    /// The pattern that holds one platform.
    pub(crate) fn of(platform: &Platform) -> Self {
        Self {
            os: Some(Arc::from(platform.os.as_str())),
            distro: platform.distro.as_deref().map(Arc::from),
            arch: Some(Arc::from(platform.arch.as_str())),
        }
    }

    /// Whether all that `other` holds is in it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        covers(self.os.as_ref(), other.os.as_ref())
            && covers(self.arch.as_ref(), other.arch.as_ref())
            && match (&self.distro, &other.distro) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(family), Some(member)) => is_of(family, member),
            }
    }

    /// What both hold; none where there is nothing.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let distro = match (&self.distro, &other.distro) {
            (one, None) | (None, one) => one.clone(),
            (Some(a), Some(b)) if is_of(a, b) => Some(b.clone()),
            (Some(a), Some(b)) if is_of(b, a) => Some(a.clone()),
            (Some(_), Some(_)) => return None,
        };
        Some(Self {
            os: common(self.os.as_ref(), other.os.as_ref())?,
            distro,
            arch: common(self.arch.as_ref(), other.arch.as_ref())?,
        })
    }

    /// The narrowest pattern that holds both.
    pub(crate) fn join(&self, other: &Self) -> Self {
        let same = |a: &Option<Arc<str>>, b: &Option<Arc<str>>| if a == b { a.clone() } else { None };
        let os = same(&self.os, &other.os);
        let distro = match (&self.distro, &other.distro) {
            (Some(a), Some(b)) if os.is_some() => family_of_both(a, b),
            (Some(_) | None, Some(_) | None) => None,
        };
        Self { os, distro, arch: same(&self.arch, &other.arch) }
    }

    /// Whether the patterns together hold all that this one does. Systems are a known set, architectures are not.
    pub(crate) fn is_covered(&self, by: &[Self]) -> bool {
        if by.iter().any(|pattern| pattern.holds(self)) {
            return true;
        }
        self.os.is_none()
            && SYSTEMS.iter().all(|os| {
                let part = Self { os: Some(Arc::from(*os)), ..self.clone() };
                by.iter().any(|pattern| pattern.holds(&part))
            })
    }

    /// The name of a distribution that nobody knows, or one on a system that has none.
    pub(crate) fn unknown_distro(&self) -> Option<&str> {
        let distro = self.distro.as_deref()?;
        let known = FAMILIES.iter().any(|(family, members)| *family == distro || members.contains(&distro));
        (!known || self.os.as_deref() != Some("linux")).then_some(distro)
    }

    /// A system that nobody knows.
    pub(crate) fn unknown_system(&self) -> Option<&str> {
        self.os.as_deref().filter(|os| !SYSTEMS.contains(os))
    }
}

fn covers(pattern: Option<&Arc<str>>, other: Option<&Arc<str>>) -> bool {
    pattern.is_none() || pattern == other
}

#[expect(clippy::option_option, reason = "no common part at all differs from any part")]
fn common(a: Option<&Arc<str>>, b: Option<&Arc<str>>) -> Option<Option<Arc<str>>> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => None,
        (Some(one), _) | (None, Some(one)) => Some(Some(one.clone())),
        (None, None) => Some(None),
    }
}

/// Whether `member` is the distribution `family` or one of it.
fn is_of(family: &str, member: &str) -> bool {
    family == member || FAMILIES.iter().any(|(name, members)| *name == family && members.contains(&member))
}

fn family_of_both(a: &Arc<str>, b: &Arc<str>) -> Option<Arc<str>> {
    if is_of(a, b) {
        return Some(a.clone());
    }
    if is_of(b, a) {
        return Some(b.clone());
    }
    let shared = FAMILIES.iter().find(|(_, members)| members.contains(&&**a) && members.contains(&&**b));
    shared.map(|(family, _)| Arc::from(*family))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.os.as_deref().unwrap_or("*"))?;
        if let Some(distro) = &self.distro {
            write!(f, "({distro})")?;
        }
        write!(f, "/{}", self.arch.as_deref().unwrap_or("*"))
    }
}
