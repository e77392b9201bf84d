//! Number literals: integers, sizes and durations. Knows nothing of where they stand.

/// What a number literal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// `42`, `0o644`
    Int(i64),
    /// In bytes.
    Size(u64),
    /// In milliseconds.
    Duration(u64),
}

/// Why a number literal says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberError {
    /// `5M`: the texts that may have been meant, each with what it says.
    Ambiguous(Vec<(String, &'static str)>),
    /// `1.5GiB`: there are no fractions. The same amount in a smaller unit, where there is one.
    Fraction(Option<String>),
    /// More than 64 bits.
    TooLarge,
    /// `0644`: the digits after the zeros.
    LeadingZero(String),
    /// `4 GiB`, as it is written: without the blank.
    Apart(String),
    /// `5apples`: the unit, and a known one that differs in case only.
    Unit {
        /// As it stands.
        unit: String,
        /// What was probably meant.
        known: Option<&'static str>,
    },
    /// `1m1h`, `1m2m`
    Order,
    /// `0x1f`, `0o8`
    Digits,
}

/// Units of sizes with their bytes.
const SIZES: [(&str, u64); 11] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
];

/// Units of durations with their milliseconds, in the order in which they stand.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a number literal: what the grammar takes for one begins with a digit.
///
/// # Errors
/// Why it is none.
pub fn number(text: &str) -> Result<Number, NumberError> {
    if text.contains([' ', '\t']) {
        let joined = text.replace([' ', '\t'], "");
        return Err(number(&joined).map_or_else(|error| error, |_| NumberError::Apart(joined)));
    }
    if let Some((whole, rest)) = text.split_once('.') {
        return Err(NumberError::Fraction(smaller_unit(whole, rest)));
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return octal(digits);
    }
    if text.starts_with("0x") || text.starts_with("0b") {
        return Err(NumberError::Digits);
    }
    let (digits, unit) = split_unit(text);
    if unit.is_empty() {
        return integer(digits).map(Number::Int);
    }
    if let Some((_, bytes)) = SIZES.iter().find(|(name, _)| *name == unit) {
        let amount = integer(digits)?.unsigned_abs();
        let size = amount.checked_mul(*bytes).filter(|size| i64::try_from(*size).is_ok());
        return size.map(Number::Size).ok_or(NumberError::TooLarge);
    }
    if let Some(candidates) = ambiguous(digits, unit) {
        return Err(NumberError::Ambiguous(candidates));
    }
    duration(text)
}

/// Splits off what follows the digits.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn integer(digits: &str) -> Result<i64, NumberError> {
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    if plain.len() > 1 && plain.starts_with('0') {
        return Err(NumberError::LeadingZero(plain.trim_start_matches('0').to_owned()));
    }
    plain.parse().map_err(|_| NumberError::TooLarge)
}

fn octal(digits: &str) -> Result<Number, NumberError> {
    if digits.is_empty() || !digits.chars().all(|c| ('0'..='7').contains(&c)) {
        return Err(NumberError::Digits);
    }
    i64::from_str_radix(digits, 8).map(Number::Int).map_err(|_| NumberError::TooLarge)
}

/// `1h30m`: each unit once, from large to small.
fn duration(text: &str) -> Result<Number, NumberError> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut next = 0;
    while !rest.is_empty() {
        let (digits, tail) = split_unit(rest);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at_checked(end).unwrap_or((tail, ""));
        let Some(position) = DURATIONS.iter().position(|(name, _)| *name == unit) else {
            return Err(unknown_unit(split_unit(text).1, unit));
        };
        if position < next {
            return Err(NumberError::Order);
        }
        next = position + 1;
        let scale = DURATIONS.get(position).map_or(0, |(_, scale)| *scale);
        let part = integer(digits)?.unsigned_abs().checked_mul(scale).ok_or(NumberError::TooLarge)?;
        total = total.checked_add(part).ok_or(NumberError::TooLarge)?;
        rest = after;
    }
    if i64::try_from(total).is_err() {
        return Err(NumberError::TooLarge);
    }
    Ok(Number::Duration(total))
}

fn unknown_unit(whole: &str, part: &str) -> NumberError {
    let unit = if whole.chars().any(|c| c.is_ascii_digit()) { part } else { whole };
    let known = SIZES.iter().chain(&DURATIONS).map(|(name, _)| *name);
    let meant = known.into_iter().find(|name| name.eq_ignore_ascii_case(unit)).or_else(|| spelled_out(unit));
    NumberError::Unit { unit: unit.to_owned(), known: meant }
}

