//! Retained messages for the filters to which a connection subscribes: they go into the session's queue as the client
//! takes them.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mqtt5::QoS;
use mqtt5::broker::storage::QueuedMessage;
use mqtt5::packet::publish::PublishPacket;
use mqtt5::packet::subscribe::RetainHandling;

use super::{AdmittedClient, ClientConnection, PendingSubscribe, lock};
use crate::broker::retained::{AnswerProgress, Cursor};
use crate::broker::sessions::SessionLimits;

/// Retained messages go into the session's queue when it is empty: at most this many at once, and this many bytes. They
/// and the messages that come meanwhile must not push each other out of the queue, so they take half of its capacity at
/// most.
const MOST_FED: usize = 64;
const MOST_BYTES_FED: usize = 128 * 1024;
/// The memory of a queued message beside its footprint, in bytes.
const QUEUE_ENTRY: usize = 128;
/// Retained messages that are looked at in one go, while others wait for them and for the connection's thread.
pub(in crate::broker) const MOST_STEPS: usize = 1_000;

/// A filter that was granted, and how far it has been answered with retained messages.
pub(super) struct RetainedRequest {
    filter: Box<str>,
    cursor: Cursor,
    qos: QoS,
    id: Option<u32>,
}

impl ClientConnection {
    /// The broker has answered the last SUBSCRIBE; `granted` has one answer for each filter.
    pub(in crate::broker) fn subscribed(&self, granted: impl Iterator<Item = bool>) {
        let Some(PendingSubscribe { packet, is_new }) = lock(&self.last_packets).subscribe.take() else {
            return;
        };
        let id = packet.properties.get_subscription_identifier();
        let mut requests = Vec::new();
        let mut filters = HashSet::new();
        let granted: Vec<bool> = granted.collect();
        // From behind: the last word on a filter counts.
        for ((filter, is_new), granted) in packet.filters.iter().zip(is_new).zip(granted).rev() {
            if !filters.insert(&*filter.filter) {
                continue;
            }
            let wanted = match filter.options.retain_handling {
                RetainHandling::SendAtSubscribe => true,
                RetainHandling::SendAtSubscribeIfNew => is_new,
                RetainHandling::DoNotSend => false,
            };
            if granted
                && wanted
                && let Some(cursor) = Cursor::new(&filter.filter)
            {
                let (filter, qos) = (filter.filter.as_str().into(), filter.options.qos);
                requests.push(RetainedRequest { filter, cursor, qos, id });
            }
        }
        let mut asked = lock(&self.asked);
        asked.retain(|before| !filters.contains(&*before.filter));
        asked.extend(requests.into_iter().rev());
        self.feeding.store(!asked.is_empty(), Ordering::Relaxed);
    }

    /// The broker has taken these filters out of the session.
    pub(in crate::broker) fn unsubscribed<'a>(&self, filters: impl Iterator<Item = &'a str>) {
        let filters: HashSet<&str> = filters.collect();
        let mut asked = lock(&self.asked);
        asked.retain(|before| !filters.contains(&*before.filter));
        self.feeding.store(!asked.is_empty(), Ordering::Relaxed);
    }

    /// Puts a message for its client alone into the session's queue.
    pub(in crate::broker) fn answer(&self, topic: String, payload: Bytes) {
        let Some(AdmittedClient { id: client, queue }) = self.client.get() else { return };
        let qos = QoS::AtLeastOnce;
        let packet = PublishPacket::new(topic, payload, qos);
        queue.push(QueuedMessage::new(packet, client.to_string(), qos, None));
        queue.notify();
    }

    /// Puts retained messages that were asked for into the session's queue, as the client takes them. True where there
    /// are more to look for now.
    pub(super) fn feed(&self) -> bool {
        let Some(AdmittedClient { id: client, queue }) = self.client.get() else { return false };
        if !queue.is_empty() {
            return false; // we are asked again when the client has taken that
        }
        let SessionLimits { messages, bytes: most_bytes, .. } = self.common.session_limits;
        let most = MOST_FED.min((messages / 2).max(1));
        let most_bytes = MOST_BYTES_FED.min(most_bytes / 2);
        let mut asked = lock(&self.asked);
        let (mut fed, mut bytes, mut steps) = (0, 0, MOST_STEPS);
        let mut interrupted = false;
        while let Some(RetainedRequest { cursor, qos, id, .. }) = asked.front_mut() {
            let answered = self.common.retained.answer(cursor, &mut steps, |mut packet| {
                if fed == most {
                    return false;
                }
                packet.qos = if (packet.qos as u8) < *qos as u8 { packet.qos } else { *qos };
                if let Some(id) = id {
                    packet.properties.set_subscription_identifier(*id);
                }
                let qos = packet.qos;
                let message = QueuedMessage::new(packet, client.to_string(), qos, None);
                let size = message.footprint() + QUEUE_ENTRY;
                if bytes + size > most_bytes && fed > 0 {
                    return false; // a large one goes alone
                }
                (fed, bytes) = (fed + 1, bytes + size);
                queue.push(message);
                true
            });
            match answered {
                AnswerProgress::All => drop(asked.pop_front()),
                AnswerProgress::Part => break,
                AnswerProgress::Interrupted => {
                    interrupted = true;
                    break;
                }
            }
        }
        self.feeding.store(!asked.is_empty(), Ordering::Relaxed);
        drop(asked);
        if fed > 0 {
            queue.notify();
        }
        interrupted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::stream::{Inspect as _, PacketVerdict};
    use crate::broker::tests::raw::subscribe;
    use crate::broker::{BrokerSettings, common};
    use crate::testing::{MemoryPersistence, still};

    #[tokio::test]
    async fn what_is_asked_for_again_takes_the_place_of_what_was_asked() {
        let common =
            common(&BrokerSettings::default(), Arc::<MemoryPersistence>::default(), still()).await.unwrap();
        let connection = ClientConnection::new(common, 0);
        connection.is(&"app".into());
        let ask = |filters: &[&str]| {
            let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (*filter, 0)).collect();
            let mut packet = subscribe(false, 1, &filters);
            assert_eq!(connection.inspect(&mut packet, 2), PacketVerdict::Pass);
            connection.subscribed(std::iter::repeat_n(true, filters.len()));
            lock(&connection.asked).iter().map(|request| request.filter.to_string()).collect::<Vec<_>>()
        };
        for _ in 0..3 {
            assert_eq!(ask(&["a/#", "b", "b", "c/+"]), ["a/#", "b", "c/+"]);
        }
        assert_eq!(ask(&["b"]), ["a/#", "c/+", "b"]);
        connection.unsubscribed(["a/#", "never/asked"].into_iter());
        assert_eq!(ask(&[]), ["c/+", "b"]);
    }
}
