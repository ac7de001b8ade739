//! Suggestions for misspelt words.

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

/// The nearest key, or our word for another system's.
pub(super) fn nearest_key<'a>(key: &str, keys: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let ours = ELSEWHERE.iter().find(|(theirs, _)| *theirs == key).map(|(_, ours)| *ours);
    keys.clone().find(|candidate| Some(*candidate) == ours).or_else(|| nearest(key, keys))
}