/// Units as people write them elsewhere.
fn spelled_out(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" | "hrs" => "h",
        "day" | "days" => "d",
        "msec" | "millis" => "ms",
        "Ki" | "ki" => "KiB",
        "Mi" | "mi" => "MiB",
        "Gi" | "gi" => "GiB",
        "Ti" | "ti" => "TiB",
        _ => return None,
    })
}

/// Units that say too little: `5M` may be a size in two systems, or minutes.
fn ambiguous(digits: &str, unit: &str) -> Option<Vec<(String, &'static str)>> {
    let candidates: [(&str, &'static str); 2] = match unit {
        "M" => [("MiB", "a size"), ("m", "minutes")],
        "K" | "k" => [("KiB", "1024 bytes each"), ("KB", "1000 bytes each")],
        "G" | "g" => [("GiB", "1024 MiB each"), ("GB", "1000 MB each")],
        "T" | "t" => [("TiB", "1024 GiB each"), ("TB", "1000 GB each")],
        _ => return None,
    };
    Some(candidates.into_iter().map(|(unit, says)| (format!("{digits}{unit}"), says)).collect())
}

/// `1.5GiB` as `1536MiB`: the largest unit in which the amount is whole.
fn smaller_unit(whole: &str, rest: &str) -> Option<String> {
    let (decimals, unit) = split_unit(rest);
    let table: &[(&str, u64)] = if SIZES.iter().any(|(name, _)| *name == unit) { &SIZES } else { &DURATIONS };
    let (_, scale) = table.iter().find(|(name, _)| *name == unit)?;
    let tens = 10_u64.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let amount =
        whole.parse::<u64>().ok()?.checked_mul(tens)?.checked_add(decimals.parse().ok()?)?.checked_mul(*scale)?;
    if amount % tens != 0 {
        return None;
    }
    let amount = amount / tens;
    let binary = unit.contains('i');
    let fits = |(name, size): &&(&str, u64)| amount % size == 0 && (*name == "B" || name.contains('i') == binary);
    let (name, size) = table.iter().filter(fits).max_by_key(|(_, size)| *size)?;
    Some(format!("{}{name}", amount / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number("42"), Ok(Number::Int(42)));
        assert_eq!(number("1_000"), Ok(Number::Int(1000)));
        assert_eq!(number("0"), Ok(Number::Int(0)));
        assert_eq!(number("0o644"), Ok(Number::Int(0o644)));
        assert_eq!(number("4GiB"), Ok(Number::Size(4 << 30)));
        assert_eq!(number("20GB"), Ok(Number::Size(20_000_000_000)));
        assert_eq!(number("0B"), Ok(Number::Size(0)));
        assert_eq!(number("1h30m"), Ok(Number::Duration(5_400_000)));
        assert_eq!(number("250ms"), Ok(Number::Duration(250)));
        assert_eq!(number("1d2h3m4s5ms"), Ok(Number::Duration(93_784_005)));
    }

    #[test]
    fn what_is_none() {
        assert_eq!(number("0644"), Err(NumberError::LeadingZero("644".into())));
        assert_eq!(number("9223372036854775808"), Err(NumberError::TooLarge));
        assert_eq!(number("9000000000GiB"), Err(NumberError::TooLarge));
        assert_eq!(number("300000000000000d"), Err(NumberError::TooLarge));
        assert_eq!(number("30m1h"), Err(NumberError::Order));
        assert_eq!(number("1m1m"), Err(NumberError::Order));
        assert_eq!(number("0x1f"), Err(NumberError::Digits));
        assert_eq!(number("0o9"), Err(NumberError::Digits));
        assert_eq!(number("5mb"), Err(NumberError::Unit { unit: "mb".into(), known: Some("MB") }));
        assert_eq!(number("5min"), Err(NumberError::Unit { unit: "min".into(), known: Some("m") }));
        assert_eq!(number("5apples"), Err(NumberError::Unit { unit: "apples".into(), known: None }));
        let Err(NumberError::Ambiguous(fixes)) = number("5M") else { panic!("5M is a number") };
        assert_eq!(fixes, [("5MiB".to_owned(), "a size"), ("5m".to_owned(), "minutes")]);
    }

    #[test]
    fn fractions_name_a_smaller_unit() {
        assert_eq!(number("1.5GiB"), Err(NumberError::Fraction(Some("1536MiB".into()))));
        assert_eq!(number("0.5GB"), Err(NumberError::Fraction(Some("500MB".into()))));
        assert_eq!(number("1.5h"), Err(NumberError::Fraction(Some("90m".into()))));
        assert_eq!(number("1.5"), Err(NumberError::Fraction(None)));
    }
}
