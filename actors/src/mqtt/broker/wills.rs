//! Last wills on the topics of devices. The broker publishes wills past its publish hook, so the hub keeps
//! them beside it, by the same rules (MQTT 5, 3.1.2.5 and 3.1.3.2.2).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqtt5::broker::events::ClientConnectEvent;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, StorageBackend};
use tokio::task::AbortHandle;

use crate::mqtt::dialects;
use crate::mqtt::intake::{Arrived, Intake};
use crate::receipt::Receipt;

/// A will on one of our topics.
#[derive(Debug)]
pub(super) struct Will {
    message: Arrived,
    /// Zero: at once.
    delay: Duration,
}

/// See the module.
pub(super) struct Wills {
    intake: Arc<dyn Intake>,
    router: Arc<MessageRouter>,
    storage: Arc<DynamicStorage>,
    /// Delayed ones that wait, by client id.
    waiting: Mutex<HashMap<Arc<str>, AbortHandle>>,
    /// The hub closes the connections itself: no device has gone.
    closing: AtomicBool,
}

impl Wills {
    pub(super) fn new(
        intake: Arc<dyn Intake>,
        router: Arc<MessageRouter>,
        storage: Arc<DynamicStorage>,
    ) -> Self {
        let (waiting, closing) = (Mutex::default(), AtomicBool::new(false));
        Self { intake, router, storage, waiting, closing }
    }

    /// A client has come: what it left when it went before does not happen. Gives its will, if it is ours.
    pub(super) async fn note(&self, event: ClientConnectEvent) -> Option<Will> {
        if let Some(waiting) = self.lock().remove(&event.client_id) {
            waiting.abort();
        }
        let topic = event.will_topic.filter(|topic| dialects::is_ours(topic))?;
        let payload = event.will_payload.unwrap_or_default();
        // The event does not tell the delay; the session does.
        let session = self.storage.get_session(&event.client_id).await.ok().flatten();
        let delay = session.and_then(|session| session.will_publish_delay()).unwrap_or(0);
        let message = Arrived {
            topic,
            payload,
            fire_and_forget: false,
            retained: false,
            for_twins: true,
            for_rules: true,
        };
        Some(Will { message, delay: Duration::from_secs(delay.into()) })
    }

    /// The client has gone without a word.
    pub(super) async fn execute(self: &Arc<Self>, client_id: Arc<str>, Will { message, delay }: Will) {
        // It is back already where a new connection took its session over: then nobody has gone.
        if self.closing.load(Ordering::Acquire) || self.router.is_connected(&client_id).await {
            return;
        }
        if delay.is_zero() {
            self.intake.take(message, Receipt::nobody(), None);
            return;
        }
        let wills = Arc::clone(self);
        let key = Arc::clone(&client_id);
        let mut waiting = self.lock();
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if wills.lock().remove(&client_id).is_some() {
                wills.intake.take(message, Receipt::nobody(), None);
            }
        });
        if let Some(earlier) = waiting.insert(key, task.abort_handle()) {
            earlier.abort();
        }
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
