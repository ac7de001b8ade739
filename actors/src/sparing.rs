//! Throttled log lines about events that may happen a thousand times a second: the first few of a kind each minute are
//! written, and the next one after that has the number of those left out.

use std::collections::HashMap;

/// A minute's lines of one kind.
const MOST: u32 = 5;
const MINUTE_MS: u64 = 60_000;
/// Kinds that are remembered. Where there are more, those begin anew.
const MOST_KINDS: usize = 1_000;

/// The throttle of log lines, by kind.
#[derive(Debug, Default)]
pub struct Sparing {
    kinds: HashMap<Box<str>, Kind>,
}

#[derive(Debug, Default)]
struct Kind {
    since_ms: u64,
    written: u32,
    left_out: u64,
}

impl Sparing {
    /// May a line of `kind` be written at `now_ms`, on a clock that only counts? Gives the number of lines left out
    /// since the last.
    pub fn may(&mut self, kind: &str, now_ms: u64) -> Option<u64> {
        if self.kinds.len() >= MOST_KINDS && !self.kinds.contains_key(kind) {
            self.kinds.clear();
        }
        let kind = match self.kinds.get_mut(kind) {
            Some(kind) => kind,
            None => self.kinds.entry(kind.into()).or_insert(Kind { since_ms: now_ms, ..Kind::default() }),
        };
        if now_ms.saturating_sub(kind.since_ms) >= MINUTE_MS {
            (kind.since_ms, kind.written) = (now_ms, 0);
        }
        if kind.written >= MOST {
            kind.left_out += 1;
            return None;
        }
        kind.written += 1;
        Some(std::mem::take(&mut kind.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_count() {
        let mut sparing = Sparing::default();
        let written: Vec<_> = (0..100).filter_map(|ms| sparing.may("hot", ms)).collect();
        assert_eq!(written, [0; 5]);
        assert_eq!(sparing.may("cold", 100), Some(0), "each kind for itself");
        assert_eq!(sparing.may("hot", MINUTE_MS), Some(95));
        assert_eq!(sparing.may("hot", MINUTE_MS), Some(0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut sparing = Sparing::default();
        for kind in 0..10 * MOST_KINDS {
            sparing.may(&kind.to_string(), 0);
        }
        assert!(sparing.kinds.len() <= MOST_KINDS);
    }
}
