//! The client of a request: the address that it came from, and the scheme and host that it was sent to. There is no other
//! way to a client's address than [`of`], so limits, sessions, the audit and the log mean the same one.
//!
//! A proxy says in headers whom it speaks for. They are believed of proxies that the option `trusted-proxies` names, and
//! only of them: each proxy adds the address that it was reached from at the right, so the right-most one that is no
//! trusted proxy is the client's. What stands left of it is the client's own word.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::uri::Authority;
use actix_web::{HttpMessage as _, HttpRequest};

use crate::config::ProxyNetwork;
use crate::http::problem::ApiError;

/// Headers that proxies add to what they hand on.
const OF_PROXIES: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];
/// Elements of a header that are looked at, from the right: as many proxies stand behind one another nowhere.
const MOST_HOPS: usize = 32;

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<ProxyNetwork>,
    /// Requests come over TLS.
    over_tls: bool,
}

/// The client of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    /// A proxy handed the request on, whether it is trusted or not.
    pub is_handed_on: bool,
    /// It was sent by https: to the hub itself, or as a trusted proxy says.
    pub is_https: bool,
    /// The host that it was sent to, as the client names it.
    pub host: Box<str>,
}

/// The words of a proxy about a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Handed {
    /// None: the proxy does not tell it.
    address: Option<IpAddr>,
    proto: Option<String>,
    host: Option<String>,
}

impl TrustedProxies {
    /// These networks.
    #[must_use]
    pub fn new(networks: &[ProxyNetwork]) -> Self {
        Self { networks: networks.to_vec(), over_tls: false }
    }

    /// The same for a hub that is served over TLS itself, or not.
    #[must_use]
    pub fn over_tls(self, over_tls: bool) -> Self {
        Self { over_tls, ..self }
    }

    /// Is there a trusted proxy at `address`?
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// The client of a request.
    ///
    /// # Errors
    /// A trusted proxy handed on two accounts of it that do not agree, so one is the client's own.
    pub fn client(&self, head: &RequestHead) -> Result<Client, ApiError> {
        let peer = peer(head.peer_addr);
        let direct = Client {
            address: peer,
            is_handed_on: is_handed_on(head.headers()),
            is_https: self.over_tls,
            host: host(head).unwrap_or_default().into(),
        };
        if !direct.is_handed_on || !self.contains(peer) {
            return Ok(direct);
        }
        let Handed { address, proto, host } = self.handed(head.headers(), peer)?;
        Ok(Client {
            address: address.unwrap_or(peer),
            is_https: proto.map_or(direct.is_https, |proto| proto.eq_ignore_ascii_case("https")),
            host: host.map_or(direct.host, Into::into),
            is_handed_on: true,
        })
    }

