//! The program's clocks. In here alone the system is asked for the time.
//!
//! The hub has a clock of its own, [`HubClock`]: it counts on by the system's monotonic clock, and takes over the wall
//! clock's time at one moment that the hub chooses ([`clock_watch`](crate::clock_watch)), after all who must know have
//! been notified. So no part of the hub meets a time that has leapt unannounced.

pub mod retention;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::{ClockSequence, ContextV7, Uuid};

use twinhub_domain::{Clock, Timestamp};

/// Asks the system each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// Not chrono's `Utc::now`: that dies of a clock that shows a time before 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the Clock that everyone asks")]
    fn now(&self) -> Timestamp {
        let millis = |passed: Duration| i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        })
    }

    fn uptime_ms(&self) -> u64 {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The hub's clock.
#[derive(Debug)]
pub struct HubClock {
    /// Its offset from the system's uptime, in ms since the Unix epoch.
    beyond_uptime: AtomicI64,
}

impl HubClock {
    /// A clock with the wall clock's present time.
    #[must_use]
    pub fn new() -> Self {
        let beyond_uptime = SystemClock.now().millis() - uptime();
        Self { beyond_uptime: AtomicI64::new(beyond_uptime) }
    }
}

impl Default for HubClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for HubClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(uptime().saturating_add(self.beyond_uptime.load(Ordering::Acquire)))
    }

    fn uptime_ms(&self) -> u64 {
        SystemClock.uptime_ms()
    }

    fn ahead_ms(&self) -> i64 {
        SystemClock.now().millis() - self.now().millis()
    }

    fn follow(&self, by_ms: i64) {
        self.beyond_uptime.fetch_add(by_ms, Ordering::AcqRel);
    }
}

fn uptime() -> i64 {
    i64::try_from(SystemClock.uptime_ms()).unwrap_or(i64::MAX)
}

/// A new id that sorts by its time: also while the clock is set back, and by a clock that shows a time before 1970,
/// of which the crate's own way dies.
#[must_use]
pub fn new_id() -> Uuid {
    static ORDER: Mutex<AssertUnwindSafe<ContextV7>> = Mutex::new(AssertUnwindSafe(ContextV7::new()));
    new_id_at(&ORDER, SystemClock.now())
}

/// An id of this moment. Ids of one `context` sort as they were made, also within a millisecond; before 1970 all are of
/// its first moment.
#[must_use]
pub fn new_id_at(context: impl ClockSequence<Output = impl Into<u128>>, at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.millis()).unwrap_or(0);
    let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0); // below a second, so it fits
    Uuid::new_v7(uuid::Timestamp::from_unix(context, millis / 1_000, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hubs_clock_shows_another_time_only_once_it_follows() {
        let clock = HubClock::new();
        assert!(clock.ahead_ms().abs() < 1_000, "{}", clock.ahead_ms());
        clock.follow(-3_600_000);
        let ahead = clock.ahead_ms();
        assert!((3_599_000..3_601_000).contains(&ahead), "{ahead}");
        clock.follow(ahead);
        assert!(clock.ahead_ms().abs() < 1_000, "{}", clock.ahead_ms());
    }

    #[test]
    fn ids_sort_as_they_were_made() {
        let ids: Vec<Uuid> = (0..1_000).map(|_| new_id()).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
