//! Messages that could not be read: counted by reason, and the last of them kept for people to look at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use twinhub_domain::Timestamp;

/// The number of rejections kept (API.md).
const KEPT: usize = 1_000;
/// The number of bytes of a payload that are kept (API.md).
const KEPT_BYTES: usize = 256;

/// A message that could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct Rejection {
    pub at: Timestamp,
    pub topic: String,
    /// A stable word: `not_json`, `bad_device_id`, …
    pub reason: &'static str,
    /// The error and its place.
    pub detail: String,
    /// The first 256 bytes, as text; bytes that are no UTF-8 show as U+FFFD.
    pub payload: String,
    /// The length of the payload, in bytes.
    pub bytes: usize,
}

/// The last rejections and the count of all.
#[derive(Debug, Default)]
pub struct Rejections(Mutex<RejectionLog>);

#[derive(Debug, Default)]
struct RejectionLog {
    last: VecDeque<Rejection>,
    by_reason: BTreeMap<&'static str, u64>,
}

impl Rejections {
    /// Counts and keeps one.
    pub fn add(&self, at: Timestamp, topic: &str, payload: &[u8], reason: &'static str, detail: String) {
        let shown = &payload[..payload.len().min(KEPT_BYTES)];
        let rejection = Rejection {
            at,
            topic: topic.chars().take(KEPT_BYTES).collect(),
            reason,
            detail,
            payload: String::from_utf8_lossy(shown).into_owned(),
            bytes: payload.len(),
        };
        let mut inner = self.lock();
        if inner.last.len() >= KEPT {
            inner.last.pop_front();
        }
        inner.last.push_back(rejection);
        *inner.by_reason.entry(reason).or_default() += 1;
    }

    /// Counts one that is not kept: others of the same message are.
    pub fn count(&self, reason: &'static str) {
        *self.lock().by_reason.entry(reason).or_default() += 1;
    }

    /// The last ones, newest first.
    #[must_use]
    pub fn last(&self, limit: usize) -> Vec<Rejection> {
        self.lock().last.iter().rev().take(limit).cloned().collect()
    }

    /// The number of rejections, by reason.
    #[must_use]
    pub fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.lock().by_reason.clone()
    }

    fn lock(&self) -> MutexGuard<'_, RejectionLog> {
        // Nothing in here panics while holding the lock; if it did, counts are still counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_all_are_counted() {
        let rejections = Rejections::default();
        for n in 1..=1_005 {
            rejections.add(Timestamp::from_millis(n), "iot/devices/a/data", b"{", "not_json", n.to_string());
        }
        rejections.count("not_json");
        let kept = rejections.last(usize::MAX);
        let ends = (kept[0].detail.as_str(), kept.last().unwrap().detail.as_str());
        assert_eq!((kept.len(), ends), (1_000, ("1005", "6")));
        assert_eq!(rejections.last(2).len(), 2);
        assert_eq!(rejections.by_reason(), BTreeMap::from([("not_json", 1_006)]));
    }

    /// A flood of messages that cannot be read does not fill the hub's memory.
    #[test]
    fn of_a_large_message_the_beginning_is_kept() {
        let rejections = Rejections::default();
        rejections.add(Timestamp::default(), &"t".repeat(300), &[0xff; 300], "not_utf8", String::new());
        let kept = &rejections.last(1)[0];
        assert_eq!((kept.topic.len(), kept.bytes), (256, 300));
        assert_eq!(kept.payload, "\u{fffd}".repeat(256));
    }
}
