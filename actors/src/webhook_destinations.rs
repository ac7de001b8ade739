//! The destinations of webhooks: the ones that an operator allows, and those that are forbidden without that.
//!
//! | to | a rule's own address | a redirect |
//! |---|---|---|
//! | the Internet | yes | yes, but not from https to http |
//! | a private network | yes | where `private_redirects` |
//! | loopback, link-local, a cloud's metadata | where `allow` names it | where both do |
//! | a listener of this hub | where `allow` names it with its port | where both do |
//!
//! Addresses are compared by their targets: `::ffff:127.0.0.1` and `64:ff9b::7f00:1` are `127.0.0.1`.

mod internal_networks;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

use serde::Deserialize;
use url::Host;

use self::internal_networks::{embedded_ipv4, is_internal};

/// The rules for destinations of webhooks.
#[derive(Clone, Debug, Default)]
pub struct WebhookDestinations {
    pub allow: Vec<AllowedDestination>,
    /// The addresses on which this hub listens.
    pub listeners: Vec<SocketAddr>,
    /// The public address of this hub: host and port.
    pub public_address: Option<(String, u16)>,
    /// Redirects may lead to private networks, and from https to http.
    pub private_redirects: bool,
}

/// A host, an address or a network, and a port where one is named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AllowedDestination {
    place: DestinationPattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DestinationPattern {
    /// In small letters, without a dot at its end.
    Name(Box<str>),
    /// As many bits of the address are compared.
    Network(IpAddr, u8),
}

/// The reason why a webhook is not sent to an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationRefused {
    #[error("`{0}` is this hub itself, where webhooks go only if `webhook-allow` names it with its port")]
    Itself(String),
    #[error("`{0}` is an address of this machine, where webhooks go only if `webhook-allow` names it")]
    Machine(String),
    #[error("`{0}` is a link-local address, where webhooks go only if `webhook-allow` names it")]
    LinkLocal(String),
    #[error("`{0}` is an address of this machine or its own network: redirects are not followed there")]
    Internal(String),
}

impl WebhookDestinations {
    /// May a webhook go to `ip`, the address of `host` (as written in the URL)?
    ///
    /// # Errors
    /// The reason why not, with the host's name.
    pub(super) fn check(
        &self,
        host: &str,
        ip: IpAddr,
        port: u16,
        redirected: bool,
    ) -> Result<(), DestinationRefused> {
        let ip = canonical_address(ip);
        if redirected && !self.private_redirects && is_internal(ip) {
            return Err(DestinationRefused::Internal(host.into()));
        }
        let named = || self.allow.iter().filter(|allowed| allowed.names(host, ip, port));
        if self.is_ours(host, ip, port) {
            let by_port = named().any(|allowed| allowed.port.is_some());
            return if by_port { Ok(()) } else { Err(DestinationRefused::Itself(host.into())) };
        }
        let refused = match ip {
            ip if is_machine(ip) => DestinationRefused::Machine(host.into()),
            ip if is_link_local(ip) => DestinationRefused::LinkLocal(host.into()),
            _ => return Ok(()),
        };
        if named().next().is_some() { Ok(()) } else { Err(refused) }
    }

    /// Does it make a difference that it is this port, and no other?
    pub(super) fn depends_on_port(&self, port: u16) -> bool {
        self.listeners.iter().any(|ours| ours.port() == port)
            || self.public_address.as_ref().is_some_and(|(_, ours)| *ours == port)
            || self.allow.iter().any(|allowed| allowed.port == Some(port))
    }

    fn is_ours(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        let is_called = |(name, ours): &(String, u16)| *ours == port && is_same_name(name, host);
        let listens_at = |listener: &SocketAddr| {
            let ours = canonical_address(listener.ip());
            let everywhere = ours.is_unspecified() && (is_machine(ip) || is_local(ip));
            listener.port() == port && (ours == ip || everywhere || (ip.is_unspecified() && is_machine(ours)))
        };
        self.public_address.as_ref().is_some_and(is_called) || self.listeners.iter().any(listens_at)
    }
}

impl AllowedDestination {
    fn names(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        let is_place = match &self.place {
            DestinationPattern::Name(name) => is_same_name(name, host),
            DestinationPattern::Network(network, bits) => is_within(ip, *network, *bits),
        };
        is_place && self.port.is_none_or(|only| only == port)
    }
}

impl FromStr for AllowedDestination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no host, address or network such as hooks.local, 127.0.0.1:9000, 10.0.0.0/8 or [::1]:9000"
            )
        };
        if let Some((address, bits)) = text.split_once('/') {
            let ip: IpAddr = address.parse().map_err(|_| wrong())?;
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?;
            return Ok(Self { place: DestinationPattern::Network(ip, bits), port: None });
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { place: DestinationPattern::of(ip), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse::<u16>().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        let place = match Host::parse(host).map_err(|_| wrong())? {
            Host::Ipv4(ip) => DestinationPattern::of(ip.into()),
            Host::Ipv6(ip) => DestinationPattern::of(ip.into()),
            Host::Domain(name) if name.trim_end_matches('.').is_empty() => return Err(wrong()),
            Host::Domain(name) => DestinationPattern::Name(name.trim_end_matches('.').to_lowercase().into()),
        };
        Ok(Self { place, port })
    }
}

