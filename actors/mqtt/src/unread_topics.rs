//! Messages on topics that have no reader: other people's traffic, or a device whose topic is slightly wrong. Counted
//! by the first level of the topic, so that a person who looks for a device finds its topic.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tracing::info;

use super::dialects;
use twinhub_domain::Timestamp;

/// First levels that are counted apart; further ones are counted together.
const MOST_LEVELS: usize = 100;
/// A topic is kept up to this many bytes.
const KEPT_BYTES: usize = 256;
/// The name of those that are counted together.
const OTHERS: &str = "(others)";

/// Counts of messages on topics that have no reader. Writes no more than [`MOST_LEVELS`] lines to the log.
#[derive(Debug, Default)]
pub struct UnreadTopics(Mutex<BTreeMap<Box<str>, LevelCount>>);

#[derive(Debug)]
struct LevelCount {
    count: u64,
    last: String,
    at: Timestamp,
    /// The last that was close to a topic that is read.
    close: Option<String>,
}

/// The messages under one first level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadLevel {
    /// The first level of the topics; `(others)` for those beyond the first 100.
    pub first_level: String,
    pub count: u64,
    pub last_topic: String,
    pub last_at: Timestamp,
    /// The last of them that was close to a topic that is read.
    pub close_topic: Option<String>,
    /// The topic that was probably meant.
    pub hint: Option<String>,
}

impl UnreadTopics {
    /// Counts a message on `topic`.
    pub fn count(&self, topic: &str, now: Timestamp) {
        let first = cut(topic.split('/').next().unwrap_or_default());
        let mut levels = self.lock();
        let key = match levels.get(first) {
            None if levels.len() >= MOST_LEVELS => OTHERS,
            _ => first,
        };
        if let Some(kept) = levels.get_mut(key) {
            kept.count += 1;
            kept.at = now;
            if kept.last != cut(topic) {
                kept.last.clear(); // its room is used again: most come here once a message
                kept.last.push_str(cut(topic));
                if dialects::hint(topic).is_some() {
                    kept.close = Some(cut(topic).to_owned());
                }
            }
            return;
        }
        let hint = dialects::hint(topic);
        let close = hint.is_some().then(|| cut(topic).to_owned());
        levels.insert(key.into(), LevelCount { count: 1, last: cut(topic).to_owned(), at: now, close });
        drop(levels);
        info!(
            topic = cut(topic),
            hint, "no dialect or rule reads this topic, nor others with its first level: they are counted"
        );
    }

    /// The counts, the largest first.
    #[must_use]
    pub fn levels(&self) -> Vec<UnreadLevel> {
        let mut levels: Vec<_> = self
            .lock()
            .iter()
            .map(|(first, kept)| UnreadLevel {
                first_level: first.to_string(),
                count: kept.count,
                last_topic: kept.last.clone(),
                last_at: kept.at,
                close_topic: kept.close.clone(),
                hint: kept.close.as_deref().and_then(dialects::hint),
            })
            .collect();
        levels.sort_by_key(|level| std::cmp::Reverse(level.count));
        levels
    }

    /// The number of messages in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock().values().map(|kept| kept.count).sum()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, LevelCount>> {
        // Nothing in here panics while holding the lock; if it did, counts are still counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(topic: &str) -> &str {
    &topic[..topic.floor_char_boundary(KEPT_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn counts_by_first_level_and_keeps_what_is_close() {
        let topics = UnreadTopics::default();
        topics.count("iot/devices/esp/temperature", at(1));
        topics.count("iot/nothing/of/ours/at/all", at(2));
        for n in 0..3 {
            topics.count("tele/plug/SENSOR", at(n));
        }
        let levels = topics.levels();
        let counted: Vec<_> = levels.iter().map(|level| (level.first_level.as_str(), level.count)).collect();
        assert_eq!(counted, [("tele", 3), ("iot", 2)]);
        assert_eq!((levels[1].last_topic.as_str(), levels[1].last_at), ("iot/nothing/of/ours/at/all", at(2)));
        assert_eq!(levels[1].close_topic.as_deref(), Some("iot/devices/esp/temperature"));
        assert!(levels[1].hint.as_deref().is_some_and(|hint| hint.contains("iot/devices/esp/data")));
        assert_eq!(levels[0].hint, None);
    }

    #[test]
    fn first_levels_are_bounded() {
        let topics = UnreadTopics::default();
        for n in 0..MOST_LEVELS + 50 {
            topics.count(&format!("{n}{}", "ü".repeat(1_000)), at(0));
        }
        let levels = topics.levels();
        assert_eq!(levels.len(), MOST_LEVELS + 1);
        assert_eq!((levels[0].first_level.as_str(), levels[0].count), (OTHERS, 50));
        assert!(levels.iter().all(|level| level.last_topic.len() <= KEPT_BYTES));
    }
}
