//! Retries: the wait between one try and the next, and their number. Written once, for all actors that ask the store or
//! deliver to a twin.

use std::fmt::Display;
use std::time::Duration;

use tracing::warn;

/// Asking the store again after it failed.
pub const STORE: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(2));
/// The same for an actor that goes on with other things meanwhile, and counts no tries.
pub const STORE_AGAIN: Duration = Duration::from_millis(250);
/// Handing an input to a twin again that died with it: it starts again within the first wait, and within twice as long
/// where it dies again at once.
pub const TWIN: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(2));

/// A back-off: the first wait, the longest, and how often is tried in all. A wait is twice the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
    /// None: for ever.
    pub most_tries: Option<u32>,
}

impl Backoff {
    /// Waits from `first`, doubled up to `longest`, for ever.
    #[must_use]
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self { first, longest, most_tries: None }
    }

    /// The same with `tries` tries at most.
    #[must_use]
    pub const fn at_most(self, tries: u32) -> Self {
        Self { most_tries: Some(tries), ..self }
    }

    /// The wait after `tries` failed tries; none where there are no more.
    #[must_use]
    pub fn wait(&self, tries: u32) -> Option<Duration> {
        if self.most_tries.is_some_and(|most| tries >= most) {
            return None;
        }
        let doubled = 2_u32.checked_pow(tries.saturating_sub(1));
        let wait = doubled.and_then(|times| self.first.checked_mul(times));
        Some(wait.map_or(self.longest, |wait| wait.min(self.longest)))
    }
}

/// The store's answer to `what`, after as many tries as it takes.
pub async fn until_answered<T, E: Display, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    let mut tries = 0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                tries += 1;
                warn!(what, %error, "the store does not answer, trying again");
                tokio::time::sleep(STORE.wait(tries).unwrap_or(STORE.longest)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let ms = Duration::from_millis;
        let check = |backoff: Backoff, expected: &[Option<u64>]| {
            let waits: Vec<_> = (1..).map(|tries| backoff.wait(tries)).take(expected.len()).collect();
            let expected: Vec<_> = expected.iter().map(|wait| wait.map(ms)).collect();
            assert_eq!(waits, expected, "{backoff:?}");
        };
        let doubling = Backoff::doubling(ms(50), ms(150));
        check(doubling, &[Some(50), Some(100), Some(150), Some(150)]);
        check(doubling.at_most(3), &[Some(50), Some(100), None, None]);
        assert_eq!(doubling.wait(u32::MAX), Some(ms(150)), "nothing overflows");
    }
}
