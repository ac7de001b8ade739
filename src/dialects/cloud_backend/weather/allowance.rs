//! The requests that the weather service may be sent. Callers name any city they like, and each costs a request of the hub's
//! key, so there are so many a minute; a service that refuses the key is left alone.

/// Requests a minute. OpenWeather's free plan has 60 a minute and 1,000,000 a month, which are 22 a minute.
const A_MINUTE: u64 = 20;
const MINUTE_MS: u64 = 60_000;
/// Requests that are kept for the default city.
const KEPT: u64 = 5;
/// The time for which a service that refuses the key is left alone, in ms: the first one, doubled with each refusal that
/// follows, and the longest.
const FIRST_REST_MS: u64 = 60_000;
const LONGEST_REST_MS: u64 = 3_600_000;

/// The requests that may still be sent. Times are uptimes in ms.
#[derive(Debug)]
pub(super) struct ServiceAllowance {
    /// In parts of which a request takes [`MINUTE_MS`].
    left: u64,
    looked_at: u64,
    /// Until then the service is left alone.
    rests_until: u64,
    refusals: u32,
}

impl Default for ServiceAllowance {
    fn default() -> Self {
        Self { left: A_MINUTE * MINUTE_MS, looked_at: 0, rests_until: 0, refusals: 0 }
    }
}

impl ServiceAllowance {
    /// Takes a request, where there is one: all cities but the default one leave some to that.
    pub(super) fn take(&mut self, is_default: bool, now: u64) -> bool {
        let passed = now.saturating_sub(self.looked_at);
        self.left = self.left.saturating_add(passed.saturating_mul(A_MINUTE)).min(A_MINUTE * MINUTE_MS);
        self.looked_at = now;
        let kept = if is_default { 0 } else { KEPT };
        if now < self.rests_until || self.left < (kept + 1) * MINUTE_MS {
            return false;
        }
        self.left -= MINUTE_MS;
        true
    }

    /// The service took a request.
    pub(super) fn is_taken(&mut self) {
        self.refusals = 0;
    }

    /// The service refused the key, and perhaps said for how long.
    pub(super) fn is_refused(&mut self, retry_after: Option<u64>, now: u64) {
        let rest =
            FIRST_REST_MS.saturating_mul(1 << self.refusals.min(10)).max(retry_after.unwrap_or_default());
        self.rests_until = now.saturating_add(rest.min(LONGEST_REST_MS));
        self.refusals = self.refusals.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowance: &mut ServiceAllowance, is_default: bool, now: u64) -> u64 {
        (0..1_000).filter(|_| allowance.take(is_default, now)).count() as u64
    }

    #[test]
    fn a_minute_has_its_requests_and_the_default_city_some_of_its_own() {
        let mut allowance = ServiceAllowance::default();
        assert_eq!(taken(&mut allowance, false, 0), A_MINUTE - KEPT);
        assert_eq!(taken(&mut allowance, true, 0), KEPT);
        assert_eq!(taken(&mut allowance, true, 2_999), 0);
        assert_eq!(taken(&mut allowance, true, 3_000), 1, "one each three seconds");
        assert_eq!(taken(&mut allowance, false, 3_600_000), A_MINUTE - KEPT, "none is saved up");
        assert_eq!(taken(&mut allowance, true, 1), KEPT, "a clock that went back takes nothing away");
    }

    #[test]
    fn a_service_that_refuses_the_key_is_left_alone_longer_each_time() {
        let (mut allowance, mut now) = (ServiceAllowance::default(), 0);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(allowance.take(false, now), "after {now} ms");
            allowance.is_refused(None, now);
            now += minutes * 60_000;
            assert!(!allowance.take(true, now - 1));
        }
        assert!(allowance.take(true, now));
        allowance.is_taken();
        allowance.is_refused(Some(120_000), now);
        assert!(!allowance.take(true, now + 119_999), "it said so");
        assert!(allowance.take(true, now + 120_000));
        allowance.is_refused(Some(u64::MAX), now);
        assert!(allowance.take(true, now + LONGEST_REST_MS), "not for ever");
    }
}
