//! What we know of a connection, from the packets that pass and from what the broker tells the hooks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::FutureExt as _;
use mqtt5::QoS;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, QueueHandle, QueuedMessage, StorageBackend as _};
use mqtt5::packet::subscribe::{RetainHandling, SubscribePacket};

use super::accept::Seat;
use super::exactly_once::ExactlyOnce;
use super::gate::Gate;
use super::handed::{HandedOver, Withheld};
use super::retained::{Cursor, Retained};
use super::stream::{Inspect, Verdict};
use super::wills::Will;
use super::wire::{self, Publish, WillPacket};
use crate::domain::DeviceId;
use crate::domain::twin::Ear;
use crate::mqtt::subscribers::Subscriptions;

/// A client has at most this many subscriptions: a gateway that speaks for hundreds of devices has several for
/// each. They are looked through at each message that nobody is subscribed to by name.
pub(super) const MOST_SUBSCRIPTIONS: usize = 1_000;
/// How many topic aliases a connection may set; each holds a topic in memory.
pub(super) const MOST_TOPIC_ALIASES: u16 = 64;
/// A CONNECT is at most so large: what its fields can hold at most is not much more.
const LARGEST_CONNECT: usize = 512 * 1024;

/// Retained messages go into the session's queue as long as it has fewer than so many.
const FEW_QUEUED: usize = 32;
/// So many of them at once, and so many bytes: far below what a session may hold, or they would push each
/// other out of it.
const MOST_FED: usize = 64;
const MOST_BYTES_FED: usize = 128 * 1024;

/// What connections have in common.
pub(super) struct Common {
    pub(super) router: Arc<MessageRouter>,
    pub(super) storage: Arc<DynamicStorage>,
    pub(super) retained: Arc<Retained>,
    pub(super) exactly_once: ExactlyOnce,
    /// Commands that are with the broker.
    pub(super) handed: Arc<HandedOver>,
    pub(super) largest_packet: usize,
}

/// See the module.
pub(super) struct Connection {
    pub(super) gate: Arc<Gate>,
    common: Arc<Common>,
    /// Its CONNECT has come.
    introduced: AtomicBool,
    /// Its CONNACK has gone.
    welcomed: AtomicBool,
    resumes: AtomicBool,
    v5: AtomicBool,
    /// The topic aliases that it has set: a bit for each.
    aliases: AtomicU64,
    client: OnceLock<Client>,
    said: Mutex<Said>,
    will: Mutex<Option<Will>>,
    seat: Mutex<Option<Seat>>,
    /// What it listens to of what the hub says to devices.
    listens: Mutex<Option<Subscriptions>>,
    /// What is to go to the client before the connection ends.
    last_words: Mutex<Vec<u8>>,
    asked: Mutex<VecDeque<Subscription>>,
    /// False while nothing is in `asked`.
    feeding: AtomicBool,
}

struct Client {
    id: Arc<str>,
    queue: QueueHandle,
}

/// What its last packets said beyond what the broker tells.
#[derive(Default)]
struct Said {
    publish: Option<Publish>,
    subscribe: Option<Subscribe>,
    will: Option<WillPacket>,
}

/// A SUBSCRIBE, and which of its filters the session did not have.
pub(super) struct Subscribe {
    packet: SubscribePacket,
    is_new: Vec<bool>,
}

/// A filter that was granted, and how far it has been answered with retained messages.
struct Subscription {
    cursor: Cursor,
    qos: QoS,
    id: Option<u32>,
}

impl Connection {
    pub(super) fn new(common: Arc<Common>) -> Self {
        Self {
            gate: Arc::default(),
            common,
            introduced: AtomicBool::default(),
            welcomed: AtomicBool::default(),
            resumes: AtomicBool::default(),
            v5: AtomicBool::default(),
            aliases: AtomicU64::default(),
            client: OnceLock::new(),
            said: Mutex::default(),
            will: Mutex::default(),
            seat: Mutex::default(),
            listens: Mutex::default(),
            last_words: Mutex::default(),
            asked: Mutex::default(),
            feeding: AtomicBool::default(),
        }
    }

