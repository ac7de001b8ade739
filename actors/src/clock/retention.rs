//! The time by which is decided what is old enough to be deleted. A clock that leaps ahead may be wrong, and what is
//! deleted by it is gone for good. So for a day after a leap, retention goes on by the time before it: whoever sets the
//! clock right within that day has lost nothing.

use crate::domain::Timestamp;

/// A leap by so much is not believed at once, and so long is waited before it is. In ms.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const WAIT_MS: u64 = 24 * 60 * 60 * 1_000;

/// See the module.
#[derive(Debug, Default)]
pub struct RetentionClock {
    /// By how many ms the hub's clock is ahead of the time that is believed.
    ahead_ms: i64,
    /// Until when that is so, on the clock that only counts.
    until_ms: u64,
}

impl RetentionClock {
    /// The clock was set by so many ms; or so many passed while the hub was down, as far as the clock tells.
    pub fn moved(&mut self, by_ms: i64, uptime_ms: u64) {
        if by_ms > DAY_MS {
            self.ahead_ms = self.ahead_ms.saturating_add(by_ms);
            self.until_ms = uptime_ms.saturating_add(WAIT_MS);
        } else if self.ahead_ms > 0 {
            self.ahead_ms = self.ahead_ms.saturating_add(by_ms).max(0);
        }
    }

    /// The time that is believed.
    pub fn now(&mut self, now: Timestamp, uptime_ms: u64) -> Timestamp {
        if uptime_ms >= self.until_ms {
            self.ahead_ms = 0;
        }
        now.plus_millis(self.ahead_ms.saturating_neg())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_ahead_is_believed_after_a_day() {
        let at = Timestamp::from_millis;
        let year = 365 * DAY_MS;
        let mut clock = RetentionClock::default();
        assert_eq!(clock.now(at(0), 0), at(0));
        clock.moved(2 * 3_600_000, 10);
        assert_eq!(clock.now(at(100), 10), at(100), "hours are nothing");
        clock.moved(50 * year, 1_000);
        assert_eq!(clock.now(at(50 * year + 5), 1_000), at(5));
        assert_eq!(clock.now(at(50 * year + DAY_MS), 1_000 + WAIT_MS - 1), at(DAY_MS));
        assert_eq!(clock.now(at(50 * year + DAY_MS), 1_000 + WAIT_MS), at(50 * year + DAY_MS), "believed");
        clock.moved(50 * year, WAIT_MS);
        clock.moved(-50 * year, WAIT_MS + 5);
        assert_eq!(clock.now(at(7), WAIT_MS + 6), at(7), "set right");
        clock.moved(-50 * year, WAIT_MS);
        assert_eq!(clock.now(at(7), WAIT_MS + 6), at(7), "a clock set back makes nothing old");
    }
}
