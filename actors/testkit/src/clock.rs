//! A clock moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use twinhub_domain::{Clock, Timestamp};

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    shows: AtomicI64,
    passed: AtomicU64,
    /// By how many ms it was set, and has not followed yet.
    ahead: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            shows: AtomicI64::new(now.millis()),
            passed: AtomicU64::default(),
            ahead: AtomicI64::default(),
        })
    }

    /// Another that shows the same, and goes its own way: who still looks at this one does not move it.
    #[must_use]
    pub fn apart(&self) -> Arc<Self> {
        let same = |value: &AtomicI64| AtomicI64::new(value.load(Ordering::SeqCst));
        Arc::new(Self {
            shows: same(&self.shows),
            passed: AtomicU64::new(self.passed.load(Ordering::SeqCst)),
            ahead: same(&self.ahead),
        })
    }

    /// Lets `millis` pass.
    pub fn advance(&self, millis: i64) {
        self.shows.fetch_add(millis, Ordering::SeqCst);
        self.passed.fetch_add(millis.unsigned_abs(), Ordering::SeqCst);
    }

    /// Sets the clock on the wall to `now`, without any time passing: a jump. This one shows it once it follows.
    pub fn set(&self, now: Timestamp) {
        let shows = self.shows.load(Ordering::SeqCst);
        self.ahead.store(now.millis() - shows, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.shows.load(Ordering::SeqCst))
    }

    fn uptime_ms(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    fn ahead_ms(&self) -> i64 {
        self.ahead.load(Ordering::SeqCst)
    }

    fn follow(&self, by_ms: i64) {
        self.ahead.fetch_sub(by_ms, Ordering::SeqCst);
        self.shows.fetch_add(by_ms, Ordering::SeqCst);
    }
}
