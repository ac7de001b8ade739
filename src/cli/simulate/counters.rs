//! Counters of the whole fleet.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The counts so far.
#[derive(Default)]
pub(super) struct FleetCounters {
    /// Devices that are there now.
    pub(super) here: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    /// Commands that were carried out and answered.
    pub(super) answered: AtomicU64,
    /// Messages of what is desired that there was something to say to.
    pub(super) followed: AtomicU64,
    pub(super) dropped_out: AtomicU64,
    /// Updates of firmware that were installed.
    pub(super) updated: AtomicU64,
    /// Connections that failed or broke against the fleet's will.
    pub(super) failed: AtomicU64,
}

impl FleetCounters {
    /// All of it in a line, after `elapsed`.
    pub(super) fn line(&self, elapsed: Duration) -> String {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "for show")]
        let rate = get(&self.acknowledged) as f64 / elapsed.as_secs_f64().max(0.001);
        format!(
            "{} there · {} messages, {} acknowledged ({rate:.0}/s) · {} commands answered · {} wishes followed \
             · {} updates · {} drop-outs · {} lost connections",
            get(&self.here),
            get(&self.sent),
            get(&self.acknowledged),
            get(&self.answered),
            get(&self.followed),
            get(&self.updated),
            get(&self.dropped_out),
            get(&self.failed),
        )
    }

    /// The same at the end.
    pub(super) fn summary(&self, elapsed: Duration) -> String {
        format!("after {:.1} s: {}", elapsed.as_secs_f64(), self.line(elapsed))
    }
}
