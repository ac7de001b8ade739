//! The meaning of an answer: done, not now, or never; and the time of the next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use chrono::DateTime;

use twinhub_domain::Timestamp;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// The longest time for which a receiver may ask us to stay away.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// The meaning of an answer's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusMeaning {
    Delivered,
    /// Try again; after this time, where the receiver named one.
    NotNow(Option<Duration>),
    Never,
}

impl StatusMeaning {
    /// Of an answer with this status, and this header `Retry-After`.
    pub(super) fn of(status: u16, retry_after: Option<&str>, now: Timestamp) -> Self {
        match status {
            200..=299 => Self::Delivered,
            // Timed out, too early, too many: the same request may be taken later.
            408 | 425 | 429 | 500..=599 => Self::NotNow(retry_after.and_then(|text| asked(text, now))),
            _ => Self::Never,
        }
    }
}

/// Seconds, or a date.
fn asked(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
            Duration::from_millis(u64::try_from(at - now.millis()).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST_ASKED))
}

/// The wait after this many attempts: from 1 s to 5 min, doubled each time and lengthened by up to half at random, so
/// that requests that failed together do not come back in step.
pub(super) fn wait(attempts: u16) -> Duration {
    let doubled = FIRST * 2u32.saturating_pow(u32::from(attempts.saturating_sub(1)).min(16));
    // A fresh `RandomState` has random keys; that is random enough here.
    let per_mille = RandomState::new().hash_one(attempts) % 1_000;
    (doubled + doubled * u32::try_from(per_mille).unwrap_or(0) / 2_000).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_status_means() {
        let now = Timestamp::parse("2026-01-01T12:00:00Z").unwrap();
        let check = |status, retry_after, expected| {
            assert_eq!(StatusMeaning::of(status, retry_after, now), expected, "{status} {retry_after:?}");
        };
        let after = |seconds| StatusMeaning::NotNow(Some(Duration::from_secs(seconds)));
        check(200, None, StatusMeaning::Delivered);
        check(204, Some("5"), StatusMeaning::Delivered);
        check(304, None, StatusMeaning::Never);
        check(400, Some("5"), StatusMeaning::Never);
        check(404, None, StatusMeaning::Never);
        check(410, None, StatusMeaning::Never);
        for status in [408, 425, 429, 500, 502, 503, 504] {
            check(status, None, StatusMeaning::NotNow(None));
        }
        check(429, Some("120"), after(120));
        check(429, Some("0"), after(0));
        check(503, Some(" 7 "), after(7));
        check(503, Some("Thu, 01 Jan 2026 12:01:30 GMT"), after(90));
        check(503, Some("Thu, 01 Jan 2026 11:00:00 GMT"), after(0));
        check(503, Some("99999999999"), after(3_600));
        check(503, Some("soon"), StatusMeaning::NotNow(None));
        check(503, Some("-5"), StatusMeaning::NotNow(None));
    }

    #[test]
    fn waits_longer_each_time_up_to_five_minutes() {
        for (attempts, shortest, longest) in
            [(0, 1, 2), (1, 1, 2), (2, 2, 3), (3, 4, 6), (8, 128, 192), (9, 256, 300), (u16::MAX, 300, 300)]
        {
            let wait = wait(attempts).as_secs_f64();
            assert!((f64::from(shortest)..=f64::from(longest)).contains(&wait), "{wait} after {attempts}");
        }
    }
}
