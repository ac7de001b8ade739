//! The limit of requests that a caller may send: of each key, each user, and each address of callers without a name.
//!
//! A caller has `BURST_SECONDS` times as many at once as are taken in a second, and gets them back at that rate (the
//! generic cell rate algorithm: of each caller one number is kept, the time at which it will have all of them back). A
//! caller that has all of them is forgotten, and of callers beyond [`MOST_CALLERS`] those that have nearly all.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use twinhub_access::limits::counted_address;

use super::admission::{CallerAdmission, Holder};
use super::client::Client;

/// A caller that was silent may send as many at once as are taken in this time.
const BURST_SECONDS: u32 = 4;
/// Callers that are kept: some 15 MB.
const MOST_CALLERS: usize = 100_000;
/// With more callers than these, those that have all their requests back are looked for, at this interval.
const FEW_CALLERS: usize = 1_000;
const SWEEP_EVERY_NS: u64 = 10_000_000_000;
/// Names of the fields, and of the one policy in them (draft-ietf-httpapi-ratelimit-headers-10).
const REMAINING: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A caller, as limits count them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CountedCaller {
    /// A user or a key: `user:ann`.
    Name(Box<str>),
    /// A caller without a name; of IPv6 the /64 network.
    Address(IpAddr),
    /// A caller of a dialect without a credential, `dialect:002`, by address: one takes nothing from the others.
    Dialect(Box<str>, IpAddr),
}

/// The limit, and what each caller has used of it.
#[derive(Debug)]
pub struct CallerRateLimiter {
    started: Instant,
    callers: Mutex<Callers>,
}

#[derive(Debug, Default)]
struct Callers {
    /// The times at which they have all of their requests back, in ns since the start.
    full_at: HashMap<CountedCaller, u64>,
    /// The time of the last sweep, in ns since the start.
    swept_at: u64,
}

/// The requests that a caller has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    per_second: u32,
    left: u64,
    /// The time until it has all of them back, in seconds.
    full_in: u64,
}

/// A caller that has none left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The time until it has one, in seconds.
    pub retry_after: u64,
}

impl CountedCaller {
    /// The caller as it is counted; none where its requests are not: the command line of this machine, and callers on this
    /// machine that have no name, as long as the hub asks nobody there (scripts of an open hub), or by a proxy that says
    /// nothing of its clients.
    #[must_use]
    pub fn of(admission: &CallerAdmission, client: &Client) -> Option<Self> {
        match &admission.holder {
            Holder::Program => None,
            Holder::Known(identity) => Some(Self::Name(identity.caller.name().into())),
            Holder::Device(_) => Some(Self::Name(admission.grant.caller().name().into())),
            Holder::Dialect(caller) => {
                Some(Self::Dialect(caller.name.as_str().into(), counted_address(client.address)))
            }
            Holder::Anonymous if client.address.is_loopback() => None,
            Holder::Anonymous => Some(Self::Address(counted_address(client.address))),
        }
    }
}

impl Default for CallerRateLimiter {
    fn default() -> Self {
        Self { started: Instant::now(), callers: Mutex::default() }
    }
}

impl CallerRateLimiter {
    /// Takes a request of this caller in, where `per_second` of them are.
    ///
    /// # Errors
    /// The caller has none left.
    pub fn take(&self, caller: CountedCaller, per_second: u32) -> Result<Quota, Exhausted> {
        self.take_at(self.started.elapsed(), caller, per_second)
    }

    fn take_at(&self, now: Duration, caller: CountedCaller, per_second: u32) -> Result<Quota, Exhausted> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let each = (1_000_000_000 / u64::from(per_second.max(1))).max(1);
        let whole = each * u64::from(per_second.max(1)) * u64::from(BURST_SECONDS);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.make_room(now, &caller);
        let full_at = callers.full_at.entry(caller).or_default();
        let then = (*full_at).max(now) + each;
        if then - now > whole {
            return Err(Exhausted { retry_after: seconds(then - now - whole) });
        }
        *full_at = then;
        Ok(Quota { per_second, left: (whole - (then - now)) / each, full_in: seconds(then - now) })
    }
}

impl Callers {
    /// Makes room for a caller that is not there yet.
    fn make_room(&mut self, now: u64, caller: &CountedCaller) {
        let is_full = self.full_at.len() >= MOST_CALLERS && !self.full_at.contains_key(caller);
        let is_due = self.full_at.len() >= FEW_CALLERS && now.saturating_sub(self.swept_at) >= SWEEP_EVERY_NS;
        if !is_full && !is_due {
            return;
        }
        self.swept_at = now;
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= MOST_CALLERS {
            // A flood of callers: a tenth of them, those that used the least, begin anew.
            let mut times: Vec<u64> = self.full_at.values().copied().collect();
            let (_, least, _) = times.select_nth_unstable(MOST_CALLERS / 10);
            let least = *least;
            self.full_at.retain(|_, full_at| *full_at > least);
        }
    }
}

