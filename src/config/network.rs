//! Networks as options name them: an address, or a network with the number of its bits.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

/// An address or a network: `127.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ProxyNetwork {
    address: IpAddr,
    bits: u8,
}

impl ProxyNetwork {
    /// Is `address` in it? An IPv4 address may be written as an IPv6 one.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                (u64::from(own.to_bits()) ^ u64::from(other.to_bits())) >> shift == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits);
                (own.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or_default() == 0
            }
            _ => false,
        }
    }
}

impl FromStr for ProxyNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address or network such as 127.0.0.1, 10.0.0.0/8 or fd00::/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let given: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if given.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most {
            return Err(wrong());
        }
        // `::ffff:10.0.0.1` is the address that it stands for.
        match (given.to_canonical(), bits) {
            (address, bits) if address.is_ipv4() == given.is_ipv4() => Ok(Self { address, bits }),
            (address, 96..) => Ok(Self { address, bits: bits - 96 }),
            _ => Err(wrong()),
        }
    }
}

super::values::from_string!(ProxyNetwork);

impl fmt::Display for ProxyNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.bits) {
            (IpAddr::V4(address), 32) => address.fmt(f),
            (IpAddr::V6(address), 128) => address.fmt(f),
            (address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses_and_no_others() {
        let check = |network: &str, inside: &[&str], outside: &[&str]| {
            let network: ProxyNetwork = network.parse().unwrap();
            for address in inside {
                assert!(network.contains(address.parse().unwrap()), "{network} {address}");
            }
            for address in outside {
                assert!(!network.contains(address.parse().unwrap()), "{network} {address}");
            }
        };
        check("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "::1"]);
        check("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["11.0.0.0", "9.255.255.255", "::a00:0"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("::/0", &["::1", "fe80::1"], &["1.2.3.4"]);
        check("fd00::/8", &["fd12::1"], &["fe00::1"]);
        check("::1", &["::1"], &["::2", "127.0.0.1"]);
        check("::ffff:10.0.0.1", &["10.0.0.1"], &["10.0.0.2"]);
        check("::ffff:10.0.0.0/104", &["10.9.9.9"], &["11.0.0.0"]);
    }

    #[test]
    fn networks_are_read_and_shown() {
        for text in ["127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "0.0.0.0/0"] {
            assert_eq!(text.parse::<ProxyNetwork>().unwrap().to_string(), text);
        }
        for wrong in
            ["", "proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::1/129", "::ffff:1.2.3.4/8", "10.0/8"]
        {
            assert!(wrong.parse::<ProxyNetwork>().is_err(), "{wrong}");
        }
    }
}
