//! Topic filters over topics in order: where a topic does not match, the filter gives the next key that may match, so
//! that a look-up skips whole branches.

use std::ops::Bound;

use mqtt5::parse_shared_subscription;

/// Separates levels in a [`FilterKey`]: no topic has it, and it sorts before everything, so that all below a topic
/// comes right behind it.
const LEVEL: u8 = 0;

/// A topic as the index sorts it.
pub(super) type FilterKey = Box<[u8]>;

/// The key of `topic`.
pub(super) fn key(topic: &str) -> FilterKey {
    topic.bytes().map(|byte| if byte == b'/' { LEVEL } else { byte }).collect()
}

/// The keys of all topics below `topic`, without itself.
pub(super) fn below(topic: &str) -> (Bound<FilterKey>, Bound<FilterKey>) {
    let end = |byte| [&key(topic)[..], &[byte]].concat().into_boxed_slice();
    (Bound::Included(end(LEVEL)), Bound::Excluded(end(LEVEL + 1)))
}

/// A topic filter, taken apart.
#[derive(Clone, Debug)]
pub(super) struct RetainedFilter {
    levels: Vec<Level>,
    /// The filter ends with `#`.
    all_below: bool,
}

#[derive(Clone, Debug)]
enum Level {
    Is(Box<[u8]>),
    Any,
}

/// The relation of a topic to a filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FilterRelation {
    Matches,
    /// Neither the topic nor any before this key matches.
    ContinueAt(FilterKey),
    /// Neither the topic nor any behind it matches.
    Done,
}

impl RetainedFilter {
    /// None for shared subscriptions: they get nothing that was retained (MQTT 5, 4.8.2).
    pub(super) fn parse(filter: &str) -> Option<Self> {
        if parse_shared_subscription(filter).1.is_some() {
            return None;
        }
        let (levels, all_below) = match filter.strip_suffix('#') {
            Some(levels) => (levels.strip_suffix('/'), true),
            None => (Some(filter), false),
        };
        let level = |level: &str| if level == "+" { Level::Any } else { Level::Is(level.as_bytes().into()) };
        Some(Self {
            levels: levels.map(|levels| levels.split('/').map(level).collect()).unwrap_or_default(),
            all_below,
        })
    }

    /// The one topic that it names, where it has no wildcard.
    pub(super) fn exact(&self) -> Option<FilterKey> {
        let mut key = Vec::new();
        for (place, level) in self.levels.iter().enumerate() {
            let Level::Is(word) = level else { return None };
            if place > 0 {
                key.push(LEVEL);
            }
            key.extend_from_slice(word);
        }
        (!self.all_below).then(|| key.into_boxed_slice())
    }

    pub(super) fn relation(&self, topic: &[u8]) -> FilterRelation {
        // Where the level begins, and where the last one ended that any word would have done for.
        let (mut begin, mut last_any) = (0, None);
        for (place, level) in self.levels.iter().enumerate() {
            if begin > topic.len() {
                let next: &[u8] = if let Level::Is(word) = level { word } else { &[] };
                return continue_at(&[topic, &[LEVEL], next]);
            }
            let rest = &topic[begin..];
            let word = rest.split(|byte| *byte == LEVEL).next().unwrap_or_default();
            let end = begin + word.len();
            match level {
                // `$SYS` and its like are not for wildcards (4.7.2).
                Level::Any if place == 0 && word.first() == Some(&b'$') => {
                    return continue_behind(&topic[..end]);
                }
                Level::Any => last_any = Some(end),
                Level::Is(expected) if word < &**expected => {
                    return continue_at(&[&topic[..begin], expected]);
                }
                Level::Is(expected) if word > &**expected => {
                    return last_any.map_or(FilterRelation::Done, |end| continue_behind(&topic[..end]));
                }
                Level::Is(_) => {}
            }
            begin = end + 1;
        }
        if self.all_below {
            let first = topic.split(|byte| *byte == LEVEL).next().unwrap_or_default();
            return if self.levels.is_empty() && first.first() == Some(&b'$') {
                continue_behind(first)
            } else {
                FilterRelation::Matches
            };
        }
        match begin.checked_sub(1).and_then(|end| topic.get(..end)) {
            Some(matched) if matched.len() < topic.len() => continue_behind(matched),
            _ => FilterRelation::Matches,
        }
    }
}

fn continue_at(parts: &[&[u8]]) -> FilterRelation {
    FilterRelation::ContinueAt(parts.concat().into_boxed_slice())
}

/// The key behind a topic and all topics below it.
fn continue_behind(topic: &[u8]) -> FilterRelation {
    continue_at(&[topic, &[LEVEL + 1]])
}
