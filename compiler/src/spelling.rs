//! "Did you mean": the one name that is close enough to a misspelt one.

/// The nearest of `names` whose edit distance is at most a third of the length; ties go to the first.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = written.chars().count() / 3;
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        // A letter has up to four bytes, mostly one. Most names end here: there may be many, and many that are misspelt.
        let bytes = if name.is_ascii() && written.is_ascii() { 1 } else { 4 };
        let is_far = name.len().abs_diff(written.len()) > limit * bytes;
        if is_far || (limit == 0 && bytes == 1 && !name.eq_ignore_ascii_case(written)) {
            continue;
        }
        let distance = distance(written, name);
        if distance <= limit && name != written && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
            let mut least = (at(&above, j) + usize::from(x != y)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_the_close_and_leaves_the_far() {
        let names = ["script", "timeout", "network"];
        assert_eq!(nearest("scirpt", names), Some("script"));
        assert_eq!(nearest("netwrok", names), Some("network"));
        assert_eq!(nearest("user", names), None);
    }
}