impl TryFrom<String> for AllowedDestination {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl DestinationPattern {
    fn of(ip: IpAddr) -> Self {
        let ip = canonical_address(ip);
        Self::Network(ip, if ip.is_ipv4() { 32 } else { 128 })
    }
}

fn is_same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// The address that a packet to this one reaches: an IPv4 address embedded in one of IPv6 is that one.
fn canonical_address(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => embedded_ipv4(v6).map_or(ip, IpAddr::V4),
    }
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let is_same = |one: u128, other: u128, width: u32| {
        let shift = width - u32::from(bits).min(width);
        shift >= 128 || one >> shift == other >> shift
    };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => is_same(ip.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(network)) => is_same(ip.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

/// Loopback, and "this host": the system connects both to itself.
fn is_machine(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified(),
    }
}

/// Link-local, and the addresses at which clouds give a machine its own secrets.
fn is_link_local(ip: IpAddr) -> bool {
    const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip == METADATA_V4,
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80 || ip == METADATA_V6,
    }
}

/// Is it an address of one of this machine's interfaces? Only such can be bound to.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(allow: &[&str], listeners: &[&str]) -> WebhookDestinations {
        WebhookDestinations {
            allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
            listeners: listeners.iter().map(|text| text.parse().unwrap()).collect(),
            public_address: Some(("hub.example".into(), 443)),
            private_redirects: false,
        }
    }

    fn check(destinations: &WebhookDestinations, ip: &str, port: u16) -> Result<(), &'static str> {
        destinations.check("host", ip.parse().unwrap(), port, false).map_err(|refused| match refused {
            DestinationRefused::Itself(_) => "itself",
            DestinationRefused::Machine(_) => "machine",
            DestinationRefused::LinkLocal(_) => "link-local",
            DestinationRefused::Internal(_) => "inward",
        })
    }

    #[test]
    fn loopback_and_link_local_are_refused_in_all_their_forms() {
        let destinations = destinations(&[], &["127.0.0.1:8080"]);
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "::1",
            "::",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::",
        ] {
            assert_eq!(check(&destinations, ip, 9000), Err("machine"), "{ip}");
        }
        for ip in ["169.254.169.254", "fe80::1", "::ffff:169.254.1.1", "100.100.100.200", "fd00:ec2::254"] {
            assert_eq!(check(&destinations, ip, 80), Err("link-local"), "{ip}");
        }
        for ip in ["192.168.1.5", "10.0.0.1", "fd12::1", "8.8.8.8", "2a00:1450::1"] {
            assert_eq!(check(&destinations, ip, 80), Ok(()), "{ip}");
        }
    }

    #[test]
    fn what_is_allowed_is_reached_but_the_hub_itself_only_by_its_port() {
        let own = &["127.0.0.1:8080", "[::1]:1883"];
        assert_eq!(check(&destinations(&["127.0.0.0/8"], own), "127.0.0.1", 9000), Ok(()));
        assert_eq!(check(&destinations(&["127.0.0.0/8"], own), "::1", 9000), Err("machine"));
        assert_eq!(check(&destinations(&["127.0.0.1:9000"], own), "127.0.0.1", 9001), Err("machine"));
        assert_eq!(check(&destinations(&["host"], own), "169.254.1.1", 80), Ok(()));
        assert_eq!(check(&destinations(&["other"], own), "169.254.1.1", 80), Err("link-local"));
        for ip in ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert_eq!(
                check(&destinations(&["127.0.0.0/8", "host", "0.0.0.0"], own), ip, 8080),
                Err("itself"),
                "{ip}"
            );
        }
        assert_eq!(check(&destinations(&["[::1]"], own), "::1", 1883), Err("itself"));
        assert_eq!(check(&destinations(&["127.0.0.1:8080"], own), "127.0.0.1", 8080), Ok(()));
        assert_eq!(check(&destinations(&["host:8080"], own), "127.0.0.1", 8080), Ok(()));
        // One that listens everywhere is reached by each address of this machine.
        assert_eq!(
            check(&destinations(&["127.0.0.0/8"], &["0.0.0.0:8080"]), "127.0.0.7", 8080),
            Err("itself")
        );
        let public_address =
            destinations(&[], own).check("HUB.example.", "8.8.8.8".parse().unwrap(), 443, false);
        assert_eq!(public_address, Err(DestinationRefused::Itself("HUB.example.".into())));
    }

    #[test]
    fn redirects_inward_need_their_own_word() {
        let redirected = |allow: &[&str], private_redirects, ip: &str| {
            let destinations = WebhookDestinations { private_redirects, ..destinations(allow, &[]) };
            destinations.check("host", ip.parse().unwrap(), 80, true).is_ok()
        };
        assert!(redirected(&[], false, "8.8.8.8"));
        assert!(!redirected(&[], false, "10.0.0.1"));
        assert!(redirected(&[], true, "10.0.0.1"));
        assert!(!redirected(&["127.0.0.1"], false, "127.0.0.1"));
        assert!(!redirected(&[], true, "127.0.0.1"));
        assert!(redirected(&["127.0.0.1"], true, "127.0.0.1"));
    }

    #[test]
    fn reads_hosts_addresses_and_networks() {
        let read = |text: &str| text.parse::<AllowedDestination>();
        for good in [
            "hooks.local",
            "Hooks.Local.:80",
            "127.0.0.1",
            "127.0.0.1:80",
            "0x7f.1",
            "10.0.0.0/8",
            "::1",
            "[::1]:80",
            "fd00::/8",
            "0.0.0.0/0",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        assert_eq!(read("Hooks.Local."), read("hooks.local"));
        assert_eq!(read("0x7f.1"), read("127.0.0.1"));
        assert_eq!(read("::ffff:127.0.0.1"), read("127.0.0.1"));
        for bad in ["", "10.0.0.0/33", "a b", "http://h", "h:port", "10.0.0.0/8:80", "x/8", "."] {
            let error = read(bad).unwrap_err();
            assert!(error.contains("is no host, address or network such as"), "{bad}: {error}");
        }
    }
}
