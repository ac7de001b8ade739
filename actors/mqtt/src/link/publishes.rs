//! The hub's publishes on an outside broker, tracked until the broker has acknowledged them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAck, PubAckReason, PublishProperties};
use tokio::sync::{Semaphore, oneshot};

use crate::{LinkError, Published, whole_seconds};
use twinhub_domain::Outgoing;

/// Publishes in flight at most: enough to fill a link of 20 ms at 10,000 a second.
pub(super) const MOST_PUBLISHES: u16 = 200;

/// The publishes that wait for the broker's acknowledgement.
pub(super) struct Publishes {
    client: AsyncClient,
    room: Semaphore,
    state: Mutex<PublishesState>,
}

type Waiter = oneshot::Sender<Result<Published, LinkError>>;

#[derive(Default)]
struct PublishesState {
    connected: bool,
    /// In the order of the client's request queue: the packet id is given when they leave it.
    queued: VecDeque<Waiter>,
    by_packet_id: HashMap<u16, Waiter>,
}

impl Publishes {
    pub(super) fn new(client: AsyncClient) -> Self {
        Self { client, room: Semaphore::new(MOST_PUBLISHES.into()), state: Mutex::default() }
    }

    /// Publishes, and waits for the acknowledgement.
    pub(super) async fn publish(
        &self,
        message: &Outgoing,
        expires_in: Option<Duration>,
    ) -> Result<Published, LinkError> {
        let gone = |_| LinkError("the link has been closed".into());
        let _room = self.room.acquire().await.map_err(|_| LinkError("the link has been closed".into()))?;
        let (waiter, acknowledged) = oneshot::channel();
        self.enqueue(message, expires_in, waiter)?;
        acknowledged.await.map_err(gone)?
    }

    fn enqueue(
        &self,
        message: &Outgoing,
        expires_in: Option<Duration>,
        waiter: Waiter,
    ) -> Result<(), LinkError> {
        let Outgoing { topic, payload, retain, .. } = message;
        let mut state = self.lock();
        if !state.connected {
            return Err(LinkError("not connected to the broker".into()));
        }
        // Under the lock, so that waiters stand in the order of the requests.
        self.client
            .try_publish_with_properties(
                topic.as_str(),
                QoS::AtLeastOnce,
                *retain,
                payload.clone(),
                PublishProperties {
                    message_expiry_interval: expires_in.map(whole_seconds),
                    ..PublishProperties::default()
                },
            )
            .map_err(|error| LinkError(format!("cannot publish on {topic}: {error}")))?;
        state.queued.push_back(waiter);
        Ok(())
    }

    /// The broker has taken the connection.
    pub(super) fn open(&self) {
        self.lock().connected = true;
    }

    /// The first one queued was sent under this packet id.
    pub(super) fn sent(&self, packet_id: u16) {
        let mut state = self.lock();
        if let Some(waiter) = state.queued.pop_front() {
            state.by_packet_id.insert(packet_id, waiter);
        }
    }

    /// The broker has answered.
    pub(super) fn acknowledged(&self, ack: &PubAck) {
        let waiter = self.lock().by_packet_id.remove(&ack.pkid);
        let result = match ack.reason {
            PubAckReason::Success => Ok(Published::Taken),
            PubAckReason::NoMatchingSubscribers => Ok(Published::Unheard),
            refused => Err(LinkError(format!("the broker refuses it: {refused:?}"))),
        };
        if let Some(waiter) = waiter {
            let _ = waiter.send(result); // the caller may be gone
        }
    }

    /// Fails all publishes of a lost connection: it is not known which of them arrived.
    pub(super) fn fail_all(&self, reason: &str) {
        let mut state = self.lock();
        state.connected = false;
        let PublishesState { queued, by_packet_id, .. } = &mut *state;
        for waiter in queued.drain(..).chain(by_packet_id.drain().map(|(_, waiter)| waiter)) {
            let _ = waiter.send(Err(LinkError(reason.to_owned()))); // the caller may be gone
        }
    }

    fn lock(&self) -> MutexGuard<'_, PublishesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
