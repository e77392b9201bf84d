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
            // A control sequence ends with a letter or `~`; others are two characters long.
            '\u{1b}' => {
                if chars.next() == Some('[') {
                    chars.by_ref().find(|c| matches!(c, '@'..='~'));
                }
            }
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
}
