//! QoS 2 inward: a message counts once, however often its client sends it before the PUBREL, over the same
//! connection or over the next one of its session (MQTT 5, 4.3.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::gate::{Gate, MOST_UNSETTLED};
use crate::ack_queue::{AckOutcome, AckTicket};

/// The most messages of one session. A client that releases none of this many is not served any more.
const MOST_UNRELEASED: usize = MOST_UNSETTLED;

/// A connection and its place in the queue, waiting for a message's outcome to acknowledge it or not.
pub(super) type WaitingReceipt = (Arc<Gate>, AckTicket);

/// The messages of each session that came and whose PUBREL has not.
#[derive(Debug, Default)]
pub(super) struct ExactlyOnce(Mutex<HashMap<Arc<str>, HashMap<u16, QosTwoExchange>>>);

#[derive(Debug)]
enum QosTwoExchange {
    /// On its way to the store, with those that wait for it.
    Storing(Vec<WaitingReceipt>),
    Stored,
}

impl ExactlyOnce {
    /// Registers a message that came, to be acknowledged by `waiting`. True where it came for the first time; the
    /// caller then reports its outcome to [`ExactlyOnce::settle`]. A repeated message is acknowledged with the first.
    /// One too many is never acknowledged: its connection ends.
    pub(super) fn begin(&self, client: &Arc<str>, packet_id: u16, waiting: WaitingReceipt) -> bool {
        let mut sessions = self.lock();
        let exchanges = sessions.entry(Arc::clone(client)).or_default();
        let is_full = exchanges.len() >= MOST_UNRELEASED;
        match exchanges.get_mut(&packet_id) {
            None if !is_full => {
                exchanges.insert(packet_id, QosTwoExchange::Storing(vec![waiting]));
                return true;
            }
            None => {
                drop(sessions);
                waiting.0.settle(waiting.1, AckOutcome::Lost);
            }
            Some(QosTwoExchange::Storing(others)) => others.push(waiting),
            Some(QosTwoExchange::Stored) => {
                drop(sessions);
                waiting.0.settle(waiting.1, AckOutcome::Stored);
            }
        }
        false
    }

    /// The message that came first is stored, or lost: then it may come again.
    pub(super) fn settle(
        &self,
        client: &Arc<str>,
        packet_id: u16,
        first: WaitingReceipt,
        outcome: AckOutcome,
    ) {
        let mut sessions = self.lock();
        let exchanges = sessions.get_mut(client);
        let mut waiting = vec![first];
        if let Some(exchanges) = exchanges
            && let Some(QosTwoExchange::Storing(others)) = exchanges.get_mut(&packet_id)
            // Another exchange has the id where the session was forgotten meanwhile.
            && others.first().is_some_and(|(gate, ticket)| Arc::ptr_eq(gate, &waiting[0].0) && *ticket == waiting[0].1)
        {
            waiting = std::mem::take(others);
            match outcome {
                AckOutcome::Stored => drop(exchanges.insert(packet_id, QosTwoExchange::Stored)),
                AckOutcome::Lost => drop(exchanges.remove(&packet_id)),
            }
        }
        drop(sessions);
        for (gate, ticket) in waiting {
            gate.settle(ticket, outcome);
        }
    }

    /// Releases the id, as the client asked: the next message with it is another. True where the id was in use. Where
    /// the message is not stored yet, connections that repeated it get no outcome any more.
    pub(super) fn release(&self, client: &str, packet_id: u16) -> bool {
        let mut sessions = self.lock();
        let Some(exchanges) = sessions.get_mut(client) else { return false };
        let released = exchanges.remove(&packet_id);
        if exchanges.is_empty() {
            sessions.remove(client);
        }
        drop(sessions);
        if let Some(QosTwoExchange::Storing(waiting)) = &released {
            for (gate, ticket) in waiting.iter().skip(1) {
                gate.settle(*ticket, AckOutcome::Lost); // the first is settled when it is stored
            }
        }
        released.is_some()
    }

    /// The client's session is over, or begins anew.
    pub(super) fn forget(&self, client: &str) {
        self.lock().remove(client);
    }

    /// The clients whose sessions have messages in here.
    pub(super) fn clients(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, HashMap<u16, QosTwoExchange>>> {
        // Nothing panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
