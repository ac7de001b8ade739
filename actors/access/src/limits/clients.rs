//! Limits on devices and programs that connect with a wrong password. Their passwords are long and random, so none can
//! be guessed: the limit keeps guesses, and devices that try again and again, from costing the hub more than a look-up.
//!
//! | failures | then |
//! |---|---|
//! | 10 in a minute from one address | the address waits until the oldest is a minute old |
//!
//! Names that were right from that address within a day do not wait for others behind it: they have 10 of their own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use twinhub_domain::Timestamp;

use super::{Account, DAY_MS, Network, Recent, Row, is_past, make_room};

/// The failures that count.
#[derive(Debug, Default)]
pub struct ClientLimits {
    addresses: BTreeMap<Network, Recent>,
    known: BTreeMap<(Account, Network), KnownClient>,
}

/// A name that was right from an address.
#[derive(Debug, Default)]
struct KnownClient {
    last: Timestamp,
    failures: Recent,
}

impl ClientLimits {
    /// May a client from `address` that calls itself `name` try now?
    #[must_use]
    pub fn may_try(&self, address: IpAddr, name: &str, now: Timestamp) -> bool {
        let network = Network::of(address);
        let is_free = |failures: &Recent| failures.wait_ms(now) == 0;
        // Most come from an address without failures, and cost no hash.
        self.addresses.get(&network).is_none_or(is_free)
            || self
                .known
                .get(&(Account::of(name), network))
                .is_some_and(|known| !known.is_over(now) && is_free(&known.failures))
    }

    /// The password was wrong.
    pub fn failed(&mut self, address: IpAddr, name: &str, now: Timestamp) {
        let network = Network::of(address);
        if !self.addresses.contains_key(&network) {
            make_room(&mut self.addresses, now);
        }
        self.addresses.entry(network).or_default().add(now);
        if let Some(known) = self.known.get_mut(&(Account::of(name), network)) {
            known.failures.add(now);
        }
    }

    /// The password was right.
    pub fn succeeded(&mut self, address: IpAddr, name: &str, now: Timestamp) {
        let client = (Account::of(name), Network::of(address));
        if !self.known.contains_key(&client) {
            make_room(&mut self.known, now);
        }
        self.known.entry(client).or_default().last = now;
    }
}

impl Row for KnownClient {
    fn is_over(&self, now: Timestamp) -> bool {
        is_past(self.last, DAY_MS, now)
    }

    fn weight(&self) -> (u32, Timestamp) {
        (0, self.last)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::limits::{AN_ADDRESS, MINUTE_MS, MOST};

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn an_address_that_guesses_waits_and_others_do_not() {
        let mut limits = ClientLimits::default();
        for guess in 0..AN_ADDRESS {
            assert!(limits.may_try(address(1), &format!("device-{guess}"), at(0)));
            limits.failed(address(1), &format!("device-{guess}"), at(0));
        }
        assert!(!limits.may_try(address(1), "pump", at(0)));
        assert!(limits.may_try(address(2), "pump", at(0)));
        assert!(!limits.may_try(address(1), "pump", at(MINUTE_MS - 1)));
        assert!(limits.may_try(address(1), "pump", at(MINUTE_MS)));
    }

    #[test]
    fn a_device_that_was_right_does_not_wait_for_its_neighbours() {
        let mut limits = ClientLimits::default();
        limits.succeeded(address(1), "pump", at(0));
        for _ in 0..AN_ADDRESS {
            limits.failed(address(1), "fan", at(1));
        }
        assert!(limits.may_try(address(1), "pump", at(1)) && !limits.may_try(address(1), "fan", at(1)));
        assert!(!limits.may_try(address(1), "lamp", at(1)));
        for _ in 0..AN_ADDRESS {
            limits.failed(address(1), "pump", at(2));
        }
        assert!(!limits.may_try(address(1), "pump", at(2)), "nor is it guessed at without end");
        let next = DAY_MS + 3;
        for _ in 0..AN_ADDRESS {
            limits.failed(address(1), "fan", at(next));
        }
        assert!(!limits.may_try(address(1), "pump", at(next)), "it was right too long ago");
    }

    #[test]
    fn memory_is_bounded() {
        let mut limits = ClientLimits::default();
        for number in 0..u32::try_from(3 * MOST).unwrap() {
            let address = IpAddr::V4(Ipv4Addr::from_bits(number));
            limits.failed(address, "pump", at(0));
            limits.succeeded(address, "pump", at(0));
        }
        assert!(limits.addresses.len() <= MOST && limits.known.len() <= MOST);
    }
}
