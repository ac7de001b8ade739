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
pub struct LogThrottle {
    kinds: HashMap<Box<str>, ThrottledKind>,
}

#[derive(Debug, Default)]
struct ThrottledKind {
    since_ms: u64,
    written: u32,
    left_out: u64,
}

impl LogThrottle {
    /// May a line of `kind` be written at `now_ms`, on a clock that only counts? Gives the number of lines left out
    /// since the last.
    pub fn permit(&mut self, kind: &str, now_ms: u64) -> Option<u64> {
        if self.kinds.len() >= MOST_KINDS && !self.kinds.contains_key(kind) {
            self.kinds.clear();
        }
        let kind = match self.kinds.get_mut(kind) {
            Some(kind) => kind,
            None => self
                .kinds
                .entry(kind.into())
                .or_insert(ThrottledKind { since_ms: now_ms, ..ThrottledKind::default() }),
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
        let mut throttle = LogThrottle::default();
        let written: Vec<_> = (0..100).filter_map(|ms| throttle.permit("hot", ms)).collect();
        assert_eq!(written, [0; 5]);
        assert_eq!(throttle.permit("cold", 100), Some(0), "each kind for itself");
        assert_eq!(throttle.permit("hot", MINUTE_MS), Some(95));
        assert_eq!(throttle.permit("hot", MINUTE_MS), Some(0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = LogThrottle::default();
        for kind in 0..10 * MOST_KINDS {
            throttle.permit(&kind.to_string(), 0);
        }
        assert!(throttle.kinds.len() <= MOST_KINDS);
    }
}
