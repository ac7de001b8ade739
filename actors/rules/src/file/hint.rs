//! What was meant, perhaps.

use twinhub_domain::duration::duration_ms;

/// Words of other systems for ours.
const ELSEWHERE: [(&str, &str); 16] = [
    ("entity_id", "device"),
    ("device_id", "device"),
    ("service", "command"),
    ("state", "changed"),
    ("numeric_state", "numeric"),
    ("time_pattern", "every"),
    ("sequence", "do"),
    ("default", "else"),
    ("then", "do"),
    ("if", "when"),
    ("wait_template", "wait"),
    ("wait_for_trigger", "wait"),
    ("notify", "alarm"),
    ("data", "parameters"),
    ("name", "alias"),
    ("hysteresis", "release"),
];

/// The nearest of `words`, if any is near.
#[must_use]
pub fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    // A word much longer than any of ours is near to none, and comparing costs by the product of the lengths.
    if length > 40 {
        return None;
    }
    let allowed = if length < 4 { 1 } else { 1 + length / 4 };
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
    let (distance, nearest) =
        words.map(|candidate| (distance(candidate), candidate)).min_by_key(|(d, _)| *d)?;
    let is_begun =
        length >= 3 && (nearest.starts_with(&word) || (nearest.len() >= 3 && word.starts_with(nearest)));
    (is_begun || (distance <= allowed && distance < length)).then_some(nearest)
}

/// The nearest key, or what another system's word for it is here.
pub(super) fn nearest_key<'a>(key: &str, keys: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let ours = ELSEWHERE.iter().find(|(theirs, _)| *theirs == key).map(|(_, ours)| *ours);
    keys.clone().find(|candidate| Some(*candidate) == ours).or_else(|| nearest(key, keys))
}

/// A length of time as we write it, from what others write: `00:05:00`, `5 min`, `1h30m`, `300`.
pub(super) fn said_as_duration(text: &str) -> Option<String> {
    let millis = clock(text).or_else(|| parts(text))?;
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let (unit, length) = units.into_iter().find(|(_, length)| millis % length == 0)?;
    Some(format!("{}{unit}", millis / length)).filter(|said| duration_ms(said).is_some())
}

/// `HH:MM:SS` or `HH:MM`.
fn clock(text: &str) -> Option<i64> {
    let fields: Vec<i64> = text.split(':').map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match *fields.as_slice() {
        [hours, minutes] => (hours, minutes, 0),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let within = (0..10_000).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
    within.then_some(((hours * 60 + minutes) * 60 + seconds) * 1_000)
}

/// Numbers with units after them; one number alone is seconds.
fn parts(text: &str) -> Option<i64> {
    let mut millis: i64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let length = match unit.to_ascii_lowercase().as_str() {
            "ms" | "millis" | "milliseconds" => 1,
            "" if next.is_empty() => 1_000,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            "w" | "week" | "weeks" => 7 * 86_400_000,
            _ => return None,
        };
        millis = millis.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = next.trim_start_matches([' ', ',']);
    }
    Some(millis)
}
