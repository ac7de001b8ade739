//! The host names of this hub. A site can point its own name at this machine (DNS rebinding): the browser then
//! takes the hub for that site, and only the `Host` header shows it.

use std::net::{Ipv4Addr, Ipv6Addr};

use actix_web::dev::ServiceRequest;
use actix_web::http::{Version, header};

use crate::config::HostName;
use crate::http::problem::ApiError;

/// The host names of this hub, besides addresses and `localhost`.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: Vec<HostName>,
}

impl Hosts {
    /// This machine's own name (`hub`, or `hub.example.com`) alone and with `.local`, the host of `public_url`, and the
    /// names in `listed`.
    #[must_use]
    pub fn new(machine: &str, public_url: Option<&str>, listed: &[HostName]) -> Self {
        let short = machine.split('.').next().unwrap_or_default();
        let own = [machine.to_owned(), short.to_owned(), format!("{short}.local")];
        let url = public_url.and_then(|url| url::Url::parse(url).ok());
        let public = url.as_ref().and_then(|url| url.host_str()).map(str::to_owned);
        // A machine name that is no valid host name is left out.
        let names = own.into_iter().chain(public).filter_map(|name| name.parse().ok());
        Self { names: names.chain(listed.iter().cloned()).collect() }
    }

    /// Is `authority`, the value of a `Host` header (`hub.local:8080`), a host of this hub? Every address literal
    /// is: no DNS answer can point it here. The port does not count: tunnels and containers map it.
    #[must_use]
    pub fn has(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        if is_address(host) {
            return true;
        }
        // `hub.` is the fully qualified form of `hub`.
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host == "localhost"
            || host.strip_suffix(".localhost").is_some_and(is_name)
            || self.names.iter().any(|name| name.fits(&host))
    }

    /// Refuses a request whose `Host` header or target names another host.
    ///
    /// # Errors
    /// Names that host.
    pub(super) fn check(&self, request: &ServiceRequest) -> Result<(), ApiError> {
        let foreign = |authority: &str| ApiError::Host(authority.to_owned());
        // Absolute form, `GET http://host/path HTTP/1.1`: both hosts must be ours.
        if let Some(target) = request.uri().authority()
            && !self.has(target.as_str())
        {
            return Err(foreign(target.as_str()));
        }
        match request.headers().get(header::HOST) {
            Some(host) => match host.to_str() {
                Ok(host) if self.has(host) => Ok(()),
                _ => Err(foreign(&String::from_utf8_lossy(host.as_bytes()))),
            },
            // Health probes of load balancers send no host; browsers do not send HTTP/1.0.
            None if request.version() <= Version::HTTP_10 => Ok(()),
            None => Err(foreign("")),
        }
    }
}

/// The host of `host`, `host:port` or `host:`; none for anything else, such as `user@host`.
fn host_of(authority: &str) -> Option<&str> {
    let port_at = match authority.rfind(']') {
        Some(end) if authority.starts_with('[') => end + 1,
        _ => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(port_at);
    let port = port.strip_prefix(':').or(port.is_empty().then_some(""))?;
    let is_port =
        port.bytes().all(|digit| digit.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok());
    (is_port && !host.is_empty()).then_some(host)
}

/// `192.168.1.5`, `[::1]`, `[fe80::1%eth0]`. Not `127.1` or `0x7f.1`, which browsers normalize before sending.
fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => {
            let (address, zone) = inner.split_once('%').unwrap_or((inner, "any"));
            let is_zone = !zone.is_empty()
                && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-._~".contains(&byte));
            is_zone && address.parse::<Ipv6Addr>().is_ok()
        }
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Letters, digits, `-` and `_` between dots.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        let listed = ["twins.example.com", "*.lab.example"].map(|name| name.parse().unwrap());
        Hosts::new("Greenhouse", Some("https://hub.example.org:8443/x"), &listed)
    }

    fn check(authority: &str, expected: bool) {
        assert_eq!(hosts().has(authority), expected, "{authority:?}");
    }

    #[test]
    fn addresses_are_ours_in_any_form_that_is_one() {
        for ours in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.0.0.1:",
            "192.168.1.5:80",
            "0.0.0.0:1",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:1",
            "[FE80::1%eth0]:8080",
            "[fe80::1%25eth0]",
        ] {
            check(ours, true);
        }
        for foreign in [
            "127.1",
            "0x7f.0.0.1",
            "2130706433",
            "127.0.0.1.",
            "127.0.0.1.evil.example",
            "::1",
            "[::1",
            "::1]",
            "[::1]evil.example",
            "[::1].evil.example",
            "[evil.example]",
            "[127.0.0.1]",
            "[::1%]",
            "[]",
            "127.0.0.1:99999",
            "127.0.0.1:80:80",
            "127.0.0.1:8o",
            "127.0.0.1 evil.example",
            "127.0.0.1,evil.example",
        ] {
            check(foreign, false);
        }
    }

    #[test]
    fn names_are_ours_in_upper_case_with_a_port_and_with_the_last_dot() {
        for ours in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "localhost.:80",
            "twinhub.localhost",
            "a.b.localhost.",
            "greenhouse",
            "GreenHouse:8080",
            "greenhouse.local",
            "greenhouse.local.",
            "hub.example.org",
            "hub.example.org:80",
            "twins.example.com",
            "a.lab.example",
            "a.b.lab.example",
        ] {
            check(ours, true);
        }
        for foreign in [
            "",
            ":",
            ":8080",
            ".",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "localhost..",
            ".localhost",
            "..localhost",
            "greenhouse.example.com",
            "greenhouse.local.evil.example",
            "notgreenhouse",
            "xhub.example.org",
            "evil.twins.example.com",
            "lab.example",
            "evillab.example",
            ".lab.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "user:pass@localhost",
            "localhost@",
            "localhost/evil.example",
            "localhost#evil.example",
            "localhost?evil",
            "localhost\\evil.example",
            "http://localhost",
            "localhost%2eevil.example",
            "локалхост",
        ] {
            check(foreign, false);
        }
    }

    #[test]
    fn a_machine_is_found_by_its_long_name_and_by_its_short_one() {
        let hosts = Hosts::new("hub.example.com", None, &[]);
        for name in ["hub.example.com", "hub", "hub.local"] {
            assert!(hosts.has(name), "{name}");
        }
        assert!(!hosts.has("example.com") && !hosts.has("hub.example.com.local"));
        let nameless = Hosts::new("", None, &[]);
        assert!(
            !nameless.has("")
                && !nameless.has(".local")
                && !nameless.has("local")
                && nameless.has("localhost")
        );
    }
}
