//! The broker's calls to the hub: at each publish, and as clients come and go.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;

use mqtt5::QoS;
use mqtt5::broker::events::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, ClientSubscribeEvent,
    ClientUnsubscribeEvent, PublishAction,
};
use mqtt5::broker::storage::StorageBackend as _;
use mqtt5::packet::publish::PublishPacket;
use tracing::error;

use super::connection::{BrokerShared, ClientConnection};
use super::gate::Gate;
use super::rights::{self, Denial};
use super::wills::Wills;
use super::{wildcards, wire};
use crate::ack_queue::AckOutcome;
use crate::dialects::Dialects;
use crate::intake::{IncomingMessage, Intake, Room};
use crate::receipt::split;
use crate::rule_topics::RuleTopics;
use crate::topics;
use twinhub_domain::receipt::{Accepted, InputOutcome, Receipt};

tokio::task_local! {
    /// The connection that runs in this task. The broker calls the hooks from the connection's own task and passes only
    /// the client id, which two connections may share for a moment.
    pub(super) static CONNECTION: Arc<ClientConnection>;
}

type Hook<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The hub's hooks in the broker.
pub(super) struct Hooks {
    intake: Arc<dyn Intake>,
    dialects: Arc<Dialects>,
    rule_topics: Arc<RuleTopics>,
    common: Arc<BrokerShared>,
    wills: Arc<Wills>,
}

impl Hooks {
    pub(super) fn new(intake: Arc<dyn Intake>, common: Arc<BrokerShared>, wills: Arc<Wills>) -> Self {
        let (dialects, rule_topics) = (intake.dialects(), intake.rule_topics());
        Self { intake, dialects, rule_topics, common, wills }
    }

    async fn publish(&self, event: ClientPublishEvent) -> PublishAction {
        let Ok(connection) = CONNECTION.try_with(Arc::clone) else {
            // Every connection is served inside the scope.
            error!("a connection is served without its gate");
            return std::future::pending().await; // nothing is acknowledged that is not stored
        };
        let mut packet = as_sent(&event, &connection);
        let Some(identity) = connection.identity() else {
            error!("a client publishes that was not admitted");
            return PublishAction::Handled;
        };
        let ClientPublishEvent { client_id, topic, payload, .. } = &event;
        let allowed = rights::may_publish(&self.dialects, &**identity, client_id, topic, payload).await;
        if let Err(denial) = allowed {
            self.deny(&connection, &event, denial);
            return PublishAction::Handled;
        }
        if **topic == *topics::PROVISION_REQUEST {
            let answer = identity.provision(payload.clone()).await;
            if let Some(answer) = answer {
                connection.answer(topics::provision_response(client_id), answer);
            }
            return PublishAction::Handled; // nobody else hears it: it is about a secret
        }
        if packet.retain
            && let Err(denial) = rights::may_retain(&self.dialects, &**identity, client_id, topic)
        {
            if self.deny(&connection, &event, denial) {
                return PublishAction::Handled;
            }
            packet.retain = false; // there is no way to say so: it is delivered all the same
        }
        let of_a_device = self.dialects.is_ours(&event.topic);
        if packet.retain && !self.common.retained.has_room(&packet) {
            if self.refuse(&connection, &event, wire::QUOTA_EXCEEDED) {
                return PublishAction::Handled;
            }
            packet.retain = false; // there is no way to say so: it is delivered all the same
        }
        let ours = of_a_device || self.rule_topics.matches(&event.topic);
        if !ours {
            self.intake.note_unread(&event.topic);
        }
        let exactly_once = event.qos == QoS::ExactlyOnce;
        let Some(packet_id) = event.packet_id.filter(|_| ours || packet.retain || exactly_once) else {
            self.take(event, &packet, ours, None, None);
            return PublishAction::Transform(packet);
        };
        let gate = &connection.gate;
        let room = if ours { self.room(gate).await } else { None };
        if (ours && room.is_none()) || !poll_fn(|cx| gate.poll_room(cx)).await {
            // Nothing is taken in any more. The acknowledgement that the broker writes now waits at the gate
            // for what never comes, so the client sends the message again to the next hub.
            let _withheld = gate.admit(packet_id);
            return PublishAction::Handled;
        }
        let client = Arc::clone(&event.client_id);
        let receipt = self.admit(gate, packet_id, &event);
        let is_first = receipt.is_some();
        if is_first {
            self.take(event, &packet, ours, room, receipt);
        }
        if !exactly_once {
            return PublishAction::Transform(packet);
        }
        // The broker would hold it until its PUBREL, for as long as the session lasts. It may go to others at
        // once, as long as that is once (MQTT 5, figure 4.3): then its id is all that has to be held.
        if is_first {
            self.common.router.route_message(&packet, Some(&client)).await;
        }
        PublishAction::Handled
    }

