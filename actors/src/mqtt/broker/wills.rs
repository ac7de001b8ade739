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

use super::connection::Common;
use super::wire::WillPacket;
use crate::mqtt::dialects;
use crate::mqtt::intake::{Arrived, Intake};
use crate::receipt::Receipt;

/// What is published when a client goes without a word.
#[derive(Debug)]
pub(super) struct Will {
    packet: PublishPacket,
    /// Zero: at once.
    delay: Duration,
}

/// See the module.
pub(super) struct Wills {
    intake: Arc<dyn Intake>,
    common: Arc<Common>,
    /// Delayed ones that wait, by client id.
    waiting: Mutex<HashMap<Arc<str>, AbortHandle>>,
    /// The hub closes the connections itself: no device has gone.
    closing: AtomicBool,
}

impl Wills {
    pub(super) fn new(intake: Arc<dyn Intake>, common: Arc<Common>) -> Self {
        Self { intake, common, waiting: Mutex::default(), closing: AtomicBool::new(false) }
    }

    /// A client has come: what it left when it went before does not happen. Gives its will, if it has one.
    pub(super) fn note(&self, event: &ClientConnectEvent, will: Option<WillPacket>) -> Option<Will> {
        if let Some(waiting) = self.lock().remove(&event.client_id) {
            waiting.abort();
        }
        let WillPacket { topic, payload, qos, retain, delay, properties } = will?;
        let mut packet = PublishPacket::new(topic, payload, qos).with_retain(retain);
        packet.properties = properties;
        // A will waits no longer than its session lasts.
        let delay = Duration::from_secs(delay.min(event.session_expiry_interval).into());
        Some(Will { packet, delay })
    }

    /// The client has gone without a word.
    pub(super) async fn execute(self: &Arc<Self>, client_id: Arc<str>, Will { packet, delay }: Will) {
        if self.closing.load(Ordering::Acquire) {
            return;
        }
        if self.common.router.is_connected(&client_id).await {
            // It is back already where a new connection took its session over: the device has not gone, and
            // what it says now stays. The standard has others hear the will all the same.
            if delay.is_zero() {
                self.common.router.route_message(&packet.with_retain(false), None).await;
            }
            return;
        }
        if delay.is_zero() {
            return self.publish(packet).await;
        }
        let wills = Arc::clone(self);
        let key = Arc::clone(&client_id);
        let mut waiting = self.lock();
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let due = wills.lock().remove(&client_id).is_some();
            if due {
                wills.publish(packet).await;
            }
        });
        if let Some(earlier) = waiting.insert(key, task.abort_handle()) {
            earlier.abort();
        }
    }

    async fn publish(&self, packet: PublishPacket) {
        let Common { router, retained, .. } = &*self.common;
        let packet = if packet.retain && retained.has_room(&packet) {
            retained.take(&packet, Receipt::nobody());
            packet
        } else {
            packet.with_retain(false)
        };
        if dialects::is_ours(&packet.topic_name) {
            let message = Arrived {
                topic: packet.topic_name.as_str().into(),
                payload: packet.payload.clone(),
                fire_and_forget: false,
                retained: false,
                for_twins: true,
                for_rules: true,
            };
            self.intake.take(message, Receipt::nobody(), None);
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
