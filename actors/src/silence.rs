//! The hub's part in judging a device's silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use twinhub_domain::Timestamp;
use twinhub_domain::twin::SilenceRule;

/// The time since which devices could be heard: the hub's start, or a later interruption. And the time that a device
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

    /// The time since which devices could be heard.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.since.load(Ordering::Relaxed))
    }

    /// The values by which twins judge a silence.
    #[must_use]
    pub fn hearing(&self) -> SilenceRule {
        SilenceRule { since: self.since(), first_silence_ms: self.first_silence_ms }
    }

    /// Devices could not be heard before `now`.
    pub fn begin_again(&self, now: Timestamp) {
        self.since.store(now.millis(), Ordering::Relaxed);
    }
}
