//! The wait between two attempts to connect.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles from 100 ms to 10 s, each wait shortened by up to half at random, so that many hubs do not come
/// back to a broker in step.
#[derive(Debug, Default)]
pub(super) struct ReconnectBackoff {
    failures: u32,
}

impl ReconnectBackoff {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let longest = (FIRST * 2u32.saturating_pow(self.failures.min(16))).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // A fresh `RandomState` has random keys; that is random enough here.
        let per_mille = RandomState::new().hash_one(self.failures) % 1_000;
        longest / 2 + longest * u32::try_from(per_mille).unwrap_or(0) / 2_000
    }

    /// Begins again with the first wait, after a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_ten_seconds() {
        let mut backoff = ReconnectBackoff::default();
        for longest in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            let wait = backoff.next();
            let longest = Duration::from_millis(longest);
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} of {longest:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
