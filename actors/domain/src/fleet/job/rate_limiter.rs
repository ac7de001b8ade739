//! The rate of a job: a limit in devices a second, without a burst after a pause; and the recent duration of a turn.

use std::time::Duration;

/// Unused turns that are kept, in seconds: a delay of as much is made up for.
const KEPT_SECONDS: f64 = 0.1;
/// Sums of parts of turns come so close to whole ones.
const NEAR: f64 = 1e-9;

/// A token bucket. Times are milliseconds by a clock that is never set.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimiter {
    /// Turns a second; none: as fast as it goes.
    rate: Option<f64>,
    turns: f64,
    at_ms: u64,
}

impl RateLimiter {
    /// A pace of `rate` turns a second, the first of them at once.
    #[must_use]
    pub fn new(rate: Option<f64>, now_ms: u64) -> Self {
        Self { rate, turns: 1.0, at_ms: now_ms }
    }

    /// Takes as many turns as there are now, `most` at most.
    pub fn take(&mut self, now_ms: u64, most: usize) -> usize {
        let Some(rate) = self.rate else { return most };
        #[expect(clippy::cast_precision_loss, reason = "an hour is 3.6 million")]
        let passed = now_ms.saturating_sub(self.at_ms) as f64 / 1_000.0;
        self.at_ms = self.at_ms.max(now_ms);
        self.turns = (self.turns + passed * rate).min((rate * KEPT_SECONDS).max(1.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is never negative")]
        let taken = ((self.turns + NEAR).floor() as usize).min(most);
        #[expect(clippy::cast_precision_loss, reason = "as many as are kept, which are few")]
        let spent = taken as f64;
        self.turns -= spent;
        taken
    }

    /// In how many milliseconds there is a turn again, after all were taken; none: at once.
    #[must_use]
    pub fn wait_ms(&self) -> Option<u64> {
        let rate = self.rate?;
        let missing = (1.0 - NEAR - self.turns).max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is never negative")]
        let wait = (missing / rate * 1_000.0 - NEAR).ceil() as u64; // as large as a u64 goes where the rate is tiny
        (wait > 0).then_some(wait)
    }
}

/// The recent duration of a device's turn: each new one counts for an eighth, as in TCP's estimate of round trips (RFC
/// 6298, 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TurnTime(f64);

impl TurnTime {
    const WEIGHT: f64 = 1.0 / 8.0;

    /// Records the duration of a turn.
    pub fn one_took(&mut self, took: Duration) {
        self.0 += Self::WEIGHT * (took.as_secs_f64() - self.0);
    }

    /// A multiple of a turn's duration.
    #[must_use]
    pub fn times(self, times: f64) -> Duration {
        Duration::try_from_secs_f64(self.0 * times).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At each of these times this many turns are taken of five that are wanted.
    fn check(rate: Option<f64>, times: &[(u64, usize)]) {
        let mut pace = RateLimiter::new(rate, 1_000);
        for (at, expected) in times {
            assert_eq!(pace.take(1_000 + at, 5), *expected, "{rate:?} at {at} ms");
        }
    }

    #[test]
    fn turns_come_at_the_rate() {
        check(None, &[(0, 5), (0, 5), (9, 5)]);
        check(Some(10.0), &[(0, 1), (50, 0), (99, 0), (100, 1), (200, 1), (250, 0), (300, 1)]);
        check(Some(0.5), &[(0, 1), (1_999, 0), (2_000, 1), (3_000, 0), (4_000, 1)]);
        // A delay of up to a tenth of a second is made up for, and a pause is not.
        check(Some(40.0), &[(0, 1), (25, 1), (100, 3), (10_000, 4), (10_000, 0), (10_025, 1)]);
        // A clock that goes back gives nothing, and takes nothing away.
        check(Some(10.0), &[(100, 1), (0, 0), (100, 0), (200, 1)]);
    }

    #[test]
    fn a_slow_turn_is_felt_and_forgotten() {
        let mut turns = TurnTime::default();
        assert_eq!(turns.times(3.0), Duration::ZERO);
        let mut check = |took: u64, expected: u64| {
            turns.one_took(Duration::from_millis(took));
            assert_eq!(turns.times(2.0), Duration::from_millis(expected), "after {took} ms");
        };
        check(64, 16);
        check(64, 30);
        check(15, 30);
        check(7, 28);
        assert_eq!(turns.times(f64::INFINITY), Duration::MAX);
    }

    #[test]
    fn it_says_how_long_to_wait() {
        let mut pace = RateLimiter::new(Some(4.0), 0);
        assert_eq!(pace.wait_ms(), None);
        assert_eq!(pace.take(0, 1), 1);
        assert_eq!(pace.wait_ms(), Some(250));
        assert_eq!((pace.take(100, 1), pace.wait_ms()), (0, Some(150)));
        assert_eq!((pace.take(250, 1), pace.wait_ms()), (1, Some(250)));
        assert_eq!(RateLimiter::new(None, 0).wait_ms(), None);
    }
}
