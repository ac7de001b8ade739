//! The resolver of host names. A name is resolved here, and the connection goes to the address that was checked; so a
//! name that resolves to one address when it is checked and to another when it is used gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::webhook_destinations::WebhookDestinations;

/// Asks for the addresses of a name.
pub(super) type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Resolves names to addresses where requests may go.
pub(super) struct Resolver {
    pub look_up: LookUp,
    pub destinations: Arc<WebhookDestinations>,
    /// The port that is connected to.
    pub port: u16,
    /// Another sent us there.
    pub redirected: bool,
}

/// Asks the system.
pub(super) fn system() -> LookUp {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|a| a.ip()).collect()) })
    })
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.look_up)(name.as_str().to_owned());
        let (destinations, port, redirected) = (Arc::clone(&self.destinations), self.port, self.redirected);
        Box::pin(async move {
            let found = found.await?;
            let check = |ip: &IpAddr| destinations.check(name.as_str(), *ip, port, redirected);
            let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(|ip| check(ip).is_ok());
            if good.is_empty()
                && let Some(refused) = bad.iter().find_map(|ip| check(ip).err())
            {
                return Err(refused.into());
            }
            // Port 0 stands for the one in the address.
            Ok(Box::new(good.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(addresses: &[&str], redirected: bool) -> Result<Vec<String>, String> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let look_up: LookUp = Arc::new(move |_| {
            let addresses = addresses.clone();
            Box::pin(async move { Ok(addresses) })
        });
        let resolver = Resolver { look_up, destinations: Arc::default(), port: 80, redirected };
        let found = resolver.resolve("hook.example".parse().unwrap()).await;
        found.map(|all| all.map(|a| a.ip().to_string()).collect()).map_err(|error| error.to_string())
    }

    /// The connection goes to no address but those that are given back.
    #[tokio::test]
    async fn gives_only_addresses_that_were_checked() {
        assert_eq!(resolve(&["8.8.8.8", "127.0.0.1", "::1"], true).await.unwrap(), ["8.8.8.8"]);
        assert_eq!(resolve(&["10.0.0.1", "127.0.0.1"], false).await.unwrap(), ["10.0.0.1"]);
        let refused = resolve(&["10.0.0.1", "fd00::1"], true).await.unwrap_err();
        assert!(refused.starts_with("`hook.example` is an address of this machine"), "{refused}");
        let refused = resolve(&["127.0.0.1"], false).await.unwrap_err();
        assert!(refused.contains("`webhook-allow`"), "{refused}");
        assert!(resolve(&[], true).await.unwrap().is_empty());
    }
}
