//! Where the broker calls us: at each publish, and as clients come and go.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt5::broker::events::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, ClientSubscribeEvent,
    ClientUnsubscribeEvent, PublishAction, SubAckReasonCode,
};
use mqtt5::broker::storage::{DynamicStorage, StorageBackend as _};
use tracing::error;

use super::gate::Gate;
use super::rights;
use super::wills::{Will, Wills};
use crate::mqtt::dialects;
use crate::mqtt::intake::{Arrived, Intake, Room};
use crate::mqtt::line::Fate;
use crate::mqtt::listening::Listening;
use crate::mqtt::subscribers::Subscriptions;
use crate::receipt::Receipt;

tokio::task_local! {
    /// The connection whose task this is. The broker calls the hooks from the task that runs the
    /// connection, and tells them only the client id, which two connections may share for a moment.
    pub(super) static CONNECTION: Arc<Connection>;
}

type Hook<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What we know of a connection.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) gate: Arc<Gate>,
    will: Mutex<Option<Will>>,
    /// The level of its protocol, as its CONNECT says.
    version: AtomicU8,
    /// What it listens to.
    subscriptions: Mutex<Option<Subscriptions>>,
}

/// See the module.
pub(super) struct Hooks {
    intake: Arc<dyn Intake>,
    listening: Arc<Listening>,
    wills: Arc<Wills>,
    storage: Arc<DynamicStorage>,
}

impl Hooks {
    pub(super) fn new(intake: Arc<dyn Intake>, wills: Arc<Wills>, storage: Arc<DynamicStorage>) -> Self {
        let listening = intake.listening();
        Self { intake, listening, wills, storage }
    }

    async fn publish(&self, event: ClientPublishEvent) -> PublishAction {
        if !dialects::is_ours(&event.topic) && !self.listening.hears(&event.topic) {
            return self.pass(&event);
        }
        let message = Arrived {
            topic: event.topic,
            payload: event.payload,
            fire_and_forget: event.packet_id.is_none(),
            for_twins: true,
            for_rules: true,
            retained: false, // it comes from the device now; the broker keeps a copy for others
        };
        let Some(packet_id) = event.packet_id else {
            self.intake.take(message, Receipt::nobody(), None);
            return PublishAction::Continue;
        };
        let Ok(connection) = CONNECTION.try_with(Arc::clone) else {
            // Every connection is served inside the scope. Were one not, its messages would still be
            // acknowledged after the commit only: one at a time.
            error!("a connection is served without its gate");
            let (receipt, settled) = Receipt::channel();
            self.intake.take(message, receipt, None);
            return if matches!(settled.await, Ok(Ok(_))) {
                PublishAction::Continue
            } else {
                std::future::pending().await
            };
        };
        let gate = &connection.gate;
        let Some(room) = self.room(gate).await else {
            // Nothing is taken in any more. The acknowledgement that the broker writes now waits at the gate
            // for what never comes, so the client sends the message again to the next hub.
            let _withheld = gate.admit(packet_id);
            return PublishAction::Handled;
        };
        let ticket = gate.admit(packet_id);
        let settles = Arc::clone(gate);
        let receipt = Receipt::new(move |settled| {
            settles.settle(ticket, if settled.is_ok() { Fate::Stored } else { Fate::Lost });
        });
        self.intake.take(message, receipt, Some(room));
        PublishAction::Continue
    }

    /// A message that is not for the hub.
    fn pass(&self, event: &ClientPublishEvent) -> PublishAction {
        let ClientPublishEvent { client_id, topic, payload, .. } = event;
        if dialects::is_hubs(topic) {
            // Of MQTT 3.1.1: acknowledged, as it has no other answer, and gone.
            self.intake.refuse(topic, payload, rights::REASON, rights::refusal(client_id));
            return PublishAction::Handled;
        }
        self.intake.unread(topic);
        PublishAction::Continue
    }

    /// The connection listens to these now.
    fn listens<'a>(&self, filters: impl Iterator<Item = &'a str>) {
        let heard = CONNECTION.try_with(|connection| {
            let mut subscriptions = connection.lock_subscriptions();
            subscriptions.get_or_insert_with(|| self.intake.subscribers().connection()).add(filters)
        });
        if let Ok(heard) = heard
            && !heard.is_empty()
        {
            self.intake.heard(heard);
        }
    }

    /// A session that goes on has what it listened to before.
    async fn resume(&self, client_id: &str) {
        if let Ok(Some(session)) = self.storage.get_session(client_id).await {
            self.listens(session.subscriptions.keys().map(String::as_str));
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
            if !event.clean_start {
                self.resume(&event.client_id).await;
            }
            let will = self.wills.note(event).await;
            let _ = CONNECTION.try_with(|connection| *connection.lock_will() = will);
        })
    }

    fn on_client_publish(&self, event: ClientPublishEvent) -> Hook<'_, PublishAction> {
        Box::pin(self.publish(event))
    }

    fn on_client_subscribe(&self, event: ClientSubscribeEvent) -> Hook<'_, ()> {
        use SubAckReasonCode::{GrantedQoS0, GrantedQoS1, GrantedQoS2};
        let granted = event
            .subscriptions
            .iter()
            .filter(|asked| matches!(asked.result, GrantedQoS0 | GrantedQoS1 | GrantedQoS2));
        self.listens(granted.map(|asked| &*asked.topic_filter));
        Box::pin(std::future::ready(()))
    }

    fn on_client_unsubscribe(&self, event: ClientUnsubscribeEvent) -> Hook<'_, ()> {
        let _ = CONNECTION.try_with(|connection| {
            if let Some(subscriptions) = &mut *connection.lock_subscriptions() {
                subscriptions.remove(event.topic_filters.iter().map(|filter| &**filter));
            }
        });
        Box::pin(std::future::ready(()))
    }

    fn on_client_disconnect(&self, event: ClientDisconnectEvent) -> Hook<'_, ()> {
        Box::pin(async move {
            let _ = CONNECTION.try_with(|connection| connection.lock_subscriptions().take());
            let will = CONNECTION.try_with(|connection| connection.lock_will().take()).ok().flatten();
            if let Some(will) = will.filter(|_| event.unexpected) {
                self.wills.execute(event.client_id, will).await;
            }
        })
    }
}

impl Connection {
    /// The level of its protocol: 4 for MQTT 3.1.1, 5; 0 before its CONNECT.
    pub(super) fn version(&self) -> u8 {
        self.version.load(Ordering::Relaxed)
    }

    pub(super) fn note_version(&self, version: u8) {
        self.version.store(version, Ordering::Relaxed);
    }

    fn lock_subscriptions(&self) -> MutexGuard<'_, Option<Subscriptions>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_will(&self) -> MutexGuard<'_, Option<Will>> {
        self.will.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
