//! Debian's control files: package lists, releases, what is installed.

use std::collections::BTreeMap;

/// A version of a package, by name and version.
pub(super) type Versions = BTreeMap<(String, String), String>;

/// The paragraphs of a control file that give values for all these fields, in their order.
fn fields<'a, const N: usize>(text: &'a str, names: [&'a str; N]) -> impl Iterator<Item = [&'a str; N]> {
    text.split("\n\n").filter_map(move |paragraph| {
        let mut values = [""; N];
        for line in paragraph.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            for (wanted, slot) in names.iter().zip(values.iter_mut()) {
                if *wanted == name {
                    *slot = value.trim();
                }
            }
        }
        values.iter().all(|value| !value.is_empty()).then_some(values)
    })
}

/// Adds what a `Packages` file lists: name and version to SHA-256.
pub(super) fn add_available(text: &str, to: &mut Versions) {
    for [name, version, sha256] in fields(text, ["Package", "Version", "SHA256"]) {
        to.insert((name.to_owned(), version.to_owned()), sha256.to_owned());
    }
}

/// What `/var/lib/dpkg/status` says is installed: names and versions, sorted.
pub(super) fn installed(status: &str) -> Vec<(String, String)> {
    let paragraphs = fields(status, ["Package", "Version", "Status"]);
    let there = paragraphs.filter(|[_, _, status]| *status == "install ok installed");
    let mut found: Vec<_> = there.map(|[name, version, _]| (name.to_owned(), version.to_owned())).collect();
    found.sort();
    found
}

/// Names and versions in what `apt-get --print-uris` prints.
pub(super) fn solution(text: &str) -> Vec<(String, String)> {
    let file = |line: &str| {
        let name = line.split("' ").nth(1)?.split(' ').next()?;
        let (name, rest) = name.strip_suffix(".deb")?.split_once('_')?;
        let (version, _) = rest.rsplit_once('_')?;
        Some((name.to_owned(), version.replace("%3a", ":")))
    };
    let mut found: Vec<_> = text.lines().filter_map(file).collect();
    found.sort();
    found.dedup();
    found
}

/// Seconds since 1970 of the `Date` of a release file.
pub(super) fn date(release: &str) -> Option<i64> {
    let line = release.lines().find_map(|line| line.strip_prefix("Date:"))?;
    let parts: Vec<&str> = line.split_whitespace().collect();
    let [_, day, month, year, time, zone] = parts.as_slice() else { return None };
    if !matches!(*zone, "UTC" | "GMT" | "+0000") {
        return None;
    }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i64::try_from(months.iter().position(|name| name == month)?).ok()? + 1;
    let clock: Vec<i64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = clock.as_slice() else { return None };
    let days = days_since_1970(year.parse().ok()?, month, day.parse().ok()?);
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years begin in March so that leap days stand at their end.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_solution_are_names_and_versions() {
        let text = "'http://m/pool/x/x_1%3a2-3_amd64.deb' x_1%3a2-3_amd64.deb 10 MD5Sum:00\n\
                    'http://m/pool/l/libc6_2.36-9%2bdeb12u14_amd64.deb' libc6_2.36-9+deb12u14_amd64.deb 1 SHA256:00\n";
        let found = solution(text);
        assert_eq!(found, [("libc6", "2.36-9+deb12u14"), ("x", "1:2-3")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn only_what_is_installed_counts() {
        let status = "Package: b\nStatus: install ok installed\nVersion: 1\n\nPackage: a\nStatus: deinstall ok config-files\nVersion: 2\n";
        assert_eq!(installed(status), [("b".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn dates_are_seconds() {
        assert_eq!(date("Suite: x\nDate: Thu, 01 Jan 1970 00:00:10 UTC\n"), Some(10));
        assert_eq!(date("Date: Sat, 29 Feb 2020 12:00:00 UTC"), Some(1_582_977_600));
        assert_eq!(date("Date: gestern"), None);
    }
}
