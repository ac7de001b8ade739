//! The hub's state of one connection, gathered from the packets that pass and from the broker's calls to the hooks.

pub(super) mod feeding;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::FutureExt as _;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, QueueHandle, StorageBackend as _};
use mqtt5::packet::subscribe::SubscribePacket;

use self::feeding::RetainedRequest;
use super::accept::ClientSlot;
use super::exactly_once::ExactlyOnce;
use super::gate::Gate;
use super::handed_commands::{HandedCommands, Withheld};
use super::owners::SessionOwners;
use super::partial_packets::PartialPackets;
use super::retained::Retained;
use super::sessions::SessionLimits;
use super::stream::{Inspect, PacketVerdict};
use super::wildcards::{self, Wildcards};
use super::wills::Will;
use super::wire::{self, PublishParts, WillPacket};
use crate::identity::ClientIdentity;
use crate::subscribers::Subscriptions;
use twinhub_domain::DeviceId;
use twinhub_domain::twin::Downlink;
use twinhub_tls::PeerCertificate;

/// A client has at most this many subscriptions: a gateway that speaks for hundreds of devices has several for
/// each. Those with wildcards are matched with every message: see [`wildcards`].
pub(super) const MOST_SUBSCRIPTIONS: usize = 1_000;
/// The number of topic aliases that a connection may set; each holds a topic in memory.
pub(super) const MOST_TOPIC_ALIASES: u16 = 64;
/// A CONNECT is at most so large, in bytes: names and passwords take a small part of it.
const LARGEST_CONNECT: usize = 64 * 1024;
/// Room for a will in a CONNECT: the largest payload that there can be, and a topic.
const LARGEST_WILL: usize = 66 * 1024;

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
    pub(super) owners: SessionOwners,
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
    /// The certificate that its client has shown.
    certificate: OnceLock<Arc<PeerCertificate>>,
    /// None before it is admitted.
    identity: OnceLock<Arc<dyn ClientIdentity>>,
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
            certificate: OnceLock::new(),
            identity: OnceLock::new(),
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

    /// Admits its client, who is counted among the clients until the connection ends.
    pub(super) fn admit(&self, slot: ClientSlot, identity: Arc<dyn ClientIdentity>) {
        *lock(&self.slot) = Some(slot);
        let _ = self.identity.set(identity); // there is one CONNECT
    }

    /// The identity of its client, once that is admitted.
    pub(super) fn identity(&self) -> Option<&Arc<dyn ClientIdentity>> {
        self.identity.get()
    }

    /// Its client has shown this certificate.
    pub(super) fn has_shown(&self, certificate: Arc<PeerCertificate>) {
        let _ = self.certificate.set(certificate); // there is one handshake
    }

    /// The certificate that its client has shown.
    pub(super) fn certificate(&self) -> Option<&Arc<PeerCertificate>> {
        self.certificate.get()
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

    /// The will that its CONNECT brought.
    pub(super) fn will_packet(&self) -> Option<WillPacket> {
        lock(&self.last_packets).will.clone()
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
        match self.gate.parting() {
            Some(reason) => self.goodbye(reason),
            None => std::mem::take(&mut *lock(&self.final_packets)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