    fn handed(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Handed, ApiError> {
        let usual = Handed {
            address: self.client_of(&elements(headers, "x-forwarded-for"), peer),
            proto: elements(headers, "x-forwarded-proto").pop(),
            host: elements(headers, "x-forwarded-host").pop(),
        };
        let standard = forwarded(headers)?;
        if standard.is_empty() {
            return Ok(usual);
        }
        let said = |name: &str| standard.iter().map(|element| pair(element, name)).collect::<Vec<_>>();
        let hops: Vec<String> = said("for").into_iter().map(Option::unwrap_or_default).collect();
        let address = self.client_of(&hops, peer);
        // A proxy that writes one of them hands the other on as the client sent it.
        if usual.address.is_some_and(|usual| Some(usual) != address) {
            return Err(ApiError::Forwarded);
        }
        let last = |name: &str| said(name).pop().flatten();
        Ok(Handed { address, proto: last("proto").or(usual.proto), host: last("host").or(usual.host) })
    }

    /// The right-most hop that is no trusted proxy; of a hop that is no address, the one that told of it.
    fn client_of(&self, hops: &[String], peer: IpAddr) -> Option<IpAddr> {
        let mut nearest = None;
        for hop in hops.iter().rev().take(MOST_HOPS) {
            let Some(address) = hop_address(hop) else { return Some(nearest.unwrap_or(peer)) };
            nearest = Some(address);
            if !self.contains(address) {
                break;
            }
        }
        nearest
    }
}

/// The client of a request that came through the server. One that did not, in a test, is taken at its peer's address.
#[must_use]
pub fn of(request: &HttpRequest) -> Client {
    if let Some(client) = request.extensions().get::<Client>() {
        return client.clone();
    }
    let head = request.head();
    Client {
        address: peer(request.peer_addr()),
        is_handed_on: is_handed_on(request.headers()),
        is_https: false,
        host: host(head).unwrap_or_default().into(),
    }
}

/// The address at the other end of the connection; none (in a test) is this machine.
fn peer(peer: Option<SocketAddr>) -> IpAddr {
    peer.map_or(Ipv4Addr::LOCALHOST.into(), |peer| peer.ip().to_canonical())
}

/// Did a proxy hand this request on? Then the address of its peer says nothing of who sent it.
fn is_handed_on(headers: &HeaderMap) -> bool {
    OF_PROXIES.iter().any(|name| headers.contains_key(*name))
}

/// The host of the request's target, or else of its `Host` header.
fn host(head: &RequestHead) -> Option<&str> {
    let target = head.uri.authority().map(Authority::as_str);
    target.or_else(|| head.headers().get(header::HOST)?.to_str().ok())
}

/// The elements of a header that is a list, of all lines of it. There are no quotes in them.
fn elements(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
    let elements =
        lines.flat_map(|line| line.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>());
    elements.filter(|element| !element.is_empty()).collect()
}

/// The elements of `Forwarded`. A quote that is not closed would swallow what the proxy has added.
fn forwarded(headers: &HeaderMap) -> Result<Vec<String>, ApiError> {
    let mut elements = Vec::new();
    for line in headers.get_all("forwarded") {
        let line = String::from_utf8_lossy(line.as_bytes());
        if line.matches('"').count() % 2 == 1 {
            return Err(ApiError::Forwarded);
        }
        elements.extend(split(&line, ',').into_iter().filter(|element| !element.is_empty()));
    }
    Ok(elements)
}

/// The value of a pair `name=value` in an element of `Forwarded`.
fn pair(element: &str, name: &str) -> Option<String> {
    split(element, ';').into_iter().find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim().trim_matches('"').to_owned();
        key.trim().eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The parts between these characters, but for those in quotes.
fn split(text: &str, at: char) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for character in text.chars() {
        quoted ^= character == '"';
        if character == at && !quoted {
            parts.push(std::mem::take(&mut part).trim().to_owned());
        } else {
            part.push(character);
        }
    }
    parts.push(part.trim().to_owned());
    parts
}

/// The address of `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(&["127.0.0.1", "10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()))
    }

    /// `from` is the peer; the headers stand as `name: value`.
    fn client(from: &str, headers: &[&str]) -> Result<Client, ApiError> {
        let mut request = TestRequest::default().peer_addr(from.parse().unwrap());
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.append_header((name, value));
        }
        trusted().client(request.to_http_request().head())
    }

    fn check(from: &str, headers: &[&str], expected: &str) {
        let client = client(from, headers).unwrap();
        let scheme = if client.is_https { "https" } else { "http" };
        assert_eq!(format!("{} {scheme}://{}", client.address, client.host), expected, "{from} {headers:?}");
    }

    #[test]
    fn headers_are_believed_of_trusted_proxies_alone() {
        let all = [
            "host: hub",
            "x-forwarded-for: 1.2.3.4",
            "x-forwarded-proto: https",
            "x-forwarded-host: out.example",
        ];
        check("127.0.0.1:1", &all, "1.2.3.4 https://out.example");
        check("[fd00::1]:1", &all, "1.2.3.4 https://out.example");
        check("[::ffff:10.1.1.1]:1", &all, "1.2.3.4 https://out.example");
        check("192.0.2.9:1", &all, "192.0.2.9 http://hub");
        check("[::1]:1", &all, "::1 http://hub");
        check("127.0.0.1:1", &["host: hub"], "127.0.0.1 http://hub");
        assert!(
            client("192.0.2.9:1", &all).unwrap().is_handed_on,
            "nobody takes it for one of the proxy's machine"
        );
        let standard = ["host: hub", r#"forwarded: for="[2001:db8::1]:4711";proto=https;host="out.example""#];
        check("127.0.0.1:1", &standard, "2001:db8::1 https://out.example");
    }

    #[test]
    fn the_right_most_hop_that_is_not_trusted_is_the_client() {
        let table = [
            ("6.6.6.6, 1.2.3.4", "1.2.3.4"),
            ("1.2.3.4, 10.0.0.7", "1.2.3.4"),
            ("6.6.6.6, 1.2.3.4, 10.0.0.7, 10.0.0.8", "1.2.3.4"),
            ("10.0.0.7, 10.0.0.8", "10.0.0.7"),
            ("127.0.0.1, 1.2.3.4", "1.2.3.4"),
            ("1.2.3.4:5678", "1.2.3.4"),
            ("[2001:db8::1]:5678", "2001:db8::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            // No address: the one that told of it is as far as is known.
            ("1.2.3.4, unknown", "127.0.0.1"),
            ("unknown, 10.0.0.7", "10.0.0.7"),
            ("", "127.0.0.1"),
            (" , ", "127.0.0.1"),
            ("1.2.3.4,", "1.2.3.4"),
        ];
        for (hops, expected) in table {
            let header = format!("x-forwarded-for: {hops}");
            assert_eq!(client("127.0.0.1:1", &[&header]).unwrap().address.to_string(), expected, "{hops}");
        }
        // Several lines are one list.
        let lines = ["x-forwarded-for: 6.6.6.6", "x-forwarded-for: 1.2.3.4, 10.0.0.7"];
        assert_eq!(client("127.0.0.1:1", &lines).unwrap().address.to_string(), "1.2.3.4");
        let forwarded =
            r#"forwarded: for=6.6.6.6;host="a,b", for=1.2.3.4;proto=http, For="10.0.0.7" ; proto=https"#;
        check("127.0.0.1:1", &["host: hub", forwarded], "1.2.3.4 https://hub");
        check("127.0.0.1:1", &["host: hub", "forwarded: for=_hidden"], "127.0.0.1 http://hub");
    }

    #[test]
    fn a_client_cannot_speak_through_the_header_that_its_proxy_leaves_alone() {
        let forged = ["x-forwarded-for: 1.2.3.4", "forwarded: for=6.6.6.6"];
        assert!(matches!(client("127.0.0.1:1", &forged), Err(ApiError::Forwarded)));
        let open = ["forwarded: for=\"6.6.6.6, for=1.2.3.4"];
        assert!(matches!(client("127.0.0.1:1", &open), Err(ApiError::Forwarded)));
        let both = ["x-forwarded-for: 6.6.6.6, 1.2.3.4", "forwarded: for=1.2.3.4"];
        assert_eq!(client("127.0.0.1:1", &both).unwrap().address.to_string(), "1.2.3.4");
    }

    proptest! {
        /// The hop that a trusted proxy adds is the client, whatever the client sends in front of it.
        #[test]
        fn no_header_of_a_client_moves_its_address(sent in "[ -~]{0,80}", line in any::<bool>()) {
            let (one, other) = (format!("x-forwarded-for: {sent}"), format!("x-forwarded-for: {sent}, 1.2.3.4"));
            let headers: Vec<&str> = if line { vec![&*one, "x-forwarded-for: 1.2.3.4"] } else { vec![&*other] };
            prop_assert_eq!(client("127.0.0.1:1", &headers).unwrap().address.to_string(), "1.2.3.4");
        }
    }
}
