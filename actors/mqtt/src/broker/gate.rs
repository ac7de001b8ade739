//! The gate of one connection: it holds each PUBACK and PUBREC of the broker back until the message that
//! it acknowledges is stored, and lets them go in the order in which the messages came.
//!
//! All that waits on a gate is the connection's one task: it reads, writes, or waits for room.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::task::AtomicWaker;

use super::wire;
use crate::ack_queue::{AckOutcome, AckQueue, AckTicket};

/// A connection has at most this many messages in flight towards the store. It is far beyond the window
/// of any client library (20 to 100), and keeps one gateway from taking all the room there is.
pub(super) const MOST_UNSETTLED: usize = 1_024;

/// Holds back a connection's acknowledgements until its messages are stored, and stops its reading.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    task: AtomicWaker,
}

#[derive(Debug, Default)]
struct GateState {
    queue: AckQueue<Ack>,
    reading: ReadPhase,
    /// The message that the broker is about to acknowledge although it was not taken, and why not.
    refused: Option<(u16, u8)>,
    /// The client has lost its rights, for this reason: nothing goes to it any more but that.
    parting: Option<u8>,
}

/// The state of reading from the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReadPhase {
    #[default]
    Open,
    /// The hub takes nothing more in; messages taken in before are still acknowledged.
    Stopped,
    /// The connection ends. A message was lost, and only a new connection makes the client send it again; or the client
    /// does not read its messages.
    Broken,
}

/// The broker's acknowledgement of a message.
#[derive(Debug)]
enum Ack {
    /// Not written by the broker yet.
    Awaited(u16),
    Held(Box<[u8]>),
    /// The broker wrote none and never will.
    Never,
}

impl Ack {
    fn is_awaited(&self, packet_id: u16) -> bool {
        matches!(self, Self::Awaited(id) if *id == packet_id)
    }
}

impl Gate {
    /// Notes that the message `packet_id` is on its way to the store. The broker's next packet with this
    /// id is its acknowledgement: a connection handles one message after the other.
    pub(super) fn admit(&self, packet_id: u16) -> AckTicket {
        let mut state = self.lock();
        if let Some(ack @ Ack::Awaited(_)) = state.queue.last_mut() {
            *ack = Ack::Never; // must not keep those behind it waiting
        }
        state.queue.push(Ack::Awaited(packet_id))
    }

    /// The message is stored, or lost.
    pub(super) fn settle(&self, ticket: AckTicket, outcome: AckOutcome) {
        let mut state = self.lock();
        let was_full = state.queue.unsettled() >= MOST_UNSETTLED;
        let first = state.queue.settle(ticket, outcome);
        if outcome == AckOutcome::Lost {
            state.reading = ReadPhase::Broken;
        }
        drop(state);
        // Behind an unsettled one there is nothing to write yet.
        if first || was_full || outcome == AckOutcome::Lost {
            self.task.wake();
        }
    }

    /// Refuses the message `packet_id`: the broker's acknowledgement carries `reason` in place of success.
    pub(super) fn refuse(&self, packet_id: u16, reason: u8) {
        self.lock().refused = Some((packet_id, reason));
    }

    /// Holds the acknowledgement of `packet_id` back until it may go. True where it carries a refusal.
    pub(super) fn hold(&self, packet_id: u16, packet: &[u8]) -> bool {
        let mut state = self.lock();
        if let Some((_, reason)) = state.refused.take_if(|(id, _)| *id == packet_id) {
            state.queue.push_settled(Ack::Held(wire::refused(packet, reason).into()));
            return true;
        }
        if let Some(ack) = state.queue.last_mut()
            && ack.is_awaited(packet_id)
        {
            *ack = Ack::Held(packet.into());
        } else {
            // Of a message that is none of ours: it only keeps the order.
            state.queue.push_settled(Ack::Held(packet.into()));
        }
        false
    }

    /// Moves all acknowledgements that may go to the end of `out`.
    pub(super) fn release(&self, out: &mut BytesMut) {
        let mut state = self.lock();
        loop {
            match state.queue.first_settled() {
                Some((AckOutcome::Stored, Ack::Held(packet))) => out.extend_from_slice(packet),
                Some((AckOutcome::Lost, Ack::Held(_)) | (_, Ack::Never)) => {}
                Some((_, Ack::Awaited(_))) | None => return,
            }
            state.queue.pop();
        }
    }

    /// Ready when one more message may go to the store: false when none may any more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.task.register(cx.waker());
        let state = self.lock();
        match state.reading {
            ReadPhase::Open if state.queue.unsettled() < MOST_UNSETTLED => Poll::Ready(true),
            ReadPhase::Open => Poll::Pending,
            ReadPhase::Stopped | ReadPhase::Broken => Poll::Ready(false),
        }
    }

    /// Ready when the connection takes nothing more in.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if self.lock().reading == ReadPhase::Open { Poll::Pending } else { Poll::Ready(()) }
    }

    /// The state of reading. Wakes the task when that changes, or when an acknowledgement may go.
    pub(super) fn poll_reading(&self, cx: &mut Context<'_>) -> ReadPhase {
        self.task.register(cx.waker());
        self.lock().reading
    }

    /// Ends the connection, however long its client takes nothing.
    pub(super) fn break_off(&self) {
        self.lock().reading = ReadPhase::Broken;
        self.task.wake();
    }

    /// Ends the connection, and has nothing more go to its client but this reason.
    pub(super) fn part(&self, reason: u8) {
        self.lock().parting = Some(reason);
        self.break_off();
    }

    /// The reason for which the client must get nothing more.
    pub(super) fn parting(&self) -> Option<u8> {
        self.lock().parting
    }

    /// Takes nothing more in.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        if state.reading == ReadPhase::Open {
            state.reading = ReadPhase::Stopped;
        }
        drop(state);
        self.task.wake();
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        // Nothing panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_that_never_comes_keeps_no_other_waiting() {
        let gate = Gate::default();
        let (first, second) = (gate.admit(1), gate.admit(2)); // the broker says nothing to the first
        gate.hold(2, b"second");
        gate.settle(first, AckOutcome::Stored);
        gate.settle(second, AckOutcome::Stored);
        let mut out = BytesMut::new();
        gate.release(&mut out);
        assert_eq!(&out[..], b"second");
    }
}
