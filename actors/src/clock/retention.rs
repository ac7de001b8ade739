//! The clock of retention: it decides what is old enough to be deleted. A clock that leaps ahead may be wrong, and data
//! deleted by it is gone for good. So for a day of running after a leap, retention goes on by the time before it: an
//! operator who sets the clock right by then has lost nothing. The store keeps the doubt about the clock: an operator
//! who sees a wrong time may well start the hub again before setting it right.

use twinhub_domain::Timestamp;
use twinhub_store::ClockDoubt;

/// A leap by this much is doubted, for this long. In ms.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const WAIT_MS: u64 = 24 * 60 * 60 * 1_000;

/// The time by which old data is deleted.
#[derive(Debug, Default)]
pub struct RetentionClock {
    doubt: ClockDoubt,
    /// The clock that only counts, when it was looked at last.
    counted_ms: u64,
}

impl RetentionClock {
    /// Goes on with the stored doubt.
    #[must_use]
    pub fn new(doubt: ClockDoubt, uptime_ms: u64) -> Self {
        Self { doubt, counted_ms: uptime_ms }
    }

    /// The clock was set by `by_ms`; or that time passed while the hub was down, as far as the clock shows.
    pub fn moved(&mut self, by_ms: i64, uptime_ms: u64) {
        self.count(uptime_ms);
        let ClockDoubt { ahead_ms, for_ms } = &mut self.doubt;
        if by_ms > DAY_MS {
            *ahead_ms = ahead_ms.saturating_add(by_ms);
            *for_ms = 0;
        } else if *ahead_ms > 0 && by_ms < 0 {
            *ahead_ms = ahead_ms.saturating_add(by_ms).max(0);
        }
        self.end();
    }

    /// The time that is believed.
    pub fn now(&mut self, now: Timestamp, uptime_ms: u64) -> Timestamp {
        self.count(uptime_ms);
        self.end();
        now.plus_millis(self.doubt.ahead_ms.saturating_neg())
    }

    /// The doubt to store.
    #[must_use]
    pub fn doubt(&self) -> ClockDoubt {
        self.doubt
    }

    fn count(&mut self, uptime_ms: u64) {
        if self.doubt.ahead_ms > 0 {
            let passed = uptime_ms.saturating_sub(self.counted_ms);
            self.doubt.for_ms = self.doubt.for_ms.saturating_add(passed);
        }
        self.counted_ms = uptime_ms;
    }

    /// A leap that has been doubted for long enough is believed; one that was taken back is over.
    fn end(&mut self) {
        if self.doubt.for_ms >= WAIT_MS || self.doubt.ahead_ms == 0 {
            self.doubt = ClockDoubt::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * DAY_MS;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_leap_ahead_is_believed_after_a_day() {
        let mut clock = RetentionClock::default();
        assert_eq!(clock.now(at(0), 0), at(0));
        clock.moved(2 * 3_600_000, 10);
        assert_eq!(clock.now(at(100), 10), at(100), "hours are nothing");
        clock.moved(50 * YEAR, 1_000);
        assert_eq!(clock.now(at(50 * YEAR + 5), 1_000), at(5));
        assert_eq!(clock.now(at(50 * YEAR + DAY_MS), 1_000 + WAIT_MS - 1), at(DAY_MS));
        assert_eq!(clock.now(at(50 * YEAR + DAY_MS), 1_000 + WAIT_MS), at(50 * YEAR + DAY_MS), "believed");
        assert_eq!(clock.doubt(), ClockDoubt::default());
        clock.moved(50 * YEAR, WAIT_MS);
        clock.moved(-50 * YEAR, WAIT_MS + 5);
        assert_eq!(clock.now(at(7), WAIT_MS + 6), at(7), "set right");
        assert_eq!(clock.doubt(), ClockDoubt::default());
        clock.moved(-50 * YEAR, WAIT_MS);
        assert_eq!(clock.now(at(7), WAIT_MS + 6), at(7), "a clock set back makes nothing old");
    }

    #[test]
    fn a_leap_is_doubted_across_starts() {
        let mut clock = RetentionClock::default();
        clock.moved(40 * DAY_MS, 0);
        clock.now(at(0), 1_000);
        // Down for an hour, and the clock is still wrong.
        let mut again = RetentionClock::new(clock.doubt(), 50);
        again.moved(3_600_000, 50);
        assert_eq!(again.now(at(40 * DAY_MS), 50), at(0));
        assert_eq!(again.now(at(41 * DAY_MS), 50 + WAIT_MS - 1_001), at(DAY_MS));
        assert_eq!(
            again.now(at(41 * DAY_MS), 50 + WAIT_MS - 1_000),
            at(41 * DAY_MS),
            "a day of running in all"
        );
        // Down, and set right meanwhile.
        let mut right = RetentionClock::new(clock.doubt(), 0);
        right.moved(-40 * DAY_MS, 0);
        assert_eq!(right.now(at(9), 1), at(9));
    }
}
