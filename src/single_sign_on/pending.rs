//! Sign-ins that are under way at the provider.

use std::collections::HashMap;

use openidconnect::{Nonce, PkceCodeVerifier};
use sha2::{Digest as _, Sha256};
use twinhub_domain::Timestamp;

/// The time that a person may take at the provider.
const LIFE_MS: i64 = 10 * 60 * 1_000;
/// Sign-ins under way at once: a few MB. With more the oldest ends.
const MOST: usize = 10_000;

/// A sign-in that has begun.
pub struct PendingSignIn {
    pub nonce: Nonce,
    pub verifier: PkceCodeVerifier,
    /// The address that the provider answers to, which must be named again for the code.
    pub redirect: String,
    pub next: String,
    pub begun_at: Timestamp,
}

/// Sign-ins by the hashes of their states: so the time of a look-up says nothing about one.
#[derive(Default)]
pub struct PendingSignIns(HashMap<[u8; 32], PendingSignIn>);

impl PendingSignIns {
    /// Keeps a sign-in by its state.
    pub fn put(&mut self, state: &str, pending: PendingSignIn, now: Timestamp) {
        if self.0.len() >= MOST {
            self.0.retain(|_, pending| pending.is_alive(now));
        }
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, pending)| pending.begun_at).map(|(hash, _)| *hash);
            oldest.map(|hash| self.0.remove(&hash));
        }
        self.0.insert(hash(state), pending);
    }

    /// Takes the sign-in of this state out, where it is under way.
    pub fn take(&mut self, state: &str, now: Timestamp) -> Option<PendingSignIn> {
        self.0.remove(&hash(state)).filter(|pending| pending.is_alive(now))
    }
}

impl PendingSignIn {
    /// A clock that was set back ends none, and one that was set back far ends it.
    fn is_alive(&self, now: Timestamp) -> bool {
        now.millis().abs_diff(self.begun_at.millis()) < LIFE_MS.unsigned_abs()
    }
}

fn hash(state: &str) -> [u8; 32] {
    Sha256::digest(state.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_767_268_800_000 + ms)
    }

    fn pending(begun: i64) -> PendingSignIn {
        PendingSignIn {
            nonce: Nonce::new("n".into()),
            verifier: PkceCodeVerifier::new("v".into()),
            redirect: "http://hub/".into(),
            next: "/".into(),
            begun_at: at(begun),
        }
    }

    #[test]
    fn a_sign_in_ends_once_and_in_ten_minutes() {
        let mut all = PendingSignIns::default();
        all.put("one", pending(0), at(0));
        all.put("two", pending(0), at(0));
        assert!(all.take("three", at(0)).is_none());
        assert!(all.take("one", at(LIFE_MS - 1)).is_some());
        assert!(all.take("one", at(0)).is_none(), "it was taken");
        assert!(all.take("two", at(LIFE_MS)).is_none(), "it took too long");
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let mut all = PendingSignIns::default();
        for n in 0..i64::try_from(MOST).unwrap() + 5 {
            all.put(&n.to_string(), pending(n), at(n));
        }
        assert_eq!(all.0.len(), MOST);
        let now = at(i64::try_from(MOST).unwrap());
        assert!(all.take("4", now).is_none() && all.take("5", now).is_some());
        for n in 0..5 {
            all.put(&format!("late {n}"), pending(LIFE_MS * 2), at(LIFE_MS * 2));
        }
        assert!(all.0.len() <= 6, "{}", all.0.len());
    }
}