impl Quota {
    /// Tells it in the answer.
    pub fn tell(self, headers: &mut HeaderMap) {
        let Self { per_second, left, full_in } = self;
        let burst = u64::from(per_second) * u64::from(BURST_SECONDS);
        set(headers, POLICY, format!("\"caller\";q={burst};w={BURST_SECONDS}"));
        set(headers, REMAINING, format!("\"caller\";r={left};t={full_in}"));
    }

    /// That of a caller that has none left.
    #[must_use]
    pub fn exhausted(per_second: u32, exhausted: Exhausted) -> Self {
        Self { per_second, left: 0, full_in: exhausted.retry_after }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// In seconds, no less.
fn seconds(ns: u64) -> u64 {
    ns.div_ceil(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn named(name: &str) -> CountedCaller {
        CountedCaller::Name(name.into())
    }

    #[test]
    fn a_caller_has_a_burst_and_then_its_rate() {
        let limiter = CallerRateLimiter::default();
        for n in 0..200 {
            let quota = limiter.take_at(Duration::ZERO, named("user:ann"), 50).unwrap();
            assert_eq!(quota.left, 199 - n);
        }
        let refused = limiter.take_at(Duration::ZERO, named("user:ann"), 50);
        assert_eq!(refused, Err(Exhausted { retry_after: 1 }));
        assert!(limiter.take_at(19 * MS, named("user:ann"), 50).is_err());
        assert!(limiter.take_at(20 * MS, named("user:ann"), 50).is_ok());
        assert!(limiter.take_at(20 * MS, named("user:ann"), 50).is_err());
        assert!(limiter.take_at(20 * MS, named("user:bob"), 50).is_ok(), "each for itself");
        assert_eq!(limiter.take_at(10_000 * MS, named("user:ann"), 50).unwrap().left, 199);
    }

    #[test]
    fn a_limit_beyond_reason_limits_nobody() {
        let limiter = CallerRateLimiter::default();
        for _ in 0..1_000 {
            assert!(limiter.take_at(Duration::ZERO, named("a"), u32::MAX).is_ok());
        }
    }

    #[test]
    fn answers_say_what_is_left() {
        let limiter = CallerRateLimiter::default();
        let mut headers = HeaderMap::new();
        limiter.take_at(Duration::ZERO, named("user:ann"), 50).unwrap().tell(&mut headers);
        assert_eq!(headers.get("RateLimit-Policy").unwrap(), "\"caller\";q=200;w=4");
        assert_eq!(headers.get("RateLimit").unwrap(), "\"caller\";r=199;t=1");
        Quota::exhausted(1, Exhausted { retry_after: 3 }).tell(&mut headers);
        assert_eq!(headers.get("RateLimit").unwrap(), "\"caller\";r=0;t=3");
    }

    #[test]
    fn memory_is_bounded_and_those_who_ask_much_stay_limited() {
        let limiter = CallerRateLimiter::default();
        let greedy = named("user:eve");
        for _ in 0..200 {
            limiter.take_at(Duration::ZERO, greedy.clone(), 50).unwrap();
        }
        for n in 0..250_000_u32 {
            let address = CountedCaller::Address(IpAddr::from(n.to_be_bytes()));
            let _ = limiter.take_at(Duration::ZERO, address, 50);
        }
        assert!(limiter.callers.lock().unwrap().full_at.len() <= MOST_CALLERS);
        assert!(limiter.take_at(Duration::ZERO, greedy, 50).is_err());
        limiter.take_at(60_000 * MS, named("user:ann"), 50).unwrap();
        for n in 0..3 * u32::try_from(FEW_CALLERS).unwrap() {
            limiter.take_at((60_000 + 100 * n) * MS, named(&n.to_string()), 50).unwrap();
        }
        assert!(
            limiter.callers.lock().unwrap().full_at.len() <= 2 * FEW_CALLERS,
            "those who have all back are forgotten"
        );
    }

    proptest! {
        /// Whenever a caller asks, it never gets more than its burst and its rate since the first request.
        #[test]
        fn no_pattern_of_requests_gets_more(gaps in prop::collection::vec(0_u64..200, 1..600), rate in 1_u32..100) {
            let (limiter, mut now, mut taken) = (CallerRateLimiter::default(), 0, 0);
            for gap in gaps {
                now += gap;
                taken += u64::from(limiter.take_at(Duration::from_millis(now), named("a"), rate).is_ok());
                let most = u64::from(rate) * (u64::from(BURST_SECONDS) * 1_000 + now) / 1_000 + 1;
                prop_assert!(taken <= most, "{taken} of {most} at {now} ms");
            }
        }
    }
}
