//! Messages that an outside broker reports as dropped, as Mosquitto does: a message for a session whose queue is full
//! is acknowledged to its sender and gone. There is no other sign of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use super::address::BrokerAddress;

/// The topic on which Mosquitto reports the number of messages dropped since it started.
pub(super) const TOPIC: &str = "$SYS/broker/publish/messages/dropped";
/// The remedy, as in the README.
const ADVICE: &str = "a queue was full and what did not fit is lost; let the broker queue without a limit while the hub \
                      is away (README, \"Your own broker\": `max_queued_messages 0`)";
/// A growing figure is written to the log no more often than this.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// The count of messages that the broker has dropped.
#[derive(Debug, Default)]
pub(super) struct Dropped(Mutex<DroppedCounts>);

#[derive(Debug, Default)]
struct DroppedCounts {
    /// The count that the broker reported last; it begins at 0 when it starts.
    last: u64,
    /// Before the hub heard of it first, and since.
    before: Option<u64>,
    since: u64,
    warned_at: Option<Instant>,
}

impl Dropped {
    /// Records the broker's count of messages dropped since it started.
    pub(super) fn note(&self, payload: &[u8], broker: &BrokerAddress, now: Instant) {
        let count = std::str::from_utf8(payload).ok().and_then(|text| text.trim().parse().ok());
        let Some(count) = count else { return };
        let mut state = self.lock();
        let grown = match state.before {
            None => {
                state.before = Some(count);
                count
            }
            // Less than before: the broker was started again, and has dropped so many since.
            Some(_) => {
                let grown = count.checked_sub(state.last).unwrap_or(count);
                state.since += grown;
                grown
            }
        };
        state.last = count;
        if grown == 0 || state.warned_at.is_some_and(|warned_at| now.duration_since(warned_at) < TELL_EVERY) {
            return;
        }
        state.warned_at = Some(now);
        drop(state);
        warn!(%broker, dropped = grown, "the broker has dropped messages: {ADVICE}");
    }

    /// A warning for people, where messages were dropped.
    pub(super) fn warning(&self) -> Option<String> {
        let state = self.lock();
        let (before, since) = (state.before.unwrap_or_default(), state.since);
        let counts = match (before, since) {
            (0, 0) => return None,
            (before, 0) => format!("{before} messages before the hub came to it"),
            (0, since) => format!("{since} messages"),
            (before, since) => format!("{before} messages before the hub came to it and {since} since"),
        };
        Some(format!("the broker has dropped {counts}: {ADVICE}"))
    }

    fn lock(&self) -> MutexGuard<'_, DroppedCounts> {
        // Nothing in here panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_over_restarts_of_the_broker() {
        let broker = BrokerAddress::parse("mqtt://localhost").unwrap();
        let dropped = Dropped::default();
        let check = |payload: &str, expected: &str| {
            dropped.note(payload.as_bytes(), &broker, Instant::now());
            let warning = dropped.warning().unwrap_or_default();
            assert_eq!(warning.split(':').next(), Some(expected), "{payload}");
        };
        check("nonsense", "");
        check("0", "");
        check("3", "the broker has dropped 3 messages");
        check("3", "the broker has dropped 3 messages");
        check("1", "the broker has dropped 4 messages");
        let late = Dropped::default();
        late.note(b"5", &broker, Instant::now());
        late.note(b"7", &broker, Instant::now());
        let expected = "the broker has dropped 5 messages before the hub came to it and 2 since: ";
        assert!(late.warning().unwrap().starts_with(expected));
    }
}
