//! Retained messages: in memory for subscribers, in the store over restarts.
//!
//! The broker crate would walk through all retained messages at each SUBSCRIBE, and keep them in memory alone; so it
//! keeps none (see [`keep_none`]), and they are here. Changes are written behind in group commits: a topic that changes
//! often is written once a commit, and a publisher is acknowledged when the commit that has its message, or one that
//! replaced it, is done.

mod filter;
mod index;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt5::broker::router::MessageRouter;
use mqtt5::packet::publish::PublishPacket;
use mqtt5::{Properties, PropertyId, QoS};
use tokio::sync::Notify;
use tracing::{error, info};

pub(super) use self::index::Cursor;
use self::index::{Index, Peeked, size, size_of_parts};
use super::persistence::{PersistenceError, RetainedPersistence};
use twinhub_domain::receipt::{Accepted, Receipt};
use twinhub_domain::retained::{RetainedChange, RetainedMessage};
use twinhub_domain::{Clock, Timestamp};

/// Bytes of payloads in one transaction: enough for thousands of ordinary messages, and little enough that
/// telemetry does not wait long for its own.
const MOST_IN_COMMIT: usize = 4 << 20;
/// Topics in one transaction.
const MOST_CHANGES: usize = 1_000;
/// The memory of a topic that is to be written, beside its text, in bytes.
const OVERHEAD: usize = 64;
/// The wait before a failed commit is tried again; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Bounds of retained messages.
#[derive(Clone, Copy, Debug)]
pub struct RetainedLimits {
    /// Bytes of one message's payload.
    pub message: usize,
    /// Bytes of all messages in memory, their topics and properties with them.
    pub total: usize,
}

impl Default for RetainedLimits {
    fn default() -> Self {
        // The device list of a Zigbee bridge has several MB.
        Self { message: 8 << 20, total: 256 << 20 }
    }
}

/// The retained messages, in memory and in the store.
pub(super) struct Retained {
    limits: RetainedLimits,
    store: Arc<dyn RetainedPersistence>,
    clock: Arc<dyn Clock>,
    state: Mutex<RetainedState>,
    changed: Notify,
}

#[derive(Default)]
struct RetainedState {
    index: Index,
    /// Topics that changed since they were last written.
    unwritten: HashSet<Arc<str>>,
    /// The memory of these, about, and of those that are being written.
    unwritten_bytes: usize,
    writing_bytes: usize,
    /// Each with the number of the change it waits for.
    waiting: Vec<(u64, Receipt)>,
    /// Changes made since the start, and the last of them that is written.
    made: u64,
    written: u64,
    refused: u64,
}

/// The progress of [`Retained::answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerProgress {
    All,
    /// As many as were taken.
    Part,
    /// The call has looked at its share of topics, and must be repeated.
    Interrupted,
}

/// The amount retained now, and the number of messages that were not retained for want of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetainedFigures {
    pub messages: u64,
    pub bytes: u64,
    pub refused: u64,
}

