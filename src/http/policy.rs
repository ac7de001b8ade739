//! The policy of the web server: the pages and hosts that it lets in, and the limits of bodies. SIGHUP puts
//! another policy in its place, which holds for requests that come from then on.

use std::time::Duration;

use twinhub_domain::reading::ClockWindow;

use super::client::TrustedProxies;
use super::{AllowedOrigins, Hosts};
use crate::config::Config;

/// The pages, hosts and bodies that the web server lets in.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The pages that are let in.
    pub origins: AllowedOrigins,
    /// The host names of this hub.
    pub hosts: Hosts,
    /// The proxies whose word about their clients is believed.
    pub proxies: TrustedProxies,
    /// The requests that are taken of a caller in a second; 0: as many as come.
    pub rate_limit: u32,
    /// Bytes of a request's body at most, unless it is one of those below.
    pub body_limit: usize,
    /// Bytes of an import at most, which is read as it comes.
    pub import_limit: usize,
    /// Bytes of a firmware image at most.
    pub firmware_limit: u64,
    /// The age at which readings are deleted; none: never.
    pub keep_readings: Option<Duration>,
    /// The times of readings that are believed.
    pub window: ClockWindow,
}

impl Policy {
    /// The policy by `config`, for a hub with the address `public_url`.
    #[must_use]
    pub fn of(config: &Config, public_url: &str) -> Self {
        let machine = gethostname::gethostname();
        Self {
            origins: AllowedOrigins::new(&config.cors, Some(public_url)),
            hosts: Hosts::new(&machine.to_string_lossy(), Some(public_url), &config.hosts),
            proxies: TrustedProxies::new(&config.trusted_proxies).over_tls(config.over_tls()),
            rate_limit: config.rate_limit,
            body_limit: config.body_limit,
            import_limit: config.import_limit,
            firmware_limit: config.firmware_limit,
            keep_readings: config.keep_readings,
            window: config.window,
        }
    }
}
