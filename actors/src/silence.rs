//! What a device's silence is judged by.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use twinhub_domain::Timestamp;
use twinhub_domain::twin::Hearing;

/// Since when devices could make themselves heard: the hub's start, or what came between since. And how long one
/// may be silent whose rhythm is not known.
#[derive(Debug)]
pub struct HeardSince {
    since: AtomicI64,
    first_silence_ms: i64,
}

impl HeardSince {
    /// From `now` on.
    #[must_use]
    pub fn new(now: Timestamp, first_silence_ms: i64) -> Arc<Self> {
        Arc::new(Self { since: AtomicI64::new(now.millis()), first_silence_ms })
    }

    /// Since when.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.since.load(Ordering::Relaxed))
    }

    /// What twins judge a silence by.
    #[must_use]
    pub fn hearing(&self) -> Hearing {
        Hearing { since: self.since(), first_silence_ms: self.first_silence_ms }
    }

    /// Nobody could before `now`.
    pub fn begin_again(&self, now: Timestamp) {
        self.since.store(now.millis(), Ordering::Relaxed);
    }
}