impl Retained {
    /// Loads the retained messages of `store`.
    pub(super) async fn load(
        store: Arc<dyn RetainedPersistence>,
        clock: Arc<dyn Clock>,
        limits: RetainedLimits,
    ) -> Result<Arc<Self>, PersistenceError> {
        let mut state = RetainedState::default();
        for message in store.retained().await? {
            state.index.insert(Arc::new(message));
        }
        info!(messages = state.index.len(), "retained messages read");
        Ok(Arc::new(Self { limits, store, clock, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// True where there is room for `packet`. Asked for all but the devices' configuration, which is bounded by their
    /// number. Counts those that find none. Topics that are not written yet count: the store may be failing.
    pub(super) fn has_room(&self, packet: &PublishPacket) -> bool {
        if packet.payload.is_empty() {
            return true;
        }
        let mut state = self.lock();
        let before = state.index.get(&packet.topic_name).map_or(0, |before| size(before));
        let parts = (packet.topic_name.len(), packet.payload.len(), packet.properties.encoded_len());
        let fits = packet.payload.len() <= self.limits.message
            && state.index.bytes() - before
                + state.unwritten_bytes
                + state.writing_bytes
                + size_of_parts(parts)
                <= self.limits.total;
        state.refused += u64::from(!fits);
        fits
    }

    /// Takes `packet` as the last retained message of its topic; an empty one clears it. Settles the receipt, where
    /// there is one, when that is durable.
    pub(super) fn take(&self, packet: &PublishPacket, receipt: Option<Receipt>) {
        let mut state = self.lock();
        let topic: Arc<str> = packet.topic_name.as_str().into();
        if packet.payload.is_empty() {
            if !state.index.remove(&topic) && !state.unwritten.contains(&topic) {
                // Nothing changes. What a round that is being written cleared is durable with it.
                return self.note(state, [], receipt);
            }
        } else {
            state.index.insert(Arc::new(message(packet, self.clock.now())));
        }
        self.note(state, [topic], receipt);
    }

    /// Clears the message of `topic`, where there is one.
    pub(super) fn clear(&self, topic: &str) {
        let mut state = self.lock();
        if state.index.remove(topic) {
            self.note(state, [topic.into()], None);
        }
    }

    /// Clears all topics below `topic`.
    pub(super) fn clear_below(&self, topic: &str) {
        let mut state = self.lock();
        let topics = state.index.topics_below(topic);
        for topic in &topics {
            state.index.remove(topic);
        }
        self.note(state, topics, None);
    }

    /// Clears messages whose time is over.
    pub(super) fn sweep(&self) {
        let mut state = self.lock();
        let topics = state.index.expired(self.clock.now());
        for topic in &topics {
            state.index.remove(topic);
        }
        self.note(state, topics, None);
    }

    fn note(
        &self,
        mut state: MutexGuard<'_, RetainedState>,
        topics: impl IntoIterator<Item = Arc<str>>,
        receipt: Option<Receipt>,
    ) {
        for topic in topics {
            let bytes = topic.len() + OVERHEAD;
            if state.unwritten.insert(topic) {
                state.unwritten_bytes += bytes;
            }
        }
        state.made += 1;
        let change = state.made;
        state.waiting.extend(receipt.map(|receipt| (change, receipt)));
        drop(state);
        self.changed.notify_one();
    }

    /// Hands each of the messages that `cursor` asks for to `take`, as long as that takes them, and as long as there
    /// are `steps` left: each message that is looked at is one.
    pub(super) fn answer(
        &self,
        cursor: &mut Cursor,
        steps: &mut usize,
        mut take: impl FnMut(PublishPacket) -> bool,
    ) -> AnswerProgress {
        let now = self.clock.now();
        let mut state = self.lock();
        loop {
            let message = match state.index.peek(cursor, steps) {
                Peeked::Message(message) => message,
                Peeked::Nothing => return AnswerProgress::All,
                Peeked::Interrupted => return AnswerProgress::Interrupted,
            };
            if message.expires_at.is_none_or(|at| at > now) && !take(packet(&message, now)) {
                return AnswerProgress::Part;
            }
            Index::pass(cursor, &message);
        }
    }

    /// Writes the changes, round by round, until the runtime ends.
    pub(super) async fn write(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            while let Some((upto, topics)) = self.next_round() {
                let mut left = &topics[..];
                while !left.is_empty() {
                    let (changes, rest) = self.changes_of(left);
                    self.commit(&changes).await;
                    left = rest;
                }
                self.settle(upto);
            }
            changed.await;
        }
    }

    pub(super) fn figures(&self) -> RetainedFigures {
        let state = self.lock();
        RetainedFigures {
            messages: state.index.len() as u64,
            bytes: state.index.bytes() as u64,
            refused: state.refused,
        }
    }

    #[cfg(test)]
    pub(super) fn looked_at(&self) -> u64 {
        self.lock().index.looked_at()
    }

    /// The topics that changed, and the number of the last change.
    fn next_round(&self) -> Option<(u64, Vec<Arc<str>>)> {
        let mut state = self.lock();
        if state.made == state.written {
            return None;
        }
        state.writing_bytes = std::mem::take(&mut state.unwritten_bytes);
        let topics = std::mem::take(&mut state.unwritten).into_iter().collect();
        Some((state.made, topics))
    }

    /// The changes of the first of `topics`, as many as one transaction takes, and the topics that are left.
    fn changes_of<'a>(&self, topics: &'a [Arc<str>]) -> (Vec<RetainedChange>, &'a [Arc<str>]) {
        let state = self.lock();
        let (mut changes, mut bytes) = (Vec::new(), 0);
        for topic in topics.iter().take(MOST_CHANGES) {
            changes.push(match state.index.get(topic) {
                Some(message) => {
                    bytes += message.payload.len();
                    RetainedChange::Keep(Arc::clone(message))
                }
                None => RetainedChange::Clear(Arc::clone(topic)),
            });
            if bytes >= MOST_IN_COMMIT {
                break;
            }
        }
        let left = &topics[changes.len()..];
        (changes, left)
    }

    /// Commits, however often that takes: doing it again does no harm.
    async fn commit(&self, changes: &[RetainedChange]) {
        let mut wait = FIRST_WAIT;
        let mut is_logged = false;
        while !changes.is_empty() {
            match self.store.change_retained(changes).await {
                Ok(()) => return,
                Err(problem) => {
                    if !std::mem::replace(&mut is_logged, true) {
                        error!(%problem, changes = changes.len(), "retained messages not written, trying again until they are");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    fn settle(&self, upto: u64) {
        let mut state = self.lock();
        state.written = upto;
        state.writing_bytes = 0;
        let waiting = std::mem::take(&mut state.waiting);
        let (done, wait): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(change, _)| *change <= upto);
        state.waiting = wait;
        drop(state);
        for (_, receipt) in done {
            receipt.settle(Ok(Accepted::default()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, RetainedState> {
        // Nothing panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes `router` retain a single message, which no filter matches. The crate has no setting for that: a router that is
/// full delivers messages with their retain flag and retains none, as wanted.
pub(super) async fn keep_none(router: &MessageRouter) {
    /// No topic or filter of a client has a NUL.
    const NOBODYS: &str = "$\0";
    let mut packet = PublishPacket::new(NOBODYS, &b"\0"[..], QoS::AtMostOnce);
    packet.retain = true;
    router.route_message(&packet, None).await;
    router.update_retained_limits(1, 0);
}

fn message(packet: &PublishPacket, now: Timestamp) -> RetainedMessage {
    let mut kept = Properties::default();
    for (id, value) in packet.properties.iter() {
        if !matches!(
            id,
            PropertyId::MessageExpiryInterval | PropertyId::TopicAlias | PropertyId::SubscriptionIdentifier
        ) {
            let _ = kept.add(id, value.clone()); // it stood in properties before
        }
    }
    let mut properties = BytesMut::new();
    if !kept.is_empty() && kept.encode(&mut properties).is_err() {
        properties.clear(); // larger than a packet: there is none
    }
    let expiry = packet.message_expiry_interval();
    RetainedMessage {
        topic: packet.topic_name.as_str().into(),
        // A copy: the packet's is a part of what was read with it, and would keep all of that.
        payload: Bytes::copy_from_slice(&packet.payload),
        qos: packet.qos as u8,
        properties: properties.freeze(),
        stored_at: now,
        expires_at: expiry
            .map(|seconds| Timestamp::from_millis(now.millis().saturating_add(i64::from(seconds) * 1_000))),
    }
}

fn packet(message: &RetainedMessage, now: Timestamp) -> PublishPacket {
    let qos = match message.qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    };
    let mut packet = PublishPacket::new(&*message.topic, message.payload.clone(), qos);
    packet.retain = true;
    if !message.properties.is_empty()
        && let Ok(properties) = Properties::decode(&mut &message.properties[..])
    {
        packet.properties = properties;
    }
    if let Some(at) = message.expires_at {
        let left = at.millis().saturating_sub(now.millis()).max(0) / 1_000;
        packet.properties.set_message_expiry_interval(u32::try_from(left).unwrap_or(u32::MAX));
    }
    packet
}

#[cfg(test)]
mod tests;
