//! Where a redirect may lead: not back into the house. A name is resolved here, and what was looked at is what is
//! connected to; so a name that says one thing when it is checked and another when it is used gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Asks for the addresses of a name.
pub(super) type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Resolves names, for all or for those alone who go outward.
pub(super) struct Resolver {
    pub look_up: LookUp,
    pub outward_only: bool,
}

/// Why a redirect is not followed.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is an address of this machine or its own network, where redirects are not followed to")]
pub(super) struct Inward(pub String);

/// Asks the system.
pub(super) fn system() -> LookUp {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|a| a.ip()).collect()) })
    })
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, outward_only) = ((self.look_up)(name.as_str().to_owned()), self.outward_only);
        Box::pin(async move {
            let mut found = found.await?;
            if outward_only {
                let any = !found.is_empty();
                found.retain(|ip| !is_inward(*ip));
                if any && found.is_empty() {
                    return Err(Inward(name.as_str().to_owned()).into());
                }
            }
            // Port 0 stands for the one in the address.
            Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

/// Is it an address of this machine, of a network that is not the Internet, or of nobody: loopback, private,
/// link-local, unique-local, shared (carrier-grade NAT), multicast, reserved? An IPv6 address that carries one of
/// IPv4 is what that one is.
pub(super) fn is_inward(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_inward_v4(ip),
        IpAddr::V6(ip) => is_inward_v6(ip),
    }
}

fn is_inward_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT
        || (a == 198 && (b == 18 || b == 19)) // benchmarks
        || (a == 192 && b == 0 && c == 0) // protocol assignments
}

fn is_inward_v6(ip: Ipv6Addr) -> bool {
    let part = ip.segments();
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_inward_v4(Ipv4Addr::new(a, b, c, d))
    };
    match part {
        // `::`, `::1`, `::10.0.0.1` and `::ffff:10.0.0.1`; also `::ffff:0:10.0.0.1`.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            ip.is_loopback() || ip.is_unspecified() || last(high, low)
        }
        // NAT64, where a gateway makes it IPv4; its local form may lead anywhere.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => last(high, low),
        [0x64, 0xff9b, 1, ..] => true,
        // 6to4 carries its IPv4 address in front, Teredo behind and turned round.
        [0x2002, high, low, ..] => last(high, low),
        [0x2001, 0, .., high, low] => last(!high, !low),
        // Unique-local, link-local, site-local, multicast.
        [first, ..] => {
            first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
                || first & 0xffc0 == 0xfec0
                || first & 0xff00 == 0xff00
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_house_from_the_street() {
        for inward in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:1:2:3:4:80ff:fffe",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_inward(inward.parse().unwrap()), "{inward}");
        }
        for outward in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(!is_inward(outward.parse().unwrap()), "{outward}");
        }
    }

    async fn resolve(addresses: &[&str], outward_only: bool) -> Result<Vec<String>, String> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let look_up: LookUp = Arc::new(move |_| {
            let addresses = addresses.clone();
            Box::pin(async move { Ok(addresses) })
        });
        let resolver = Resolver { look_up, outward_only };
        let found = resolver.resolve("hook.example".parse().unwrap()).await;
        found.map(|all| all.map(|a| a.ip().to_string()).collect()).map_err(|error| error.to_string())
    }

    /// What is given back is all that is connected to.
    #[tokio::test]
    async fn gives_only_addresses_that_were_checked() {
        assert_eq!(resolve(&["8.8.8.8", "127.0.0.1", "::1"], true).await.unwrap(), ["8.8.8.8"]);
        assert_eq!(resolve(&["10.0.0.1"], false).await.unwrap(), ["10.0.0.1"]);
        let refused = resolve(&["10.0.0.1", "fd00::1"], true).await.unwrap_err();
        assert!(refused.starts_with("`hook.example` is an address of this machine"), "{refused}");
        assert!(resolve(&[], true).await.unwrap().is_empty());
    }
}
