//! The limit on registrations: each makes an account that stays, and costs a hash.

use std::collections::HashMap;
use std::net::IpAddr;

use twinhub_access::limits::counted_address;
use twinhub_domain::Timestamp;

/// Registrations of an address in [`HOUR_MS`].
const MOST_EACH: usize = 3;
const HOUR_MS: i64 = 60 * 60 * 1_000;
/// Addresses that are remembered; while there are more, no new one registers anybody.
const MOST: usize = 10_000;

/// The registrations of the last hour, by address.
#[derive(Debug, Default)]
pub struct Registrations(HashMap<IpAddr, Vec<Timestamp>>);

impl Registrations {
    /// May one more come from `address`? Then it is counted.
    pub fn may(&mut self, address: IpAddr, now: Timestamp) -> bool {
        let is_past = |at: &Timestamp| now.millis().abs_diff(at.millis()) >= HOUR_MS.unsigned_abs();
        if self.0.len() >= MOST {
            self.0.retain(|_, times| times.iter().any(|at| !is_past(at)));
        }
        let (address, has_room) = (counted_address(address), self.0.len() < MOST);
        let times = match self.0.get_mut(&address) {
            Some(times) => times,
            None if has_room => self.0.entry(address).or_default(),
            None => return false,
        };
        times.retain(|at| !is_past(at));
        let may = times.len() < MOST_EACH;
        if may {
            times.push(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_registers_three_in_an_hour() {
        let (mut registrations, one) = (Registrations::default(), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        for (at, address, expected) in [
            (0, one, true),
            (1, mapped, true),
            (2, one, true),
            (3, one, false),
            (3, IpAddr::V4(Ipv4Addr::LOCALHOST), true),
            (HOUR_MS - 1, mapped, false),
            (HOUR_MS, one, true),
            (HOUR_MS, one, false),
        ] {
            assert_eq!(registrations.may(address, Timestamp::from_millis(at)), expected, "{at} {address}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let mut registrations = Registrations::default();
        for (text, expected) in [
            ("2001:db8:1:2::1", true),
            ("2001:db8:1:2::2", true),
            ("2001:db8:1:2::3", true),
            ("2001:db8:1:2:ffff::4", false),
            ("2001:db8:1:3::1", true),
        ] {
            let address = text.parse().unwrap();
            assert_eq!(registrations.may(address, Timestamp::from_millis(0)), expected, "{text}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut registrations = Registrations::default();
        for n in 0..20_000_u32 {
            registrations.may(IpAddr::V4(Ipv4Addr::from_bits(n)), Timestamp::from_millis(0));
        }
        assert!(registrations.0.len() <= MOST);
        assert!(registrations.may(IpAddr::V4(Ipv4Addr::from_bits(70_000)), Timestamp::from_millis(HOUR_MS)));
    }
}
