//! Lengths of time as people write them: `30s`, `5m`, `1h`.

/// A length of time in ms: `500ms`, `30s`, `5m`, `1h`, `7d`; more than nothing.
#[must_use]
pub fn duration_ms(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit).filter(|millis| *millis > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(duration_ms(text), expected, "{text}");
        check("500ms", Some(500));
        check("5m", Some(300_000));
        check("7d", Some(604_800_000));
        check("0s", None);
        check("5", None);
        check("m", None);
        check("-5m", None);
        check("99999999999999999d", None);
    }
}
