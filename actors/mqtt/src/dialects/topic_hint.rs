//! Topics that are close to one that is read: a person's probable meaning.

use super::{dispositivos, native};

/// The topic that was probably meant by one that has no reader; none where it is not close to any that is read.
pub(super) fn hint(topic: &str) -> Option<String> {
    let levels: Vec<&str> = topic.split('/').collect();
    // A slash in front or at the end is a level of its own, and empty.
    let trimmed: Vec<&str> =
        levels.iter().map(|level| level.trim()).filter(|level| !level.is_empty()).collect();
    if is_close(trimmed.first()?, "dispositivos") {
        return Some(format!("devices of this convention publish on `{}`", dispositivos::TOPIC));
    }
    if !is_close(trimmed.first()?, "iot") || !is_close(trimmed.get(1)?, "devices") {
        return None;
    }
    let device = trimmed.get(2).copied().unwrap_or("{id}");
    let rest = trimmed.get(3..).unwrap_or_default().join("/");
    let meant = format!("iot/devices/{device}/{}", rest.to_lowercase());
    if meant != topic && native::takes(&meant) {
        return Some(format!("`{meant}` is read"));
    }
    let leaf = native::LEAVES.iter().find(|leaf| is_close(&rest, leaf));
    if let Some(leaf) = leaf {
        return Some(format!("`iot/devices/{device}/{leaf}` is read"));
    }
    let shown = if rest.is_empty() { "temperature" } else { rest.rsplit('/').next().unwrap_or_default() };
    Some(format!("readings are read on `iot/devices/{device}/data`, as `{{\"{shown}\": 23.5}}`"))
}

/// The same word but for its case and one or two letters.
fn is_close(word: &str, known: &str) -> bool {
    // A level that is much longer or shorter is another word; and a device chooses how long a level is.
    if word.len().abs_diff(known.len()) > 2 {
        return false;
    }
    let most = if known.len() <= 4 { 1 } else { 2 };
    distance(&word.to_lowercase(), known) <= most
}

/// Letters to change, add or leave out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn says_what_may_be_meant() {
        let check = |topic: &str, expected: &str| {
            assert_eq!(hint(topic).unwrap_or_default(), expected, "{topic}");
        };
        check(
            "iot/devices/esp/temperature",
            "readings are read on `iot/devices/esp/data`, as `{\"temperature\": 23.5}`",
        );
        check("iot/devices/esp", "readings are read on `iot/devices/esp/data`, as `{\"temperature\": 23.5}`");
        check("iot/device/esp/data", "`iot/devices/esp/data` is read");
        check("/iot/devices/esp/data/", "`iot/devices/esp/data` is read");
        check("IoT/Devices/ESP/Data", "`iot/devices/ESP/data` is read");
        check("iot/devices/esp/sate", "`iot/devices/esp/state` is read");
        check("iot/devices/esp/desired/fail", "`iot/devices/esp/desired/failed` is read");
        check("dispositivo/estado", "devices of this convention publish on `dispositivos/estado`");
        for other in ["tele/plug/SENSOR", "iot/x/y", "iot", "", "/", "home/kitchen", "zigbee2mqtt/lamp"] {
            check(other, "");
        }
        check(&"x".repeat(60_000), "");
    }
}