    /// The broker has let it in as this client.
    pub(super) fn is(&self, id: &Arc<str>) {
        let queue = self.common.router.queue_handle(id);
        let _ = self.client.set(Client { id: Arc::clone(id), queue }); // told once
    }

    /// It goes on with the session that the client had.
    pub(super) fn resumes(&self) -> bool {
        self.resumes.load(Ordering::Relaxed)
    }

    pub(super) fn is_v5(&self) -> bool {
        self.v5.load(Ordering::Relaxed)
    }

    /// Has its CONNECT come?
    pub(super) fn is_introduced(&self) -> bool {
        self.introduced.load(Ordering::Relaxed)
    }

    /// It counts among the clients until it ends.
    pub(super) fn take_seat(&self, seat: Seat) {
        *lock(&self.seat) = Some(seat);
    }

    /// What is to go to the client before the connection ends.
    pub(super) fn say_last(&self, packet: Vec<u8>) {
        *lock(&self.last_words) = packet;
    }

    /// What the PUBLISH said that the broker has at hand now.
    pub(super) fn take_publish(&self) -> Option<Publish> {
        lock(&self.said).publish.take()
    }

    pub(super) fn take_will_packet(&self) -> Option<WillPacket> {
        lock(&self.said).will.take()
    }

    /// The topic and payload of the will that its CONNECT brought.
    pub(super) fn will_on<T>(&self, look: impl FnOnce(&WillPacket) -> Option<T>) -> Option<T> {
        lock(&self.said).will.as_ref().and_then(look)
    }

