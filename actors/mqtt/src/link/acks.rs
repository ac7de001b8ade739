//! Acknowledgements of messages from an outside broker: settled on any thread, sent in the order in which
//! the messages came, and only on the connection on which they came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;

use crate::ack_queue::{AckOutcome, AckQueue};
use twinhub_domain::receipt::Receipt;

/// Acknowledges the messages of a connection in order, each after its commit.
pub(super) struct Acks {
    client: AsyncClient,
    state: Mutex<AcksState>,
}

#[derive(Default)]
struct AcksState {
    queue: AckQueue<Unacknowledged>,
    /// Counts connections. Packet ids mean something on their own connection only.
    epoch: u64,
}

/// All of a message that its acknowledgement needs.
#[derive(Clone, Copy)]
struct Unacknowledged {
    packet_id: u16,
    qos: QoS,
}

impl Acks {
    pub(super) fn new(client: AsyncClient) -> Arc<Self> {
        Arc::new(Self { client, state: Mutex::default() })
    }

    /// A receipt that acknowledges `publish` when it is settled as stored, unless its connection has gone
    /// by then: the broker sends it again.
    pub(super) fn receipt(self: &Arc<Self>, publish: &Publish) -> Receipt {
        let mut state = self.lock();
        let epoch = state.epoch;
        let ticket = state.queue.push(Unacknowledged { packet_id: publish.pkid, qos: publish.qos });
        drop(state);
        let acks = Arc::clone(self);
        Receipt::new(move |settled| {
            let mut state = acks.lock();
            let outcome = if settled.is_ok() { AckOutcome::Stored } else { AckOutcome::Lost };
            if state.epoch == epoch && state.queue.settle(ticket, outcome) {
                acks.send(&mut state);
            }
        })
    }

    /// Sends settled acknowledgements that found no place in the request queue before.
    pub(super) fn send_waiting(&self) {
        self.send(&mut self.lock());
    }

    /// The connection has gone. When this returns, no acknowledgement of it is queued any more.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        state.queue.clear();
    }

    fn send(&self, state: &mut AcksState) {
        while let Some((outcome, &Unacknowledged { packet_id, qos })) = state.queue.first_settled() {
            if outcome == AckOutcome::Stored {
                let publish = Publish { pkid: packet_id, qos, ..Publish::default() };
                if self.client.try_ack(&publish).is_err() {
                    return; // the queue is full: the poll loop makes room and calls again
                }
            }
            state.queue.pop();
        }
    }

    fn lock(&self) -> MutexGuard<'_, AcksState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
