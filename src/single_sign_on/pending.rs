//! Sign-ins that are under way at the provider.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use openidconnect::{Nonce, PkceCodeVerifier};
use sha2::{Digest as _, Sha256};
use twinhub_domain::Timestamp;

/// The time that a person may take at the provider.
const LIFE_MS: i64 = 10 * 60 * 1_000;
/// Sign-ins under way at once: a few MB. With more the oldest ends of the address that has most.
const MOST: usize = 10_000;
/// Sign-ins under way at once from one address, as limits count addresses. With more its oldest ends.
const MOST_OF_ADDRESS: usize = 20;

/// A sign-in that has begun.
pub struct PendingSignIn {
    pub nonce: Nonce,
    pub verifier: PkceCodeVerifier,
    /// The address that the provider answers to, which must be named again for the code.
    pub redirect: String,
    pub next: String,
    /// The address that it began at, as limits count addresses: nobody ends the sign-ins of others by beginning many.
    pub address: IpAddr,
    pub begun_at: Timestamp,
}

/// Sign-ins by the hashes of their states: so the time of a look-up says nothing about one.
#[derive(Default)]
pub struct PendingSignIns(HashMap<[u8; 32], PendingSignIn>);

impl PendingSignIns {
    /// Keeps a sign-in by its state.
    pub fn put(&mut self, state: &str, pending: PendingSignIn, now: Timestamp) {
        let of_address = self.0.values().filter(|other| other.address == pending.address).count();
        if of_address >= MOST_OF_ADDRESS {
            self.end_oldest_of(pending.address);
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, pending| pending.is_alive(now));
        }
        if self.0.len() >= MOST
            && let Some(busiest) = self.busiest()
        {
            self.end_oldest_of(busiest);
        }
        self.0.insert(hash(state), pending);
    }

    fn end_oldest_of(&mut self, address: IpAddr) {
        let theirs = self.0.iter().filter(|(_, pending)| pending.address == address);
        let oldest = theirs.min_by_key(|(_, pending)| pending.begun_at).map(|(hash, _)| *hash);
        oldest.map(|hash| self.0.remove(&hash));
    }

    /// The address with the most sign-ins; of several, the one with the oldest.
    fn busiest(&self) -> Option<IpAddr> {
        let mut counts: HashMap<IpAddr, (usize, Timestamp)> = HashMap::new();
        for pending in self.0.values() {
            let (count, oldest) = counts.entry(pending.address).or_insert((0, pending.begun_at));
            *count += 1;
            *oldest = pending.begun_at.min(*oldest);
        }
        let busiest = counts.into_iter().max_by_key(|(_, (count, oldest))| (*count, Reverse(*oldest)));
        busiest.map(|(address, _)| address)
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

    fn address(number: i64) -> IpAddr {
        IpAddr::from(u32::try_from(number).unwrap().to_be_bytes())
    }

    fn pending(begun: i64) -> PendingSignIn {
        PendingSignIn {
            nonce: Nonce::new("n".into()),
            verifier: PkceCodeVerifier::new("v".into()),
            redirect: "http://hub/".into(),
            next: "/".into(),
            address: address(0),
            begun_at: at(begun),
        }
    }

    fn pending_of(number: i64, begun: i64) -> PendingSignIn {
        PendingSignIn { address: address(number), ..pending(begun) }
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
            all.put(&n.to_string(), pending_of(n, n), at(n));
        }
        assert_eq!(all.0.len(), MOST);
        let now = at(i64::try_from(MOST).unwrap());
        assert!(all.take("4", now).is_none() && all.take("5", now).is_some());
        for n in 0..5 {
            all.put(&format!("late {n}"), pending(LIFE_MS * 2), at(LIFE_MS * 2));
        }
        assert!(all.0.len() <= 6, "{}", all.0.len());
    }
    #[test]
    fn an_address_that_begins_many_ends_its_own() {
        let mut all = PendingSignIns::default();
        all.put("of another", pending_of(1, 0), at(0));
        let most = i64::try_from(MOST_OF_ADDRESS).unwrap();
        for n in 1..=most + 2 {
            all.put(&n.to_string(), pending(n), at(n));
        }
        assert_eq!(all.0.len(), MOST_OF_ADDRESS + 1);
        assert!(all.take("2", at(most)).is_none() && all.take("3", at(most)).is_some());
        assert!(all.take("of another", at(most)).is_some());
    }

    #[test]
    fn of_a_full_table_the_address_with_most_loses() {
        let mut all = PendingSignIns::default();
        let most = i64::try_from(MOST).unwrap();
        for n in 0..most - 2 {
            all.put(&n.to_string(), pending_of(n, n), at(n));
        }
        for n in 0..2 {
            all.put(&format!("of two {n}"), pending_of(most, most + n), at(most));
        }
        all.put("another", pending_of(most + 1, most), at(most));
        assert_eq!(all.0.len(), MOST);
        assert!(all.take("of two 0", at(most)).is_none() && all.take("of two 1", at(most)).is_some());
        assert!(all.take("0", at(most)).is_some() && all.take("another", at(most)).is_some());
    }
}
