//! Retained messages by topic, in order: an exact filter is one look-up, and a wildcard reads its matches and one more
//! message for each branch that it passes over.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::filter::{FilterKey, FilterRelation, RetainedFilter, below, key};
use twinhub_domain::Timestamp;
use twinhub_domain::retained::RetainedMessage;

/// The memory of a message beside its texts and bytes.
const OVERHEAD: usize = 200;

/// Retained messages in the order of their topics.
#[derive(Debug, Default)]
pub(super) struct Index {
    messages: BTreeMap<FilterKey, Arc<RetainedMessage>>,
    bytes: usize,
    /// Messages looked at since the start.
    looked_at: u64,
}

/// A subscription's filter, and its progress through the topics.
#[derive(Debug)]
pub(in crate::broker) struct Cursor {
    filter: RetainedFilter,
    from: Bound<FilterKey>,
}

impl Cursor {
    pub(in crate::broker) fn new(filter: &str) -> Option<Self> {
        Some(Self { filter: RetainedFilter::parse(filter)?, from: Bound::Unbounded })
    }
}

/// The next message for a cursor.
#[derive(Debug)]
pub(super) enum Peeked {
    Message(Arc<RetainedMessage>),
    Nothing,
    /// No step was left.
    Interrupted,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Their memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn looked_at(&self) -> u64 {
        self.looked_at
    }

    pub(super) fn get(&self, topic: &str) -> Option<&Arc<RetainedMessage>> {
        self.messages.get(&key(topic))
    }

    pub(super) fn insert(&mut self, message: Arc<RetainedMessage>) {
        self.bytes += size(&message);
        if let Some(before) = self.messages.insert(key(&message.topic), message) {
            self.bytes -= size(&before);
        }
    }

    pub(super) fn remove(&mut self, topic: &str) -> bool {
        let removed = self.messages.remove(&key(topic));
        self.bytes -= removed.as_deref().map_or(0, size);
        removed.is_some()
    }

    /// The topics below `topic`.
    pub(super) fn topics_below(&self, topic: &str) -> Vec<Arc<str>> {
        self.messages.range(below(topic)).map(|(_, message)| Arc::clone(&message.topic)).collect()
    }

    /// The topics of messages whose time is over.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<Arc<str>> {
        let messages = self.messages.values();
        let expired = messages.filter(|message| message.expires_at.is_some_and(|at| at <= now));
        expired.map(|message| Arc::clone(&message.topic)).collect()
    }

    /// The next message that `cursor` asks for; it stays where it is. Each that is looked at takes one of `steps`.
    pub(super) fn peek(&mut self, cursor: &mut Cursor, steps: &mut usize) -> Peeked {
        if let Some(exact) = cursor.filter.exact() {
            if cursor.from != Bound::Unbounded {
                return Peeked::Nothing; // it has got the one that there is
            }
            if !take_step(steps) {
                return Peeked::Interrupted;
            }
            self.looked_at += 1;
            return self
                .messages
                .get(&exact)
                .map_or(Peeked::Nothing, |message| Peeked::Message(Arc::clone(message)));
        }
        while take_step(steps) {
            let next = self.messages.range((cursor.from.clone(), Bound::Unbounded)).next();
            let Some((topic, message)) = next else { return Peeked::Nothing };
            self.looked_at += 1;
            match cursor.filter.relation(topic) {
                FilterRelation::Matches => return Peeked::Message(Arc::clone(message)),
                FilterRelation::ContinueAt(next) => cursor.from = Bound::Included(next),
                FilterRelation::Done => return Peeked::Nothing,
            }
        }
        Peeked::Interrupted
    }

    /// `cursor` has got this message.
    pub(super) fn pass(cursor: &mut Cursor, message: &RetainedMessage) {
        cursor.from = Bound::Excluded(key(&message.topic));
    }
}

/// False where none is left.
fn take_step(steps: &mut usize) -> bool {
    let left = steps.checked_sub(1);
    *steps = left.unwrap_or_default();
    left.is_some()
}

/// The memory of `message`, about.
pub(super) fn size(message: &RetainedMessage) -> usize {
    size_of_parts((message.topic.len(), message.payload.len(), message.properties.len()))
}

/// The same of the bytes of a topic, a payload and properties.
pub(super) fn size_of_parts((topic, payload, properties): (usize, usize, usize)) -> usize {
    OVERHEAD + 2 * topic + payload + properties
}
