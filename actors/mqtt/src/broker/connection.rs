//! The hub's state of one connection, gathered from the packets that pass and from the broker's calls to the hooks.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::FutureExt as _;
use mqtt5::QoS;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, QueueHandle, QueuedMessage, StorageBackend as _};
use mqtt5::packet::subscribe::{RetainHandling, SubscribePacket};

use super::accept::ClientSlot;
use super::exactly_once::ExactlyOnce;
use super::gate::Gate;
use super::handed_commands::{HandedCommands, Withheld};
use super::partial_packets::PartialPackets;
use super::retained::{AnswerProgress, Cursor, Retained};
use super::sessions::SessionLimits;
use super::stream::{Inspect, PacketVerdict};
use super::wildcards::{self, Wildcards};
use super::wills::Will;
use super::wire::{self, PublishParts, WillPacket};
use crate::subscribers::Subscriptions;
use twinhub_domain::DeviceId;
use twinhub_domain::twin::Downlink;

/// A client has at most this many subscriptions: a gateway that speaks for hundreds of devices has several for
/// each. Those with wildcards are matched with every message: see [`wildcards`].
pub(super) const MOST_SUBSCRIPTIONS: usize = 1_000;
/// The number of topic aliases that a connection may set; each holds a topic in memory.
pub(super) const MOST_TOPIC_ALIASES: u16 = 64;
/// A CONNECT is at most so large, in bytes: names and passwords take a small part of it.
const LARGEST_CONNECT: usize = 64 * 1024;
/// Room for a will in a CONNECT: the largest payload that there can be, and a topic.
const LARGEST_WILL: usize = 66 * 1024;

/// Retained messages go into the session's queue when it is empty: at most this many at once, and this many bytes. They
/// and the messages that come meanwhile must not push each other out of the queue, so they take half of its capacity at
/// most.
const MOST_FED: usize = 64;
const MOST_BYTES_FED: usize = 128 * 1024;
/// The memory of a queued message beside its footprint, in bytes.
const QUEUE_ENTRY: usize = 128;
/// Retained messages that are looked at in one go, while others wait for them and for the connection's thread.
pub(super) const MOST_STEPS: usize = 1_000;

/// State that all connections share.
pub(super) struct BrokerShared {
    pub(super) router: Arc<MessageRouter>,
    pub(super) storage: Arc<DynamicStorage>,
    pub(super) retained: Arc<Retained>,
    pub(super) exactly_once: ExactlyOnce,
    pub(super) wildcards: Wildcards,
    pub(super) partial_packets: PartialPackets,
    pub(super) session_limits: SessionLimits,
    /// Clients that came back to their sessions since these were looked through.
    pub(super) came_back: Mutex<HashSet<Arc<str>>>,
    /// Commands that are with the broker.
    pub(super) handed_commands: Arc<HandedCommands>,
    pub(super) largest_packet: usize,
}

impl BrokerShared {
    /// The client's session goes on, and may hold other messages by now.
    pub(super) fn came_back(&self, client: &Arc<str>) {
        lock(&self.came_back).insert(Arc::clone(client));
    }

    /// The clients that came back since the last call.
    pub(super) fn take_came_back(&self) -> HashSet<Arc<str>> {
        std::mem::take(&mut *lock(&self.came_back))
    }

    /// The client's session is over, or begins anew.
    pub(super) fn forget(&self, client: &str) {
        self.exactly_once.forget(client);
        self.wildcards.forget(client);
    }
}

/// One connection of a client, shared by its stream and the hooks.
pub(super) struct ClientConnection {
    pub(super) gate: Arc<Gate>,
    key: u64,
    common: Arc<BrokerShared>,
    /// Its CONNECT has come.
    introduced: AtomicBool,
    /// Its CONNACK has gone.
    welcomed: AtomicBool,
    resumes: AtomicBool,
    v5: AtomicBool,
    /// The message that its last PUBREL released, where there was one; no message has the id 0.
    released: AtomicU16,
    /// The topic aliases that it has set: a bit for each.
    aliases: AtomicU64,
    client: OnceLock<AdmittedClient>,
    last_packets: Mutex<LastPackets>,
    will: Mutex<Option<Will>>,
    slot: Mutex<Option<ClientSlot>>,
    /// The topics of the hub to which it is subscribed.
    subscriptions: Mutex<Option<Subscriptions>>,
    /// Packets to send to the client before the connection ends.
    final_packets: Mutex<Vec<u8>>,
    /// Each for another filter of its session.
    asked: Mutex<VecDeque<RetainedRequest>>,
    /// False while nothing is in `asked`.
    feeding: AtomicBool,
}

struct AdmittedClient {
    id: Arc<str>,
    queue: QueueHandle,
}

/// Parts of its last packets that the broker does not pass on.
#[derive(Default)]
struct LastPackets {
    publish: Option<PublishParts>,
    subscribe: Option<PendingSubscribe>,
    will: Option<WillPacket>,
}

