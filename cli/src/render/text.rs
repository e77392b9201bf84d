//! Small things in words: times, sizes, one line of a program's output.

use std::time::Duration;

/// `0.4s`, `12s`, `3m 20s`, `1h 05m`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=9 => format!("{:.1}s", time.as_secs_f64()),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `512 B`, `1.5 KiB`, `12.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, so that no float is needed.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = "KiB";
    for larger in units.into_iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A size as users write it: `512`, `1.5 GiB`, `500MB`; SI units count in thousands.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write `500 MiB`, `20 GiB` or a number of bytes");
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    // The digits behind the point as a fraction: more than nine say nothing about a number of bytes that one writes.
    let digits: String = part.chars().take(9).collect();
    let scale = 10_u128.pow(u32::try_from(digits.len()).unwrap_or_default());
    let fraction = digits.parse::<u128>().unwrap_or_default() * u128::from(factor) / scale;
    let bytes = u128::from(whole) * u128::from(factor) + fraction;
    u64::try_from(bytes).map_err(|_| wrong())
}

/// `1 step`, `3 steps`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// What a line of output shows on a terminal: after its last carriage return, without control sequences.
pub(crate) fn visible(line: &str) -> String {
    let last = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let mut text = String::with_capacity(last.len());
    let mut chars = last.chars();
    while let Some(c) = chars.next() {
        match c {
            // A control sequence ends with a letter or `~`, a string with BEL or ESC \; others are two characters long.
            '\u{1b}' => match chars.next() {
                Some('[') => drop(chars.by_ref().find(|c| matches!(c, '@'..='~'))),
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    if chars.by_ref().find(|c| matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}')) == Some('\u{1b}') {
                        chars.next();
                    }
                }
                Some(_) | None => {}
            },
            // Marks that make text run backwards hide what a line says.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            '\t' => text.push(' '),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(12 << 20), "12.0 MiB");
        assert_eq!(size(5 << 40), "5120.0 GiB");
        assert_eq!(duration(Duration::from_millis(420)), "0.4s");
        assert_eq!(duration(Duration::from_secs(200)), "3m 20s");
        assert_eq!(duration(Duration::from_secs(3900)), "1h 05m");
    }

    #[test]
    fn a_live_line_shows_what_a_terminal_would() {
        assert_eq!(visible("10%\r20%\r"), "20%");
        assert_eq!(visible("\u{1b}[31mred\u{1b}[0m\tend\u{7}"), "red end");
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_visible() {
        assert_eq!(visible("a\u{1b}]0;title\u{7}b\u{1b}]52;c;eA==\u{1b}\\c\u{1b}P+q\u{9c}d"), "abcd");
        assert_eq!(visible("\u{9b}31mx\u{8}\u{202e}y\u{0}\u{7f}"), "31mxy");
        assert_eq!(visible("\u{1b}"), "");
    }

    #[test]
    fn sizes_are_read_as_they_are_written() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_size("500MB"), Ok(500_000_000));
        for wrong in ["", "x", "1..5", "-1", "9999999999 TiB", "5 parsecs"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
