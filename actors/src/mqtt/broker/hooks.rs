//! Where the broker calls us: at each publish, and as clients come and go.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt5::broker::events::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, PublishAction,
};
use tracing::error;

use super::gate::Gate;
use super::wills::{Will, Wills};
use crate::mqtt::dialects;
use crate::mqtt::intake::{Arrived, Intake, Room};
use crate::mqtt::line::Fate;
use crate::mqtt::listening::Listening;
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
}

/// See the module.
pub(super) struct Hooks {
    intake: Arc<dyn Intake>,
    listening: Arc<Listening>,
    wills: Arc<Wills>,
}

impl Hooks {
    pub(super) fn new(intake: Arc<dyn Intake>, wills: Arc<Wills>) -> Self {
        let listening = intake.listening();
        Self { intake, listening, wills }
    }

    async fn publish(&self, event: ClientPublishEvent) -> PublishAction {
        if !dialects::is_ours(&event.topic) && !self.listening.hears(&event.topic) {
            return PublishAction::Continue;
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
            let will = self.wills.note(event).await;
            let _ = CONNECTION.try_with(|connection| *connection.lock_will() = will);
        })
    }

    fn on_client_publish(&self, event: ClientPublishEvent) -> Hook<'_, PublishAction> {
        Box::pin(self.publish(event))
    }

    fn on_client_disconnect(&self, event: ClientDisconnectEvent) -> Hook<'_, ()> {
        Box::pin(async move {
            let will = CONNECTION.try_with(|connection| connection.lock_will().take()).ok().flatten();
            if let Some(will) = will.filter(|_| event.unexpected) {
                self.wills.execute(event.client_id, will).await;
            }
        })
    }
}

impl Connection {
    fn lock_will(&self) -> MutexGuard<'_, Option<Will>> {
        self.will.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