    /// Denies a publish. True where its client is told so.
    fn deny(&self, connection: &ClientConnection, event: &ClientPublishEvent, denial: Denial) -> bool {
        self.intake.refuse(&event.topic, &event.payload, denial.reason, denial.detail);
        self.refuse(connection, event, wire::NOT_AUTHORIZED)
    }

    /// Puts the reason for the refusal into the broker's acknowledgement. False where there is no code for it: in MQTT
    /// 3.1.1, and at QoS 0.
    fn refuse(&self, connection: &ClientConnection, event: &ClientPublishEvent, reason: u8) -> bool {
        let Some(packet_id) = event.packet_id.filter(|_| connection.is_v5()) else { return false };
        connection.gate.refuse(packet_id, reason);
        // Its client releases none that was refused.
        self.common.exactly_once.release(&event.client_id, packet_id);
        true
    }

    /// Has the acknowledgement wait at the gate until the receipt is settled. None for a message of QoS 2 that
    /// came before: it is acknowledged with the first.
    fn admit(&self, gate: &Arc<Gate>, packet_id: u16, event: &ClientPublishEvent) -> Option<Receipt> {
        let outcome =
            |settled: InputOutcome| if settled.is_ok() { AckOutcome::Stored } else { AckOutcome::Lost };
        let ticket = gate.admit(packet_id);
        let gate = Arc::clone(gate);
        if event.qos != QoS::ExactlyOnce {
            return Some(Receipt::new(move |settled| gate.settle(ticket, outcome(settled))));
        }
        let (client, common) = (Arc::clone(&event.client_id), Arc::clone(&self.common));
        let waiting = (Arc::clone(&gate), ticket);
        common.exactly_once.begin(&client, packet_id, waiting.clone()).then(|| {
            Receipt::new(move |settled| {
                common.exactly_once.settle(&client, packet_id, waiting, outcome(settled));
            })
        })
    }

    /// Hands a message to its takers: the hub, where it is `ours`, and the retained messages. No receipt means that no
    /// sender waits for the message.
    fn take(
        &self,
        event: ClientPublishEvent,
        packet: &PublishPacket,
        ours: bool,
        room: Option<Room>,
        receipt: Option<Receipt>,
    ) {
        let receipt = match (packet.retain, ours) {
            (true, true) => {
                let mut parts = receipt.map(|receipt| split(receipt, 2)).unwrap_or_default();
                self.common.retained.take(packet, parts.pop());
                parts.pop()
            }
            (true, false) => return self.common.retained.take(packet, receipt),
            (false, true) => receipt,
            (false, false) => {
                if let Some(receipt) = receipt {
                    receipt.settle(Ok(Accepted::default()));
                }
                return;
            }
        };
        let message = IncomingMessage {
            topic: event.topic,
            payload: event.payload,
            fire_and_forget: event.packet_id.is_none(),
            for_twins: true,
            for_rules: true,
            retained: false, // it comes from the device now; the broker keeps a copy for others
        };
        self.intake.accept(message, receipt.unwrap_or_else(Receipt::ignored), room);
    }