/// A SUBSCRIBE, and which of its filters the session did not have.
pub(super) struct PendingSubscribe {
    packet: SubscribePacket,
    is_new: Vec<bool>,
}

/// A filter that was granted, and how far it has been answered with retained messages.
struct RetainedRequest {
    filter: Box<str>,
    cursor: Cursor,
    qos: QoS,
    id: Option<u32>,
}

impl ClientConnection {
    /// The connection that is known by `key`.
    pub(super) fn new(common: Arc<BrokerShared>, key: u64) -> Self {
        Self {
            key,
            gate: Arc::default(),
            common,
            introduced: AtomicBool::default(),
            welcomed: AtomicBool::default(),
            resumes: AtomicBool::default(),
            v5: AtomicBool::default(),
            released: AtomicU16::default(),
            aliases: AtomicU64::default(),
            client: OnceLock::new(),
            last_packets: Mutex::default(),
            will: Mutex::default(),
            slot: Mutex::default(),
            subscriptions: Mutex::default(),
            final_packets: Mutex::default(),
            asked: Mutex::default(),
            feeding: AtomicBool::default(),
        }
    }

    /// The broker has let it in as this client.
    pub(super) fn is(&self, id: &Arc<str>) {
        let queue = self.common.router.queue_handle(id);
        let _ = self.client.set(AdmittedClient { id: Arc::clone(id), queue }); // told once
    }

    /// The client resumes its earlier session.
    pub(super) fn resumes(&self) -> bool {
        self.resumes.load(Ordering::Relaxed)
    }

    pub(super) fn is_v5(&self) -> bool {
        self.v5.load(Ordering::Relaxed)
    }

    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Has its CONNECT come?
    pub(super) fn is_introduced(&self) -> bool {
        self.introduced.load(Ordering::Relaxed)
    }

    /// Counts the connection among the clients until it ends.
    pub(super) fn set_slot(&self, slot: ClientSlot) {
        *lock(&self.slot) = Some(slot);
    }

    /// Adds a packet to send to the client before the connection ends.
    pub(super) fn set_final_packets(&self, packet: Vec<u8>) {
        *lock(&self.final_packets) = packet;
    }

    /// The parts of the PUBLISH that the broker handles now.
    pub(super) fn take_publish(&self) -> Option<PublishParts> {
        lock(&self.last_packets).publish.take()
    }

    pub(super) fn take_will_packet(&self) -> Option<WillPacket> {
        lock(&self.last_packets).will.take()
    }

    /// The topic and payload of the will that its CONNECT brought.
    pub(super) fn will_on<T>(&self, look: impl FnOnce(&WillPacket) -> Option<T>) -> Option<T> {
        lock(&self.last_packets).will.as_ref().and_then(look)
    }

