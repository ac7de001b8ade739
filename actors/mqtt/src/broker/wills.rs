//! Last wills. The broker would publish them past its publish hook, and with a property of its own; so it does
//! not see them (`wire::connect` takes them out of the CONNECT), and the hub publishes them, by the same rules
//! (MQTT 5, 3.1.2.5 and 3.1.3.2.2).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqtt5::broker::events::ClientConnectEvent;
use mqtt5::packet::publish::PublishPacket;
use tokio::task::AbortHandle;

use super::connection::BrokerShared;
use super::rights;
use super::wire::WillPacket;
use crate::dialects::Dialects;
use crate::identity::ClientIdentity;
use crate::intake::{IncomingMessage, Intake};
use crate::rule_topics::RuleTopics;
use twinhub_domain::receipt::Receipt;

/// The message to publish when a client disconnects without a DISCONNECT.
pub(super) struct Will {
    packet: PublishPacket,
    client: Arc<str>,
    identity: Arc<dyn ClientIdentity>,
    /// Zero: at once.
    delay: Duration,
}

/// Publishes last wills, after their delay.
pub(super) struct Wills {
    intake: Arc<dyn Intake>,
    dialects: Arc<Dialects>,
    rule_topics: Arc<RuleTopics>,
    common: Arc<BrokerShared>,
    /// Delayed ones that wait, by client id.
    waiting: Mutex<HashMap<Arc<str>, AbortHandle>>,
    /// The hub closes the connections itself: no device has gone.
    closing: AtomicBool,
}

impl Wills {
    pub(super) fn new(intake: Arc<dyn Intake>, common: Arc<BrokerShared>) -> Self {
        let (dialects, rule_topics) = (intake.dialects(), intake.rule_topics());
        let (waiting, closing) = (Mutex::default(), AtomicBool::new(false));
        Self { intake, dialects, rule_topics, common, waiting, closing }
    }

    /// A client has come: its pending will of an earlier connection is dropped. Gives its new will, if it has one.
    pub(super) fn note(
        &self,
        event: &ClientConnectEvent,
        will: Option<WillPacket>,
        identity: Arc<dyn ClientIdentity>,
    ) -> Option<Will> {
        self.cancel(&event.client_id);
        let WillPacket { topic, payload, qos, retain, delay, properties } = will?;
        let mut packet = PublishPacket::new(topic, payload, qos).with_retain(retain);
        packet.properties = properties;
        // A will waits no longer than its session lasts.
        let delay = Duration::from_secs(delay.min(event.session_expiry_interval).into());
        Some(Will { packet, client: Arc::clone(&event.client_id), identity, delay })
    }

    /// The client's session is over, or it is back: its will does not happen.
    pub(super) fn cancel(&self, client_id: &str) {
        if let Some(waiting) = self.lock().remove(client_id) {
            waiting.abort();
        }
    }

    /// The client has gone without a word.
    pub(super) async fn execute(self: &Arc<Self>, client_id: Arc<str>, will: Will) {
        let delay = will.delay;
        if self.closing.load(Ordering::Acquire) {
            return;
        }
        if self.common.router.is_connected(&client_id).await {
            // It is back already where a new connection took its session over: the device has not gone, and
            // what it says now stays. The standard has others hear the will all the same.
            if delay.is_zero() && self.is_allowed(&will).await {
                self.common.router.route_message(&will.packet.with_retain(false), None).await;
            }
            return;
        }
        if delay.is_zero() {
            return self.publish(will).await;
        }
        let wills = Arc::clone(self);
        let key = Arc::clone(&client_id);
        let mut waiting = self.lock();
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let due = wills.lock().remove(&client_id).is_some();
            // It may have come back just before this began to wait.
            if due && !wills.common.router.is_connected(&client_id).await {
                wills.publish(will).await;
            }
        });
        if let Some(earlier) = waiting.insert(key, task.abort_handle()) {
            earlier.abort();
        }
    }

    /// Has its client the right still that it had when it connected?
    async fn is_allowed(&self, Will { packet, client, identity, .. }: &Will) -> bool {
        let (topic, payload) = (&packet.topic_name, &packet.payload);
        identity.lasts()
            && rights::may_publish(&self.dialects, &**identity, client, topic, payload).await.is_ok()
    }

    async fn publish(&self, will: Will) {
        if !self.is_allowed(&will).await {
            return;
        }
        let packet = will.packet;
        let BrokerShared { router, retained, .. } = &*self.common;
        let packet = if packet.retain && retained.has_room(&packet) {
            retained.take(&packet, None);
            packet
        } else {
            packet.with_retain(false)
        };
        if self.dialects.is_ours(&packet.topic_name) || self.rule_topics.matches(&packet.topic_name) {
            let message = IncomingMessage {
                topic: packet.topic_name.as_str().into(),
                payload: packet.payload.clone(),
                fire_and_forget: false,
                retained: false,
                for_twins: true,
                for_rules: true,
            };
            self.intake.accept(message, Receipt::ignored(), None);
        } else {
            self.intake.note_unread(&packet.topic_name);
        }
        router.route_message(&packet, None).await;
    }

    /// From now on clients go because the hub does.
    pub(super) fn stop(&self) {
        self.closing.store(true, Ordering::Release);
        for (_, waiting) in self.lock().drain() {
            waiting.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, AbortHandle>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use mqtt5::QoS;

    use super::*;
    use crate::broker::{BrokerSettings, common};
    use crate::testing::TestIntake;
    use crate::testing::{MemoryPersistence, anybody, still};

    async fn wills(test_intake: &TestIntake) -> Arc<Wills> {
        let common =
            common(&BrokerSettings::default(), Arc::<MemoryPersistence>::default(), still()).await.unwrap();
        Arc::new(Wills::new(Arc::new(test_intake.clone()), common))
    }

    fn will(topic: &str, delay: u64) -> Will {
        let packet = PublishPacket::new(topic, &b"offline"[..], QoS::AtLeastOnce);
        Will { packet, client: "a".into(), identity: anybody(), delay: Duration::from_secs(delay) }
    }

    #[tokio::test]
    async fn rules_get_wills_and_unread_wills_are_counted() {
        let test_intake = TestIntake::with_room(10);
        test_intake.rule_topics.set(vec!["home/#".into()]);
        let wills = wills(&test_intake).await;
        wills.execute("plug".into(), will("home/plug/online", 0)).await;
        wills.execute("plug".into(), will("tele/plug/LWT", 0)).await;
        wills.execute("plug".into(), will("iot/devices/plug/status", 0)).await;
        for expected in ["home/plug/online", "iot/devices/plug/status"] {
            assert_eq!(&*test_intake.next().await.message.topic, expected);
        }
        test_intake.noted(&["unread tele/plug/LWT"]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_will_of_a_client_that_is_back_does_not_happen() {
        let test_intake = TestIntake::with_room(10);
        let wills = wills(&test_intake).await;
        for client in ["back", "gone"] {
            wills.execute(client.into(), will(&format!("iot/devices/{client}/status"), 5)).await;
        }
        // It came back before its will began to wait, so nobody has called that off.
        let (lanes, _receivers) = mqtt5::broker::router::DeliveryLanes::channel(1);
        let (disconnect, _told) = tokio::sync::oneshot::channel();
        let router = &wills.common.router;
        router.register_client("back".into(), lanes, router.queue_handle("back"), disconnect).await;
        assert_eq!(&*test_intake.next().await.message.topic, "iot/devices/gone/status");
        assert!(wills.lock().is_empty() && test_intake.is_empty());
    }
}
