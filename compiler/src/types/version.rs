//! Versions: their order, and whether one fulfils a requirement (semver.org, version 2.0.0; requirements as in Cargo).

use std::cmp::Ordering;

/// A version, or the part of one that a requirement writes.
struct Version<'t> {
    /// Major, minor, patch, as far as they are written; `*` ends them.
    numbers: Vec<&'t str>,
    /// The parts after `-`; empty for a release.
    pre: Vec<&'t str>,
}

impl<'t> Version<'t> {
    fn read(text: &'t str) -> Self {
        let text = text.split('+').next().unwrap_or_default();
        let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
        let numbers = core.split('.').take_while(|part| *part != "*").collect();
        Self { numbers, pre: pre.map(|pre| pre.split('.').collect()).unwrap_or_default() }
    }

    /// Compares as many numbers as `written` has, and the pre-release where all three are there.
    fn compare(&self, written: &Self) -> Ordering {
        let numbers = self.numbers.iter().zip(&written.numbers);
        let by_number = numbers.map(|(a, b)| number(a, b)).find(|order| order.is_ne());
        match by_number {
            Some(order) => order,
            None if written.numbers.len() < 3 => Ordering::Equal,
            None => self.compare_pre(written),
        }
    }

    fn compare_pre(&self, other: &Self) -> Ordering {
        match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let parts = self.pre.iter().zip(&other.pre).map(|(a, b)| part(a, b));
                parts.fold(Ordering::Equal, Ordering::then).then(self.pre.len().cmp(&other.pre.len()))
            }
        }
    }

    /// Whether the first numbers are the same, as many as asked.
    fn shares(&self, other: &Self, count: usize) -> bool {
        self.numbers.iter().take(count).eq(other.numbers.iter().take(count))
    }

    /// How many numbers `^` keeps: up to the first that is not 0.
    fn kept(&self) -> usize {
        let zeros = self.numbers.iter().take_while(|n| **n == "0").count();
        (zeros + 1).min(self.numbers.len())
    }
}

/// Numbers of any length without leading zeros.
fn number(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Parts of pre-releases: numbers stand before words.
fn part(a: &str, b: &str) -> Ordering {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match (is_number(a), is_number(b)) {
        (true, true) => number(a, b),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

/// Which of two versions is the newer.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    Version::read(a).compare(&Version::read(b))
}

/// Whether a version fulfils every comparator of a requirement. A pre-release does only where a comparator names one of
/// the same release: nobody gets one who did not ask.
pub(crate) fn fulfils(version: &str, requirement: &str) -> bool {
    let version = Version::read(version);
    let mut named = version.pre.is_empty();
    for comparator in requirement.split(',').map(str::trim) {
        let rest = comparator.trim_start_matches(['>', '<', '=', '^', '~']);
        let mark = comparator.strip_suffix(rest).unwrap_or_default();
        let asked = Version::read(rest.trim_start());
        if !fulfils_one(&version, mark, &asked) {
            return false;
        }
        named |= !asked.pre.is_empty() && version.shares(&asked, 3);
    }
    named
}

fn fulfils_one(version: &Version<'_>, mark: &str, asked: &Version<'_>) -> bool {
    let order = version.compare(asked);
    match mark {
        "=" => order.is_eq(),
        ">" => order.is_gt(),
        "<" => order.is_lt(),
        ">=" => order.is_ge(),
        "<=" => order.is_le(),
        "~" => order.is_ge() && version.shares(asked, asked.numbers.len().min(2)),
        // `^1.2`, and a version alone.
        _ => order.is_ge() && version.shares(asked, asked.kept()),
    }
}

#[cfg(test)]
mod tests {
    use super::{compare, fulfils};

    #[test]
    fn order() {
        let sorted =
            ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"];
        let sorted: Vec<&str> =
            sorted.into_iter().chain(["1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0", "11.0.0"]).collect();
        for pair in sorted.windows(2) {
            assert!(compare(pair[0], pair[1]).is_lt(), "{pair:?}");
        }
        assert!(compare("1.0.0+a", "1.0.0+b").is_eq());
    }

    #[test]
    fn requirements() {
        let fits = [
            "1.2.3 1.2",
            "1.9.0 ^1.2",
            "1.2.9 ~1.2",
            "0.3.1 0.3",
            "2.0.0 >=1.2, <3",
            "1.2.3 *",
            "1.2.3 1.*",
            "1.2.3 =1.2",
        ];
        let more = ["1.0.0-rc.2 >=1.0.0-rc.1", "0.0.3 ^0.0.3", "0.9.0 0", "1.2.3 <=1.2"];
        for case in fits.into_iter().chain(more) {
            let (version, requirement) = case.split_once(' ').unwrap();
            assert!(fulfils(version, requirement), "{case}");
        }
        for case in [
            "2.0.0 1.2",
            "1.3.0 ~1.2",
            "0.4.0 0.3",
            "3.0.0 >=1.2, <3",
            "1.0.0-rc.2 >=0.9",
            "0.0.4 ^0.0.3",
            "1.3.0 <=1.2",
        ] {
            let (version, requirement) = case.split_once(' ').unwrap();
            assert!(!fulfils(version, requirement), "{case}");
        }
    }
}