    /// The connection listens to these now.
    fn subscribes<'a>(&self, connection: &ClientConnection, filters: impl Iterator<Item = &'a str>) {
        let heard = connection.subscribes(|| self.intake.subscribers().connection(), filters);
        if !heard.is_empty() {
            self.intake.subscribed(heard);
        }
    }

    /// Counts the filters with wildcards that the client's session has.
    async fn count_wildcards(&self, client_id: &Arc<str>) {
        if let Ok(Some(session)) = self.common.storage.get_session(client_id).await {
            let count = session.subscriptions.keys().filter(|filter| wildcards::is_one(filter)).count();
            self.common.wildcards.set(client_id, count);
        }
    }

    /// A resumed session has its earlier subscriptions.
    async fn resume(&self, connection: &ClientConnection, client_id: &str) {
        if let Ok(Some(session)) = self.common.storage.get_session(client_id).await {
            self.subscribes(connection, session.subscriptions.keys().map(String::as_str));
        }
    }

    /// Back-pressure: the connection is not read while this waits. None when the hub takes nothing more in.
    async fn room(&self, gate: &Gate) -> Option<Room> {
        if !poll_fn(|cx| gate.poll_room(cx)).await {
            return None;
        }
        if let Some(room) = self.intake.try_room() {
            return Some(room);
        }
        tokio::select! {
            room = self.intake.room() => room,
            () = poll_fn(|cx| gate.poll_closed(cx)) => None,
        }
    }
}

impl BrokerEventHandler for Hooks {
    fn on_client_connect(&self, event: ClientConnectEvent) -> Hook<'_, ()> {
        Box::pin(async move {
            let Ok(connection) = CONNECTION.try_with(Arc::clone) else { return };
            connection.is(&event.client_id);
            if connection.resumes() {
                self.common.came_back(&event.client_id);
                self.resume(&connection, &event.client_id).await;
            } else {
                self.common.forget(&event.client_id);
            }
            let Some(identity) = connection.identity().cloned() else { return };
            connection.set_will(self.wills.note(&event, connection.take_will_packet(), identity));
        })
    }

    fn on_client_subscribe(&self, event: ClientSubscribeEvent) -> Hook<'_, ()> {
        let all = &event.subscriptions;
        let granted = all.iter().map(|subscription| wire::is_granted(subscription.result));
        let _ = CONNECTION.try_with(|connection| {
            connection.subscribed(granted);
            let granted = all.iter().filter(|subscription| wire::is_granted(subscription.result));
            self.subscribes(connection, granted.map(|subscription| &*subscription.topic_filter));
        });
        Box::pin(async move {
            // They were counted before anybody knew that they would be refused.
            let refused = event.subscriptions.iter().filter(|one| !wire::is_granted(one.result));
            if refused.map(|one| &*one.topic_filter).any(wildcards::is_one) {
                self.count_wildcards(&event.client_id).await;
            }
        })
    }

    fn on_client_unsubscribe(&self, event: ClientUnsubscribeEvent) -> Hook<'_, ()> {
        Box::pin(async move {
            let filters = || event.topic_filters.iter().map(|filter| &**filter);
            let _ = CONNECTION.try_with(|connection| {
                connection.unsubscribes(filters());
                connection.unsubscribed(filters());
            });
            if filters().any(wildcards::is_one) {
                self.count_wildcards(&event.client_id).await;
            }
        })
    }

    fn on_client_publish(&self, event: ClientPublishEvent) -> Hook<'_, PublishAction> {
        Box::pin(self.publish(event))
    }

    fn on_client_disconnect(&self, event: ClientDisconnectEvent) -> Hook<'_, ()> {
        Box::pin(async move {
            let Ok(connection) = CONNECTION.try_with(Arc::clone) else { return };
            connection.drop_subscriptions();
            let will = connection.take_will();
            if matches!(self.common.storage.get_session(&event.client_id).await, Ok(None)) {
                self.common.forget(&event.client_id);
                if let Some(identity) = connection.identity() {
                    self.common.owners.release(&event.client_id, identity);
                }
            }
            // A client that was made to leave has no last word.
            if let Some(will) = will.filter(|_| event.unexpected && connection.gate.parting().is_none()) {
                self.wills.execute(event.client_id, will).await;
            }
        })
    }
}

/// The packet as its client sent it. By now the broker has added a property of its own, and it does not pass the other
/// properties to its hooks.
fn as_sent(event: &ClientPublishEvent, connection: &ClientConnection) -> PublishPacket {
    let parts = connection.take_publish().unwrap_or_default();
    let mut packet = PublishPacket::new(&*event.topic, event.payload.clone(), event.qos);
    packet.packet_id = event.packet_id;
    packet.retain = parts.retain;
    packet.properties = parts.properties;
    packet
}