    /// It listens to these now. Gives the devices whose twins waited for it.
    pub(super) fn listens<'a>(
        &self,
        new: impl FnOnce() -> Subscriptions,
        filters: impl Iterator<Item = &'a str>,
    ) -> Vec<(DeviceId, Ear)> {
        lock(&self.listens).get_or_insert_with(new).add(filters)
    }

    /// It does not listen to these any more.
    pub(super) fn listens_no_more<'a>(&self, filters: impl Iterator<Item = &'a str>) {
        if let Some(listens) = &mut *lock(&self.listens) {
            listens.remove(filters);
        }
    }

    /// It listens to nothing any more.
    pub(super) fn hears_nothing(&self) {
        *lock(&self.listens) = None;
    }

    pub(super) fn set_will(&self, will: Option<Will>) {
        *lock(&self.will) = will;
    }

    pub(super) fn take_will(&self) -> Option<Will> {
        lock(&self.will).take()
    }

    /// The broker has answered the last SUBSCRIBE: `granted` tells of each filter.
    pub(super) fn subscribed(&self, granted: impl Iterator<Item = bool>) {
        let Some(Subscribe { packet, is_new }) = lock(&self.said).subscribe.take() else { return };
        let id = packet.properties.get_subscription_identifier();
        let mut asked = lock(&self.asked);
        for ((filter, is_new), granted) in packet.filters.iter().zip(is_new).zip(granted) {
            let wanted = match filter.options.retain_handling {
                RetainHandling::SendAtSubscribe => true,
                RetainHandling::SendAtSubscribeIfNew => is_new,
                RetainHandling::DoNotSend => false,
            };
            if granted
                && wanted
                && let Some(cursor) = Cursor::new(&filter.filter)
            {
                asked.push_back(Subscription { cursor, qos: filter.options.qos, id });
            }
        }
        self.feeding.store(!asked.is_empty(), Ordering::Relaxed);
    }

    /// Puts retained messages that were asked for into the session's queue, as the client takes them.
    fn feed(&self) {
        let Some(Client { id: client, queue }) = self.client.get() else { return };
        let mut asked = lock(&self.asked);
        let queued = queue.count();
        if queued >= FEW_QUEUED {
            return;
        }
        let (mut fed, mut bytes) = (0, 0);
        while let Some(Subscription { cursor, qos, id }) = asked.front_mut() {
            let done = self.common.retained.answer(cursor, |mut packet| {
                let alone = queued + fed == 0;
                if fed == MOST_FED || (bytes + packet.payload.len() > MOST_BYTES_FED && !alone) {
                    return false;
                }
                fed += 1;
                bytes += packet.payload.len();
                packet.qos = if (packet.qos as u8) < *qos as u8 { packet.qos } else { *qos };
                if let Some(id) = id {
                    packet.properties.set_subscription_identifier(*id);
                }
                let qos = packet.qos;
                queue.push(QueuedMessage::new(packet, client.to_string(), qos, None));
                true
            });
            if !done {
                break;
            }
            asked.pop_front();
        }
        self.feeding.store(!asked.is_empty(), Ordering::Relaxed);
        drop(asked);
        if fed > 0 {
            queue.notify();
        }
    }

    fn inspect_connect(&self, packet: &[u8], header: usize) -> Verdict {
        self.introduced.store(true, Ordering::Relaxed);
        let Some(connect) = wire::connect(packet, header) else { return Verdict::Pass };
        self.v5.store(connect.v5, Ordering::Relaxed);
        lock(&self.said).will = connect.will;
        connect.without_will.map_or(Verdict::Pass, Verdict::Replace)
    }

    fn inspect_publish(&self, packet: &mut [u8], header: usize) -> Verdict {
        let publish = wire::publish(packet, header, self.is_v5());
        if let Some(publish) = &publish {
            if let Some(reason) = self.bad_alias(publish) {
                return Verdict::End(wire::disconnect(reason));
            }
            if publish.retain {
                packet[0] &= !1; // ours to keep: see `retained`
            }
        }
        lock(&self.said).publish = publish;
        Verdict::Pass
    }

    /// Why a topic alias cannot be followed: the broker would say nothing of it.
    fn bad_alias(&self, publish: &Publish) -> Option<u8> {
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

    fn inspect_subscribe(&self, packet: &[u8], header: usize) -> Verdict {
        let (Some(packet), Some(client)) = (wire::subscribe(packet, header, self.is_v5()), self.client.get())
        else {
            return Verdict::Pass;
        };
        // The memory backend answers at once.
        let session = self.common.storage.get_session(&client.id).now_or_never();
        let had =
            session.and_then(Result::ok).flatten().map(|session| session.subscriptions).unwrap_or_default();
        let is_new: Vec<bool> =
            packet.filters.iter().map(|filter| !had.contains_key(&filter.filter)).collect();
        if had.len() + is_new.iter().filter(|is_new| **is_new).count() > MOST_SUBSCRIPTIONS {
            let answer = wire::no_subscription(self.is_v5(), packet.packet_id, packet.filters.len());
            return Verdict::Answer(answer);
        }
        lock(&self.said).subscribe = Some(Subscribe { packet, is_new });
        Verdict::Pass
    }
}

impl Inspect for Connection {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn largest_packet(&self) -> usize {
        if self.is_introduced() { self.common.largest_packet } else { LARGEST_CONNECT }
    }

    fn too_large(&self) -> Verdict {
        let welcomed = self.welcomed.load(Ordering::Relaxed);
        let last = (welcomed && self.is_v5()).then(|| wire::disconnect(wire::PACKET_TOO_LARGE));
        Verdict::End(last.unwrap_or_default())
    }

    fn inspect(&self, packet: &mut [u8], header: usize) -> Verdict {
        match packet[0] >> 4 {
            wire::PUBLISH => self.inspect_publish(packet, header),
            wire::PUBREL => {
                if let (Some(client), Some(id)) = (self.client.get(), wire::packet_id(packet, header)) {
                    self.common.exactly_once.release(&client.id, id);
                }
                Verdict::Pass
            }
            wire::SUBSCRIBE => self.inspect_subscribe(packet, header),
            wire::CONNECT if !self.is_introduced() => self.inspect_connect(packet, header),
            _ => Verdict::Pass,
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
        self.common.handed.check(packet)
    }

    fn idle(&self) {
        if self.feeding.load(Ordering::Relaxed) {
            self.feed();
        }
    }

    fn last_words(&self) -> Vec<u8> {
        std::mem::take(&mut *lock(&self.last_words))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