    /// Adds subscriptions of the connection. Gives the devices whose twins waited for them.
    pub(super) fn subscribes<'a>(
        &self,
        new: impl FnOnce() -> Subscriptions,
        filters: impl Iterator<Item = &'a str>,
    ) -> Vec<(DeviceId, Downlink)> {
        lock(&self.subscriptions).get_or_insert_with(new).add(filters)
    }

    /// Removes subscriptions of the connection.
    pub(super) fn unsubscribes<'a>(&self, filters: impl Iterator<Item = &'a str>) {
        if let Some(subscriptions) = &mut *lock(&self.subscriptions) {
            subscriptions.remove(filters);
        }
    }

    /// Removes all subscriptions of the connection.
    pub(super) fn drop_subscriptions(&self) {
        *lock(&self.subscriptions) = None;
    }

    pub(super) fn set_will(&self, will: Option<Will>) {
        *lock(&self.will) = will;
    }

    pub(super) fn take_will(&self) -> Option<Will> {
        lock(&self.will).take()
    }

    /// The broker has answered the last SUBSCRIBE; `granted` has one answer for each filter.
    pub(super) fn subscribed(&self, granted: impl Iterator<Item = bool>) {
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
    pub(super) fn unsubscribed<'a>(&self, filters: impl Iterator<Item = &'a str>) {
        let filters: HashSet<&str> = filters.collect();
        let mut asked = lock(&self.asked);
        asked.retain(|before| !filters.contains(&*before.filter));
        self.feeding.store(!asked.is_empty(), Ordering::Relaxed);
    }

    /// Puts retained messages that were asked for into the session's queue, as the client takes them. True where there
    /// are more to look for now.
    fn feed(&self) -> bool {
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

    fn inspect_connect(&self, packet: &[u8], header: usize) -> PacketVerdict {
        self.introduced.store(true, Ordering::Relaxed);
        let Some(connect) = wire::connect(packet, header) else { return PacketVerdict::Pass };
        self.v5.store(connect.v5, Ordering::Relaxed);
        lock(&self.last_packets).will = connect.will;
        connect.without_will.map_or(PacketVerdict::Pass, PacketVerdict::Replace)
    }

    fn inspect_publish(&self, packet: &mut [u8], header: usize) -> PacketVerdict {
        let publish = wire::publish(packet, header, self.is_v5());
        if let Some(publish) = &publish {
            if let Some(reason) = self.bad_alias(publish) {
                return PacketVerdict::End(wire::disconnect(reason));
            }
            if publish.retain {
                packet[0] &= !1; // ours to keep: see `retained`
            }
        }
        lock(&self.last_packets).publish = publish;
        PacketVerdict::Pass
    }

    /// The error of a topic alias that cannot be followed: the broker would not report it.
    fn bad_alias(&self, publish: &PublishParts) -> Option<u8> {
        let Some(alias) = publish.alias else { return publish.only_alias.then_some(wire::PROTOCOL_ERROR) };
        if alias == 0 || alias > MOST_TOPIC_ALIASES {
            return Some(wire::TOPIC_ALIAS_INVALID);
        }
        let bit = 1 << (alias - 1);
        if publish.only_alias {
            return (self.aliases.load(Ordering::Relaxed) & bit == 0).then_some(wire::PROTOCOL_ERROR);
        }
        self.aliases.fetch_or(bit, Ordering::Relaxed);
        None
    }

    fn inspect_subscribe(&self, packet: &[u8], header: usize) -> PacketVerdict {
        let (Some(packet), Some(client)) = (wire::subscribe(packet, header, self.is_v5()), self.client.get())
        else {
            return PacketVerdict::Pass;
        };
        // The memory backend answers at once.
        let session = self.common.storage.get_session(&client.id).now_or_never();
        let had =
            session.and_then(Result::ok).flatten().map(|session| session.subscriptions).unwrap_or_default();
        let is_new: Vec<bool> =
            packet.filters.iter().map(|filter| !had.contains_key(&filter.filter)).collect();
        let new: HashSet<&str> = packet
            .filters
            .iter()
            .zip(&is_new)
            .filter_map(|(filter, is_new)| is_new.then_some(&*filter.filter))
            .collect();
        let many = packet.filters.len() > MOST_SUBSCRIPTIONS || had.len() + new.len() > MOST_SUBSCRIPTIONS;
        let all = had.keys().map(String::as_str).chain(new);
        if many
            || !self.common.wildcards.set(&client.id, all.filter(|filter| wildcards::is_one(filter)).count())
        {
            let answer = wire::no_subscription(self.is_v5(), packet.packet_id, packet.filters.len());
            return PacketVerdict::Answer(answer);
        }
        lock(&self.last_packets).subscribe = Some(PendingSubscribe { packet, is_new });
        PacketVerdict::Pass
    }
}

impl Inspect for ClientConnection {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn largest_packet(&self, begun: &[u8]) -> usize {
        if self.is_introduced() {
            return self.common.largest_packet;
        }
        match wire::has_will(begun) {
            Some(false) => LARGEST_CONNECT,
            Some(true) | None => LARGEST_CONNECT + LARGEST_WILL,
        }
    }

    fn may_hold(&self, before: usize, now: usize) -> bool {
        self.common.partial_packets.change(before, now, self.client.get().is_none())
    }

    fn goodbye(&self, reason: u8) -> Vec<u8> {
        let welcomed = self.welcomed.load(Ordering::Relaxed);
        if welcomed && self.is_v5() { wire::disconnect(reason) } else { Vec::new() }
    }

    fn inspect(&self, packet: &mut [u8], header: usize) -> PacketVerdict {
        match packet[0] >> 4 {
            wire::PUBLISH => self.inspect_publish(packet, header),
            wire::PUBREL => {
                if let (Some(client), Some(id)) = (self.client.get(), wire::packet_id(packet, header)) {
                    let was_known = self.common.exactly_once.release(&client.id, id);
                    self.released.store(if was_known { id } else { 0 }, Ordering::Relaxed);
                }
                PacketVerdict::Pass
            }
            wire::SUBSCRIBE => self.inspect_subscribe(packet, header),
            wire::CONNECT if !self.is_introduced() => self.inspect_connect(packet, header),
            _ => PacketVerdict::Pass,
        }
    }

    fn sends(&self, packet: &[u8]) {
        if packet.first().is_none_or(|first| first >> 4 != wire::CONNACK) {
            return;
        }
        if let Some(resumes) = wire::resumes(packet) {
            self.welcomed.store(true, Ordering::Relaxed);
            self.resumes.store(resumes, Ordering::Relaxed);
        }
    }

    fn withholds(&self, packet: &[u8]) -> Option<Withheld> {
        self.common.handed_commands.check(packet, self.is_v5())
    }

    /// True where the PUBCOMP must report success. The broker does not know a message of an earlier connection and
    /// answers with an error, also to clients of MQTT 3.1.1, whose PUBCOMP has no code for one.
    fn is_complete(&self, packet_id: u16) -> bool {
        !self.is_v5() || self.released.load(Ordering::Relaxed) == packet_id
    }

    fn idle(&self) -> bool {
        self.feeding.load(Ordering::Relaxed) && self.feed()
    }

    fn final_packets(&self) -> Vec<u8> {
        std::mem::take(&mut *lock(&self.final_packets))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
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
